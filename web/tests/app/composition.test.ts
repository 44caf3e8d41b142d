// @vitest-environment happy-dom
/** Enter in the real composer, with the events in the order each browser fires them: what is visible goes out, once. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { DoranClient, Thread, Writing } from "../../client/index.ts";
import { use } from "../../app/lib/piece.ts";
import { DoranComposer } from "../../app/parts/composer.ts";

const send = vi.fn();
let composer: DoranComposer;
let box: HTMLTextAreaElement;

beforeEach(async () => {
  send.mockReset();
  vi.stubGlobal("matchMedia", (query: string) => ({ matches: query !== "(pointer: coarse)" }));
  meets(vi.fn());
  await opens({ text: null, replyTo: null, edit: null });
});

/** The box of a conversation in which this is being written. */
async function opens(writing: Writing): Promise<void> {
  composer?.remove();
  composer = new DoranComposer();
  composer.thread = { id: "talk", draft: "", writing } as Thread;
  document.body.append(composer);
  await composer.updateComplete;
  box = composer.renderRoot.querySelector("textarea")!;
}

afterEach(() => {
  composer.remove();
  vi.unstubAllGlobals();
});

/** A client that only takes what is sent and edited, and has no AI. */
function meets(edit: () => unknown): void {
  use({ userId: "minji", on: () => () => undefined, ai: { offers: () => false }, send, edit, typing: vi.fn(), write: vi.fn(), saveDraft: vi.fn() } as unknown as DoranClient);
}

const texts = () => send.mock.calls.map(([, text]) => text);

/** One turn of the event loop, in which the browser would paint. */
const turn = () => new Promise((wake) => setTimeout(wake, 1));

function fire(event: Event): boolean {
  return box.dispatchEvent(event);
}

/** Returns true if the browser would go on with what the key does. */
function key(name: string, { keyCode = name === "Enter" ? 13 : 229, isComposing = false, shiftKey = false, repeat = false } = {}): boolean {
  const event = new KeyboardEvent("keydown", { key: name, isComposing, shiftKey, repeat, bubbles: true, cancelable: true });
  Object.defineProperty(event, "keyCode", { value: keyCode });
  return fire(event);
}

function release(name: string): void {
  fire(new KeyboardEvent("keyup", { key: name, bubbles: true }));
}

/** The line break a browser makes when nobody keeps it from doing so. */
function lineBreak({ isComposing = false } = {}): void {
  const event = new InputEvent("beforeinput", { inputType: "insertLineBreak", isComposing, bubbles: true, cancelable: true });
  if (!fire(event)) return;
  box.value += "\n";
  fire(new InputEvent("input", { inputType: "insertLineBreak", bubbles: true }));
}

/** A plain Enter: keydown, and the line break unless prevented. */
function enter(more = {}): void {
  if (key("Enter", more)) lineBreak();
}

function type(text: string): void {
  box.value += text;
  fire(new InputEvent("input", { inputType: "insertText", bubbles: true }));
}

/** Type `done` finished, and hold `open` as the syllable being composed. */
function compose(done: string, open: string): void {
  type(done);
  key("Process", { isComposing: false });
  fire(new CompositionEvent("compositionstart", { bubbles: true }));
  box.value += open;
  fire(new InputEvent("input", { inputType: "insertCompositionText", isComposing: true, bubbles: true }));
}

function commit(): void {
  fire(new CompositionEvent("compositionend", { bubbles: true }));
}

test("plain Enter sends once and empties the box", async () => {
  type("안녕");
  enter();
  release("Enter");
  await turn();
  expect(texts()).toEqual(["안녕"]);
  expect(box.value).toBe("");
});

test("Shift+Enter makes a new line and sends nothing", async () => {
  type("하나");
  key("Shift", { keyCode: 16, shiftKey: true });
  enter({ shiftKey: true });
  release("Enter");
  release("Shift");
  type("둘");
  await turn();
  expect(texts()).toEqual([]);
  expect(box.value).toBe("하나\n둘");
  enter();
  expect(texts()).toEqual(["하나\n둘"]);
});

test("an empty or invisible text is not sent", () => {
  for (const nothing of ["", "   ", "\u200b", "\u3164"]) {
    box.value = "";
    type(nothing);
    enter();
  }
  expect(texts()).toEqual([]);
});

test("a held Enter sends once", async () => {
  type("안녕");
  enter();
  for (let more = 0; more < 5; more++) enter({ repeat: true });
  await turn();
  expect(texts()).toEqual(["안녕"]);
});

test("Chromium and Firefox, Hangul: keydown while composing, compositionend, keydown", async () => {
  compose("안녕하세", "요");
  expect(key("Enter", { keyCode: 229, isComposing: true })).toBe(true);
  expect(texts()).toEqual([]);
  commit();
  enter();
  release("Enter");
  await turn();
  expect(texts()).toEqual(["안녕하세요"]);
  expect(box.value).toBe("");
});

test("Firefox on Linux, Hangul: the key is called Process while composing", async () => {
  compose("한", "글");
  key("Process", { keyCode: 229, isComposing: true });
  commit();
  enter();
  await turn();
  expect(texts()).toEqual(["한글"]);
});

test("Safari, Hangul: compositionend first, then keydown 229 that is not composing, then the line break", async () => {
  compose("안녕하세", "요");
  commit();
  expect(key("Enter", { keyCode: 229, isComposing: false })).toBe(true);
  expect(texts()).toEqual([]);
  lineBreak();
  release("Enter");
  await turn();
  expect(texts()).toEqual(["안녕하세요"]);
  expect(box.value).toBe("");
});

test("the line break comes while still composing: sent when the composition has ended, without the break", async () => {
  compose("안", "녕");
  key("Enter", { keyCode: 229, isComposing: true });
  lineBreak({ isComposing: true });
  expect(texts()).toEqual([]);
  commit();
  await turn();
  expect(texts()).toEqual(["안녕"]);
});

test("Windows: only the keydown 229 and the compositionend; the next Enter sends", async () => {
  compose("안", "녕");
  key("Enter", { keyCode: 229, isComposing: true });
  commit();
  release("Enter");
  await turn();
  expect(texts()).toEqual([]);
  expect(box.value).toBe("안녕");
  enter();
  expect(texts()).toEqual(["안녕"]);
});

test("Japanese: Enter only takes the candidate, in Chromium", async () => {
  compose("", "日本");
  key("Enter", { keyCode: 229, isComposing: true });
  commit();
  release("Enter");
  await turn();
  expect(texts()).toEqual([]);
});

test("Japanese: Enter only takes the candidate, in Safari", async () => {
  compose("", "日本");
  commit();
  key("Enter", { keyCode: 229, isComposing: false });
  release("Enter");
  await turn();
  expect(texts()).toEqual([]);
  expect(box.value).toBe("日本");
});

test("Shift+Enter while composing is a new line", async () => {
  compose("하", "나");
  key("Enter", { keyCode: 229, isComposing: true, shiftKey: true });
  commit();
  enter({ shiftKey: true });
  await turn();
  expect(texts()).toEqual([]);
  expect(box.value).toBe("하나\n");
});

test("the button while a syllable is open: the box is left, the syllable committed, all of it sent once", async () => {
  compose("안녕하세", "요");
  await composer.updateComplete;
  const blur = vi.spyOn(box, "blur").mockImplementation(() => {
    commit();
  });
  composer.renderRoot.querySelector<HTMLButtonElement>(".send")!.click();
  await turn();
  expect(blur).toHaveBeenCalledOnce();
  expect(texts()).toEqual(["안녕하세요"]);
  expect(box.value).toBe("");
});

test("the button with nothing open sends once", async () => {
  type("안녕");
  await composer.updateComplete;
  composer.renderRoot.querySelector<HTMLButtonElement>(".send")!.click();
  await turn();
  expect(texts()).toEqual(["안녕"]);
});

test("an Enter that says it is composing is believed, even if nobody saw the composition begin", () => {
  type("안녕");
  key("Enter", { keyCode: 13, isComposing: true });
  expect(texts()).toEqual([]);
});

test("an edit is saved once, however often Enter is pressed", async () => {
  const edit = vi.fn(() => new Promise<void>((wake) => setTimeout(wake, 5)));
  meets(edit);
  await opens({ text: null, replyTo: null, edit: { messageId: "one", text: "안녕" } });
  type("하세요");
  for (let press = 0; press < 4; press++) enter({ repeat: press > 0 });
  expect(edit.mock.calls).toEqual([[{ id: "one" }, "안녕하세요"]]);
  expect(texts()).toEqual([]);
});

test("the box is never emptied or rewritten while composing", async () => {
  compose("안", "녀");
  box.value = "안녕";
  composer.requestUpdate();
  await composer.updateComplete;
  key("Enter", { keyCode: 229, isComposing: true });
  await turn();
  expect(box.value).toBe("안녕");
});

test("syllables typed apart (NFD) leave as they were typed, and count as syllables", async () => {
  const typed = "각".repeat(1_500).normalize("NFD");
  type(typed);
  await composer.updateComplete;
  expect(composer.renderRoot.querySelector(".count")).toBeNull();
  enter();
  expect(texts()).toEqual([typed]);
});

test("blanks behind are neither counted nor sent", async () => {
  type(`\n\n  ${"가".repeat(3_990)}${" ".repeat(100)}\n`);
  await composer.updateComplete;
  expect(composer.renderRoot.querySelector(".count")!.classList.contains("wrong")).toBe(false);
  enter();
  expect(texts()).toEqual([`  ${"가".repeat(3_990)}`]);
});

test("on a touch keyboard Enter is a new line", async () => {
  vi.stubGlobal("matchMedia", (query: string) => ({ matches: query === "(pointer: coarse)" }));
  type("하나");
  enter();
  await turn();
  expect(texts()).toEqual([]);
  expect(box.value).toBe("하나\n");
});

test("a text over the limit stays in the box", () => {
  type("가".repeat(4_001));
  enter();
  expect(texts()).toEqual([]);
  expect(box.value).toHaveLength(4_001);
});
