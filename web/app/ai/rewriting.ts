/** What is in the box, said another way. It takes the place of the words it came from, and can be undone. */

import { css, html, nothing, type TemplateResult } from "lit";
import type { RewriteStyle, Thread } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { answer } from "../lib/prose.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { Asked } from "./asked.ts";
import { dots } from "./dots.ts";

export const STYLES: readonly RewriteStyle[] = ["polite", "casual", "shorter", "spelling"];

export class DoranRewriting extends Piece {
  static override properties = { thread: { attribute: false }, box: {}, given: { state: true }, taken: { state: true } };

  declare thread: Thread;
  /** What is in the box now. */
  declare box: string;
  /** The words that were given to be rewritten; null while nothing was. */
  declare given: string | null;
  /** What stands in the box instead of them; null until it does. */
  declare taken: string | null;
  readonly #asked = new Asked(this, () => this.#come());

  constructor() {
    super();
    this.box = "";
    this.given = this.taken = null;
  }

  rewrite(text: string, style: RewriteStyle): void {
    this.given = text;
    this.taken = null;
    void this.#asked.ask({ kind: "rewrite", conversation_id: this.thread.id, input: text, options: { style } });
  }

  close(): void {
    this.given = this.taken = null;
    this.#asked.reset();
  }

  override render(): TemplateResult | typeof nothing {
    if (this.given === null) return nothing;
    return html`<div class="strip" role="group" aria-label=${this.words.ai.rewrite}><span class="sign small">${icons.spark}</span>${this.#state()}</div>`;
  }

  #state(): TemplateResult {
    const { words } = this;
    const { working, failure, failureText, text } = this.#asked;
    if (failure) return html`<p class="failed" role="alert">${failureText}</p><span class="acts"><button class="link" @click=${() => this.#asked.again()}>${words.again}</button>${this.#closing()}</span>`;
    if (working) return html`<p role="status">${text ? nothing : dots} ${words.ai.rewriting}</p><span class="acts"><button class="link" @click=${this.#leave}>${words.ai.stop}</button></span>`;
    if (this.taken !== null) return html`<p role="status">${words.ai.rewritten}</p><span class="acts"><button class="link" @click=${this.#undo}>${words.ai.undo}</button>${this.#closing()}</span>`;
    return html`<p class="aid-text">${answer(text)}</p><span class="acts"><button class="link" @click=${this.#take}>${words.ai.replace}</button>${this.#closing()}</span>`;
  }

  #closing(): TemplateResult {
    return html`<button class="round" aria-label=${this.words.close} @click=${this.#leave}>${icons.close}</button>`;
  }

  /** Whoever wrote on meanwhile keeps what they wrote, and is shown the other text instead. */
  #come(): void {
    if (this.box === this.given) this.#take();
  }

  #take(): void {
    this.given = this.box;
    this.taken = this.#asked.text;
    this.#put(this.taken);
  }

  #undo(): void {
    const { given } = this;
    this.close();
    this.#put(given ?? "");
  }

  #leave(): void {
    this.close();
    this.dispatchEvent(new CustomEvent("left"));
  }

  #put(text: string): void {
    this.dispatchEvent(new CustomEvent("rewritten", { detail: text }));
  }

  static override styles = [
    common,
    aid,
    css`
      .strip {
        display: flex;
        align-items: center;
        flex-wrap: wrap;
        gap: 0.2rem 0.5rem;
        min-height: 2.25rem;
        padding: 0 0.25rem 0.4rem 0.5rem;
        font-size: 0.875rem;
      }
      .sign {
        color: var(--accent);
      }
      p {
        flex: 1;
        min-width: 8rem;
        display: flex;
        align-items: center;
        gap: 0.5rem;
        color: var(--ink-soft);
      }
      p.aid-text {
        display: block;
        color: var(--ink);
        max-height: 8rem;
        overflow-y: auto;
      }
      p.failed {
        color: var(--danger);
      }
    `,
  ];
}

customElements.define("doran-rewriting", DoranRewriting);

declare global {
  interface HTMLElementTagNameMap {
    "doran-rewriting": DoranRewriting;
  }
}
