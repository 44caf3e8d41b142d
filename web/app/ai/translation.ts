/** A message in another language, under the original. What was translated stays so until the words change. */

import { css, html, nothing, type TemplateResult } from "lit";
import type { JobResult, Message } from "../../client/index.ts";
import { Piece } from "../lib/piece.ts";
import { answer } from "../lib/prose.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { type Language, language, languageName } from "../words/index.ts";
import { Asked } from "./asked.ts";
import { dots } from "./dots.ts";

/** The engine's name where no translation service but a model did it: that goes without saying. */
const MODEL = "model";

/** What was wanted, and what came of it, by message and version: it outlives the row on the page, not the session. */
const wanted = new Map<string, { readonly target: Language; result: JobResult | null; hidden: boolean }>();

/** An edited message is another text. */
function version({ id, edited_at }: Message): string {
  return `${id} ${edited_at ?? ""}`;
}

export function isTranslated(message: Message): boolean {
  return wanted.has(version(message));
}

export function wantTranslation(message: Message, target: Language): void {
  wanted.set(version(message), { target, result: null, hidden: false });
}

/** Somebody else may sit here next. */
export function forgetTranslations(): void {
  wanted.clear();
}

/** Into my language; what seems to be written in mine already, into the other of the two. */
export function targetFor(content: string, mine = language()): Language {
  if (share(content, /\p{Script=Hangul}/gu) > 1 / 3) return "en";
  return mine === "en" && share(content, /\p{Script=Latin}/gu) > 1 / 2 ? "ko" : mine;
}

/** How much of the letters is of this script. */
function share(content: string, script: RegExp): number {
  const letters = content.match(/\p{L}/gu)?.length ?? 0;
  return letters ? (content.match(script)?.length ?? 0) / letters : 0;
}

export class DoranTranslation extends Piece {
  static override properties = { message: { attribute: false } };

  declare message: Message;
  readonly #asked = new Asked(this, ({ result }) => this.#come(result));
  #of = "";

  override render(): TemplateResult | typeof nothing {
    const { words } = this;
    const want = wanted.get(version(this.message));
    if (!want) return nothing;
    if (this.#asked.failure) return html`<p class="below failed" role="alert">${this.#asked.failureText} <button class="link" @click=${() => this.#asked.again()}>${words.again}</button> <button class="link" @click=${this.#stop}>${words.close}</button></p>`;
    if (!want.result) return html`<p class="below" role="status">${dots} ${words.ai.translating} <button class="link" @click=${this.#stop}>${words.ai.stop}</button></p>`;
    return this.#made(want.result, want.target, want.hidden);
  }

  #made(result: JobResult, target: Language, hidden: boolean): TemplateResult {
    const { ai } = this.words;
    const [from, to] = [result.source, result.target ?? target];
    const what = from ? ai.translated(languageName(from), languageName(to)) : ai.translatedTo(languageName(to));
    if (hidden) return html`<p class="below"><button class="link" @click=${() => this.#hide(false)}>${ai.showTranslation}</button></p>`;
    const text = result.forgotten ? ai.forgotten : (result.text ?? "");
    return html`
      <div class="made" lang=${to}>${answer(text)}</div>
      <p class="below"><span>${ai.translation} · ${what}${result.engine && result.engine !== MODEL ? ` · ${result.engine}` : ""}</span><button class="link" @click=${() => this.#hide(true)}>${ai.hideTranslation}</button></p>
    `;
  }

  protected override willUpdate(): void {
    const now = version(this.message);
    const want = wanted.get(now);
    if (!want || want.result || this.#of === now) return;
    this.#of = now;
    void this.#asked.ask({ kind: "translate", conversation_id: this.message.conversation_id, message_id: this.message.id, options: { target: want.target } });
  }

  #come(result: JobResult | null): void {
    const want = wanted.get(this.#of);
    if (want) want.result = result;
  }

  #hide(hidden: boolean): void {
    const want = wanted.get(version(this.message));
    if (want) want.hidden = hidden;
    this.requestUpdate();
  }

  #stop(): void {
    wanted.delete(version(this.message));
    this.#of = "";
    this.#asked.reset();
    this.dispatchEvent(new CustomEvent("given-up"));
  }

  static override styles = [
    common,
    aid,
    css`
      :host {
        display: block;
        white-space: normal;
      }
      .made {
        margin-block-start: 0.45rem;
        padding-block-start: 0.45rem;
        border-block-start: 1px solid color-mix(in srgb, currentColor 18%, transparent);
        white-space: pre-wrap;
      }
      .below {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0.1rem 0.6rem;
        padding-block-start: 0.3rem;
        font-size: 0.75rem;
        opacity: 0.92;
        white-space: normal;
      }
      .below .link {
        color: inherit;
        text-decoration: underline;
        text-underline-offset: 2px;
        min-height: 1.5rem;
      }
      .below.failed {
        color: var(--danger);
      }
    `,
  ];
}

customElements.define("doran-translation", DoranTranslation);

declare global {
  interface HTMLElementTagNameMap {
    "doran-translation": DoranTranslation;
  }
}
