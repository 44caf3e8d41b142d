/** Says that the line is down, and what waits for it. Silent while all is well. */

import { css, html, nothing, type TemplateResult } from "lit";
import { Piece } from "../lib/piece.ts";
import { common } from "../styles/common.ts";

/** A blink of the line is nobody's business. */
const PATIENCE_MS = 1_500;

export class DoranConnection extends Piece {
  static override properties = { down: { state: true } };

  declare down: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.down = false;
  }

  protected override attend(): void {
    this.follow("status", () => this.#look());
    this.follow("conversations", () => this.down && this.requestUpdate());
    this.until(() => clearTimeout(this.#timer));
    this.#look();
  }

  override render(): TemplateResult {
    return html`<div role="status" aria-live="polite">${this.down ? this.#bar() : nothing}</div>`;
  }

  #bar(): TemplateResult {
    return html`<p class="bar"><span>${this.#text()}</span><button class="again" @click=${() => this.client.connect()}>${this.words.reconnect}</button></p>`;
  }

  #text(): string {
    const { connection, reason } = this.client.status;
    if (connection === "stopped") return reason === "replaced" ? this.words.replaced : this.words.closedForGood;
    const waiting = this.client.waitingCount;
    return waiting ? this.words.offlineWaiting(waiting) : this.words.offline;
  }

  #look(): void {
    const { connection } = this.client.status;
    if (connection === "online") {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.down = false;
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.#late(), PATIENCE_MS);
    }
    this.requestUpdate();
  }

  #late(): void {
    this.down = this.client.status.connection !== "online";
  }

  static override styles = [
    common,
    css`
      :host {
        display: block;
      }
      .bar {
        display: flex;
        align-items: center;
        justify-content: center;
        gap: 0.5rem 0.75rem;
        padding: 0.4rem 1rem;
        padding-block-start: calc(0.4rem + env(safe-area-inset-top));
        background: var(--notice);
        color: var(--notice-ink);
        font-size: 0.875rem;
      }
      .again {
        flex: none;
        padding: 0.35rem 0.7rem;
        border-radius: 0.5rem;
        font-weight: 700;
        text-decoration: underline;
        text-underline-offset: 3px;
      }
    `,
  ];
}

customElements.define("doran-connection", DoranConnection);
