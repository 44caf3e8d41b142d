/** Short replies to choose from, above the box. Nothing is sent: a tap puts one into the box. */

import { css, html, nothing, type TemplateResult } from "lit";
import type { Thread } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { Asked } from "./asked.ts";
import { dots } from "./dots.ts";

export class DoranSuggestions extends Piece {
  static override properties = { thread: { attribute: false }, open: { state: true } };

  declare thread: Thread;
  declare open: boolean;
  readonly #asked = new Asked(this, () => this.#come());

  constructor() {
    super();
    this.open = false;
  }

  protected override attend(): void {
    this.follow("message", ({ conversationId }) => conversationId === this.thread.id && this.close());
  }

  ask(): void {
    this.open = true;
    void this.#asked.ask({ kind: "smart_replies", conversation_id: this.thread.id });
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.#asked.reset();
  }

  override render(): TemplateResult | typeof nothing {
    const { words } = this;
    const { working, failure, failureText, result } = this.#asked;
    if (!this.open) return nothing;
    return html`
      <div class="strip" role="group" aria-label=${words.ai.suggest} @keydown=${this.#key}>
        <p class="unseen" role="status">${working ? words.ai.suggesting : result ? words.ai.suggested : ""}</p>
        <span class="sign small">${icons.spark}</span>
        <div class="chips">
          ${working ? html`<span class="hint" aria-hidden="true">${dots} ${words.ai.suggesting}</span>` : nothing}
          ${failure ? html`<p class="failed" role="alert">${failureText} <button class="link" @click=${() => this.#asked.again()}>${words.again}</button></p>` : nothing}
          ${(result?.replies ?? []).map((text) => html`<button class="chip" @click=${() => this.#choose(text)}><bdi>${text}</bdi></button>`)}
        </div>
        <button class="round" aria-label=${working ? words.ai.stop : words.close} title=${working ? words.ai.stop : words.close} @click=${() => this.#leave()}>${working ? icons.stop : icons.close}</button>
      </div>
    `;
  }

  /** Put the hands on the first of them. */
  enter(): void {
    void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>(".chip")?.focus());
  }

  #come(): void {
    this.dispatchEvent(new CustomEvent("come"));
  }

  #choose(text: string): void {
    this.close();
    this.dispatchEvent(new CustomEvent("chosen", { detail: text }));
  }

  #leave(): void {
    this.close();
    this.dispatchEvent(new CustomEvent("left"));
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape") this.#leave();
  }

  static override styles = [
    common,
    aid,
    css`
      .strip {
        display: flex;
        align-items: center;
        gap: 0.5rem;
        padding: 0 0.25rem 0.55rem 0.5rem;
      }
      .sign {
        color: var(--accent);
      }
      .chips {
        flex: 1;
        min-width: 0;
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.4rem;
        min-height: 2.25rem;
        font-size: 0.875rem;
      }
      .chips .hint {
        display: inline-flex;
        align-items: center;
        gap: 0.5rem;
      }
      .chip {
        max-width: 100%;
        padding: 0.4rem 0.9rem;
        border: 1px solid var(--line);
        border-radius: 1.2rem;
        background: var(--raised);
        text-align: start;
        font-size: 0.9375rem;
        overflow-wrap: anywhere;
      }
      .chip:hover {
        border-color: var(--accent);
        background: var(--accent-soft);
      }
      .round {
        width: 2.25rem;
        height: 2.25rem;
        align-self: flex-start;
      }
    `,
  ];
}

customElements.define("doran-suggestions", DoranSuggestions);

declare global {
  interface HTMLElementTagNameMap {
    "doran-suggestions": DoranSuggestions;
  }
}
