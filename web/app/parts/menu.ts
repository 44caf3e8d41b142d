/** A menu that opens beside a button or under the finger: arrow keys, Escape, focus back where it came from. */

import { css, html, nothing, type TemplateResult } from "lit";
import { Piece } from "../lib/piece.ts";
import { common } from "../styles/common.ts";

export interface Choice {
  readonly label: string;
  readonly icon: TemplateResult;
  readonly danger?: boolean;
  readonly act: () => void;
}

export interface Spot {
  readonly x: number;
  readonly y: number;
}

/** Above or below this, so that it stays in sight. */
export interface Beside {
  readonly beside: Element;
}

export class DoranMenu extends Piece {
  static override properties = { choices: { state: true }, label: { state: true } };

  declare choices: readonly Choice[];
  declare label: string;
  #from: HTMLElement | null = null;

  constructor() {
    super();
    this.choices = [];
    this.label = "";
  }

  /** Also where a finger opened it and left the focus behind. */
  protected override attend(): void {
    this.listen("keydown", (event) => {
      if (event.key !== "Escape" || !this.opened) return;
      event.preventDefault();
      this.close();
    });
  }

  get opened(): boolean {
    return this.choices.length > 0;
  }

  /** Open at a spot of the screen; `from` gets the focus back. The event `closed` says when it is over. */
  async open(label: string, choices: readonly Choice[], spot: Spot | Beside, from: HTMLElement | null): Promise<void> {
    this.label = label;
    this.choices = choices;
    this.#from = from;
    await this.updateComplete;
    const menu = this.#menu;
    if (!menu) return;
    menu.showPopover?.();
    if ("beside" in spot) placeBeside(menu, spot.beside.getBoundingClientRect());
    else place(menu, spot);
    this.#items[0]?.focus({ preventScroll: true });
  }

  close(): void {
    if (!this.opened) return;
    this.choices = [];
    this.#from?.focus({ preventScroll: true });
    this.dispatchEvent(new CustomEvent("closed"));
  }

  override render(): TemplateResult | typeof nothing {
    if (!this.opened) return nothing;
    return html`
      <div class="veil" @pointerdown=${(event: Event) => this.#dismiss(event)} @contextmenu=${(event: Event) => event.preventDefault()}></div>
      <div class="menu" role="menu" popover="manual" aria-label=${this.label} @keydown=${this.#key}>
        ${this.choices.map((choice) => html`<button role="menuitem" tabindex="-1" class=${choice.danger ? "danger" : ""} @click=${() => this.#choose(choice)}>${choice.icon}<span>${choice.label}</span></button>`)}
      </div>
    `;
  }

  get #menu(): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>(".menu");
  }

  get #items(): HTMLElement[] {
    return [...this.renderRoot.querySelectorAll<HTMLElement>("[role=menuitem]")];
  }

  #choose(choice: Choice): void {
    this.close();
    choice.act();
  }

  #dismiss(event: Event): void {
    event.preventDefault();
    this.close();
  }

  #key(event: KeyboardEvent): void {
    const items = this.#items;
    const at = items.indexOf(this.shadowRoot?.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) items.at(to % items.length)?.focus();
    else if (event.key === "Escape" || event.key === "Tab") this.close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  static override styles = [
    common,
    css`
      .veil {
        position: fixed;
        inset: 0;
        z-index: 49;
      }
      .menu {
        position: fixed;
        inset: auto;
        z-index: 50;
        margin: 0;
        min-width: 12rem;
        max-width: calc(100vw - 1rem);
        max-height: calc(100dvh - 1rem);
        overflow-y: auto;
        overscroll-behavior: contain;
        padding: 0.375rem;
        border: 1px solid var(--line);
        border-radius: 1rem;
        background: var(--raised);
        color: var(--ink);
        box-shadow: var(--shadow);
        animation: open 110ms ease-out;
      }
      @keyframes open {
        from {
          opacity: 0;
          transform: scale(0.97);
        }
      }
      button {
        display: flex;
        align-items: center;
        gap: 0.7rem;
        width: 100%;
        min-height: 2.75rem;
        padding: 0 0.8rem;
        border-radius: 0.7rem;
        text-align: start;
        font-size: 0.9375rem;
      }
      button .icon {
        width: 1.2rem;
        height: 1.2rem;
        color: var(--ink-soft);
      }
      button:hover,
      button:focus {
        background: var(--hover);
      }
      .danger,
      .danger .icon {
        color: var(--danger);
      }
    `,
  ];
}

/** Beside the spot, but inside the window. */
function place(menu: HTMLElement, { x, y }: Spot): void {
  const { width, height } = menu.getBoundingClientRect();
  const left = Math.max(8, Math.min(x, innerWidth - width - 8));
  const top = y + height + 8 > innerHeight ? Math.max(8, y - height) : y;
  menu.style.setProperty("left", `${left}px`);
  menu.style.setProperty("top", `${top}px`);
}

/** So much of it is shown where there is hardly any room. */
const LEAST = 152;
const GAP = 8;

/** Below what it belongs to, or above where there is more room; shorter, and scrolled, where there is room in neither. */
function placeBeside(menu: HTMLElement, rect: DOMRect): void {
  const { width, height } = menu.getBoundingClientRect();
  const [top, bottom] = [Math.max(rect.top, 0), Math.min(rect.bottom, innerHeight)];
  const [above, below] = [top - 2 * GAP, innerHeight - bottom - 2 * GAP];
  const isBelow = below >= height || below >= above;
  const shown = Math.min(height, Math.max(isBelow ? below : above, LEAST));
  const y = isBelow ? bottom + GAP : top - GAP - shown;
  const x = rect.left + rect.right > innerWidth ? rect.right - width : rect.left;
  menu.style.setProperty("left", `${Math.max(GAP, Math.min(x, innerWidth - width - GAP))}px`);
  menu.style.setProperty("top", `${Math.max(GAP, Math.min(y, innerHeight - shown - GAP))}px`);
  menu.style.setProperty("max-height", `${shown}px`);
}

/** Under a button's end. */
export function under(button: HTMLElement): Spot {
  const { right, bottom } = button.getBoundingClientRect();
  return { x: right - 200, y: bottom + 4 };
}

/** Over a button's end, for one that stands at the bottom of the window. */
export function over(button: HTMLElement): Spot {
  const { right, top } = button.getBoundingClientRect();
  return { x: right - 200, y: top - 4 };
}

customElements.define("doran-menu", DoranMenu);

declare global {
  interface HTMLElementTagNameMap {
    "doran-menu": DoranMenu;
  }
}
