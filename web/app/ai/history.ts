/** Asking one's own conversations: a question, an answer with the messages it rests on, or just the messages. */

import { css, html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import type { Citation, JobKind } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { answer } from "../lib/prose.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { sheet } from "../styles/sheet.ts";
import { Asked } from "./asked.ts";
import { dots } from "./dots.ts";
import "./source.ts";

const LIMIT = 20;

export class DoranHistory extends Piece {
  static override properties = { kind: { state: true } };

  /** What was asked for last. */
  declare kind: JobKind;
  readonly #asked = new Asked(this);

  constructor() {
    super();
    this.kind = "ask";
  }

  protected override attend(): void {
    this.follow("offer", () => this.requestUpdate());
  }

  override render(): TemplateResult {
    const { words } = this;
    const { ai } = this.client;
    const [asks, searches] = [ai.offers("ask"), ai.offers("semantic_search")];
    return html`
      <div class="page">
        <header><a class="round" href="#/" aria-label=${words.back}>${icons.back}</a><h1>${words.ai.history}</h1></header>
        ${
          asks || searches
            ? html`
              <form role="search" @submit=${this.#submit}>
                <input name="question" type="search" aria-label=${words.ai.question} aria-describedby="hint" placeholder=${words.ai.questionPlaceholder} autocomplete="off" required />
                <p id="hint" class="hint">${words.ai.historyHint}</p>
                <div class="buttons">
                  ${asks ? html`<button class="button main slim" name="kind" value="ask" ?disabled=${this.#asked.working}>${icons.spark}${words.ai.ask}</button>` : nothing}
                  ${searches ? html`<button class="button slim ${asks ? "plain" : "main"}" name="kind" value="semantic_search" ?disabled=${this.#asked.working}>${icons.find}${words.ai.search}</button>` : nothing}
                </div>
              </form>
              ${this.#outcome()}
            `
            : html`<div class="empty">${icons.spark}<strong>${ai.known ? words.ai.failure.no_provider : words.loading}</strong></div>`
        }
      </div>
    `;
  }

  #outcome(): TemplateResult | typeof nothing {
    const { words } = this;
    const { working, done, failure, failureText, text, result } = this.#asked;
    const busy = this.kind === "ask" ? words.ai.asking : words.ai.searching;
    if (working) return html`<section class="aid"><p class="working" role="status">${dots} ${busy} <button class="link" @click=${() => this.#asked.reset()}>${words.ai.stop}</button></p></section>`;
    if (failure) return html`<section class="aid"><p class="failed" role="alert">${failureText} <button class="link" @click=${() => this.#asked.again()}>${words.again}</button></p></section>`;
    if (!done) return nothing;
    const citations = result?.citations ?? [];
    if (result?.forgotten) return html`<section class="aid"><p role="status">${words.ai.forgotten}</p></section>`;
    if (!text && !citations.length) return html`<section class="aid"><p role="status">${words.ai.nothingFound}</p><p class="hint">${words.ai.lookElsewhere}</p></section>`;
    return html`${text ? this.#answered(text) : nothing}${citations.length ? this.#sources(citations) : html`<p class="hint">${words.ai.lookElsewhere}</p>`}`;
  }

  #answered(text: string): TemplateResult {
    return html`<section class="aid" aria-labelledby="answer"><div class="aid-head">${icons.spark}<h2 id="answer">${this.words.ai.answer}</h2></div><div class="aid-text" role="status">${answer(text)}</div></section>`;
  }

  #sources(citations: readonly Citation[]): TemplateResult {
    const { ai } = this.words;
    const title = this.kind === "ask" ? ai.sources : ai.found(citations.length);
    return html`
      <section class="sources" aria-labelledby="sources">
        <h2 id="sources" role=${this.kind === "ask" ? nothing : "status"}>${title}</h2>
        <ol>${repeat(citations, ({ message_id }) => message_id, (citation, at) => html`<li><doran-source .citation=${citation} .number=${at + 1}></doran-source></li>`)}</ol>
      </section>
    `;
  }

  #submit(event: SubmitEvent): void {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const input = String(new FormData(form).get("question") ?? "").normalize("NFC").trim();
    const wanted = (event.submitter as HTMLButtonElement | null)?.value as JobKind | undefined;
    if (!input || this.#asked.working) return;
    this.kind = wanted ?? (this.client.ai.offers("ask") ? "ask" : "semantic_search");
    void this.#asked.ask({ kind: this.kind, input, ...(this.kind === "ask" ? {} : { options: { limit: LIMIT } }) });
  }

  /** Put the hands where one writes. */
  enter(): void {
    this.renderRoot.querySelector("input")?.focus();
  }

  static override styles = [
    common,
    sheet,
    aid,
    css`
      :host {
        --sheet-width: 40rem;
      }
      form {
        display: grid;
        gap: 0.5rem;
      }
      .buttons {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
      }
      .buttons .icon {
        width: 1.1rem;
        height: 1.1rem;
      }
      .working,
      .failed {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.25rem 0.6rem;
      }
      .aid-head h2 {
        font-size: inherit;
      }
      .sources h2 {
        font-size: 0.875rem;
        color: var(--ink-soft);
        padding: 0 0.2rem 0.4rem;
      }
      .sources ol {
        display: grid;
        gap: 0.15rem;
        padding: 0.35rem;
        border: 1px solid var(--line);
        border-radius: 1.1rem;
        background: var(--surface);
      }
      @media (min-width: 760px) {
        header .round {
          display: none;
        }
        header {
          margin-inline-start: 0;
        }
      }
    `,
  ];
}

customElements.define("doran-history", DoranHistory);

declare global {
  interface HTMLElementTagNameMap {
    "doran-history": DoranHistory;
  }
}
