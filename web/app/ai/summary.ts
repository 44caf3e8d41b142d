/** What was said, in a few lines: a card only for me, with ways to the messages it rests on. */

import { css, html, nothing, type TemplateResult } from "lit";
import type { Citation, Thread } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { answer } from "../lib/prose.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { Asked } from "./asked.ts";
import { dots } from "./dots.ts";

export class DoranSummary extends Piece {
  static override properties = { thread: { attribute: false }, open: { state: true } };

  declare thread: Thread;
  declare open: boolean;
  readonly #asked = new Asked(this);

  constructor() {
    super();
    this.open = false;
  }

  /** Of what came after this seq; without one, of what the server finds worth it. */
  ask(sinceSeq?: number): void {
    this.open = true;
    void this.#asked.ask({ kind: "summarize", conversation_id: this.thread.id, ...(sinceSeq === undefined ? {} : { options: { since_seq: sinceSeq } }) });
    void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>("section")?.focus({ preventScroll: true }));
  }

  close(): void {
    this.open = false;
    this.#asked.reset();
  }

  override render(): TemplateResult | typeof nothing {
    const { words } = this;
    const { working, text } = this.#asked;
    if (!this.open) return nothing;
    return html`
      <section class="aid" tabindex="-1" aria-labelledby="summary" @keydown=${this.#key}>
        <div class="aid-head">
          ${icons.spark}<h3 id="summary">${words.ai.summary}</h3><span class="hint">${words.ai.onlyForYou}</span>
          <span class="acts">
            ${working ? html`<button class="link" @click=${this.close}>${words.ai.stop}</button>` : html`<button class="round" aria-label=${words.close} @click=${this.close}>${icons.close}</button>`}
          </span>
        </div>
        <div role="status" aria-busy=${working && text ? "true" : "false"}>
          ${text ? html`<p class="aid-text">${answer(text)}</p>` : nothing}
          ${working ? html`<p class="hint working">${dots} ${words.ai.summarizing}</p>` : nothing}
        </div>
        ${this.#rest()}
      </section>
    `;
  }

  #rest(): TemplateResult | typeof nothing {
    const { words } = this;
    const { failure, failureText, result } = this.#asked;
    if (failure) return html`<p class="failed" role="alert">${failureText} <button class="link" @click=${() => this.#asked.again()}>${words.again}</button></p>`;
    if (result?.forgotten) return html`<p class="hint">${words.ai.forgotten}</p>`;
    return result?.citations?.length ? this.#grounds(result.citations) : nothing;
  }

  #grounds(citations: readonly Citation[]): TemplateResult {
    const { ai } = this.words;
    return html`<p class="grounds" role="group" aria-label=${ai.grounds}><span class="hint">${ai.grounds}</span>${citations.map(({ seq }, at) => html`<button class="ground" aria-label=${ai.ground(at + 1)} @click=${() => this.#jump(seq)}>${at + 1}</button>`)}</p>`;
  }

  #jump(seq: number): void {
    this.dispatchEvent(new CustomEvent("jump", { detail: seq }));
  }

  #key(event: KeyboardEvent): void {
    if (event.key === "Escape") this.close();
  }

  static override styles = [
    common,
    aid,
    css`
      :host {
        display: block;
      }
      .aid {
        margin: 0.75rem auto 0;
        max-width: 57.5rem;
        width: calc(100% - 2.5rem);
        max-height: 45dvh;
        overflow-y: auto;
        box-shadow: var(--shadow-bubble);
        scrollbar-width: thin;
      }
      h3 {
        font-size: inherit;
        margin: 0;
      }
      [role="status"] {
        display: grid;
        gap: 0.5rem;
      }
      .working {
        display: flex;
        align-items: center;
        gap: 0.5rem;
      }
      .grounds {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.35rem;
      }
      .ground {
        min-width: 1.75rem;
        height: 1.75rem;
        padding: 0 0.4rem;
        border-radius: 0.6rem;
        background: var(--accent-soft);
        color: var(--accent-strong);
        font-size: 0.8125rem;
        font-weight: 700;
      }
      @media (max-width: 759px) {
        .aid {
          width: calc(100% - 1.5rem);
        }
      }
    `,
  ];
}

customElements.define("doran-summary", DoranSummary);

declare global {
  interface HTMLElementTagNameMap {
    "doran-summary": DoranSummary;
  }
}
