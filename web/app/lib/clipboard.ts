/** Copying, also where the page came over plain http and the browser hides `navigator.clipboard`. */

/** True if the text is on the clipboard. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelected(text);
  }
}

/** The old way: select it in a box that nobody sees. It works as long as a press is being answered. */
function copySelected(text: string): boolean {
  const box = document.createElement("textarea");
  const focused = deepestFocus();
  box.value = text;
  box.readOnly = true;
  box.style.setProperty("position", "fixed");
  box.style.setProperty("opacity", "0");
  document.body.append(box);
  box.select();
  try {
    return document.execCommand("copy");
  } finally {
    box.remove();
    focused?.focus({ preventScroll: true });
  }
}

function deepestFocus(): HTMLElement | null {
  let focused = document.activeElement;
  while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
  return focused as HTMLElement | null;
}
