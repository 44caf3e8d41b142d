/** The box to write in: grows with the text, sends on Enter what is visible, once; keeps drafts. */

import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { DoranError, type Message, type RewriteStyle, type Thread, type Writing } from "../../client/index.ts";
import { STYLES } from "../ai/rewriting.ts";
import "../ai/suggestions.ts";
import { EnterGate, type Verdict } from "../lib/composition.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { cleaned, isBlank, lengthOf, snippet } from "../lib/text.ts";
import { common } from "../styles/common.ts";
import { problemText } from "../words/index.ts";
import { type Choice, over } from "./menu.ts";

/** The contract's default; a server with another limit still has the last word. */
const LIMIT = 4_000;
const COUNT_FROM = 3_600;
/** Refusals of an edit after which other words may pass. */
const MENDABLE = new Set(["validation_failed", "payload_too_large", "bad_request", "malformed_json"]);

export class DoranComposer extends Piece {
  static override properties = { thread: { attribute: false }, name: {}, bot: { type: Boolean }, replyTo: { attribute: false }, editing: { attribute: false }, text: { state: true } };
  static override shadowRootOptions = { ...Piece.shadowRootOptions, delegatesFocus: true };

  declare thread: Thread;
  declare name: string;
  /** The other one is a bot: one does not ask a model what to say to it. */
  declare bot: boolean;
  declare replyTo: Message | null;
  declare editing: Message | null;
  declare text: string;

  readonly #gate = new EnterGate();
  /** What is being written, as this box has last seen it. */
  #seen = "";
  #saving = false;

  constructor() {
    super();
    this.name = this.text = "";
    this.replyTo = this.editing = null;
    this.bot = false;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.text = this.#seen = this.#kept;
  }

  protected override attend(): void {
    this.follow("offer", () => this.requestUpdate());
    this.follow("conversation", ({ id }) => id === this.thread.id && this.#takeUp());
    this.follow("draft", ({ id }) => id === this.thread.id && this.#takeUp());
    this.until(() => this.#leave());
  }

  /** Into the box, also where a button that cancels stands before it. */
  override focus(options?: FocusOptions): void {
    this.renderRoot.querySelector("textarea")?.focus(options);
  }

  override render(): TemplateResult {
    const { words } = this;
    const length = lengthOf(cleaned(this.text));
    const over = length - LIMIT;
    const empty = isBlank(this.text);
    return html`
      <form @submit=${(event: Event) => event.preventDefault()}>
        ${this.#above()}
        <doran-suggestions .thread=${this.thread} @come=${this.#goToSuggestions} @chosen=${this.#takeSuggestion} @left=${() => this.focus()}></doran-suggestions>
        <doran-rewriting .thread=${this.thread} .box=${this.text} @rewritten=${this.#takeRewritten} @left=${() => this.focus()}></doran-rewriting>
        <div class="box">
          <textarea
            rows="1"
            aria-label=${words.messageBox}
            placeholder=${words.placeholder}
            enterkeyhint=${enterSends() ? "send" : "enter"}
            autocomplete="off"
            @input=${this.#input}
            @keydown=${this.#key}
            @keyup=${(event: KeyboardEvent) => this.#gate.keyup(event)}
            @beforeinput=${this.#beforeInput}
            @compositionstart=${() => this.#gate.compositionStart()}
            @compositionend=${this.#compositionEnd}
            @blur=${() => this.client.typing(this.thread.id, false)}
          ></textarea>
          ${this.#help(empty)}
          <button type="button" class="send" aria-label=${this.editing ? words.save : words.send} title=${this.editing ? words.save : words.send} ?disabled=${empty || over > 0} @pointerdown=${(event: Event) => event.preventDefault()} @click=${this.#press}>${this.editing ? icons.check : icons.send}</button>
        </div>
        ${length > COUNT_FROM ? html`<p class="count ${over > 0 ? "wrong" : "hint"}" role="status">${over > 0 ? words.tooLong(over) : words.remaining(-over)}</p>` : nothing}
      </form>
      <doran-menu></doran-menu>
    `;
  }

  /** With nothing in the box: what one might say. With something: other ways to say it. */
  #help(empty: boolean): TemplateResult | typeof nothing {
    const { ai } = this.words;
    const suggests = empty && !this.bot && !this.editing && this.client.ai.offers("smart_replies") && this.thread.lastSeq > 0;
    if (suggests) return html`<button type="button" class="round help" aria-label=${ai.suggest} title=${ai.suggest} @click=${() => this.renderRoot.querySelector("doran-suggestions")!.ask()}>${icons.spark}</button>`;
    if (empty || !this.client.ai.offers("rewrite")) return nothing;
    return html`<button type="button" class="round help" aria-label=${ai.rewrite} title=${ai.rewrite} aria-haspopup="menu" @click=${this.#styles}>${icons.spark}</button>`;
  }

  #above(): TemplateResult | typeof nothing {
    const { words, replyTo, editing } = this;
    const message = editing ?? replyTo;
    if (!message) return nothing;
    const mine = message.sender_id === this.client.userId;
    const title = editing ? words.editing : mine ? words.replyingToMe : words.replyingTo(this.name);
    return html`<div class="above"><span class="small">${editing ? icons.edit : icons.reply}</span><p><strong>${title}</strong><span><bdi>${message.is_deleted ? words.deletedMessage : snippet(message.content)}</bdi></span></p><button type="button" class="round" aria-label=${words.cancel} @click=${this.#cancel}>${icons.close}</button></div>`;
  }

  protected override updated(changed: PropertyValues): void {
    const box = this.#box;
    if (!this.#gate.composing && box.value !== this.text) box.value = this.text;
    if (changed.has("text")) grow(box);
    if (changed.has("editing") && this.editing) box.setSelectionRange(box.value.length, box.value.length);
  }

  get #box(): HTMLTextAreaElement {
    return this.renderRoot.querySelector("textarea")!;
  }

  // -- hands on keys

  #input(): void {
    this.text = this.#box.value;
    if (!this.#edit) this.client.typing(this.thread.id, !isBlank(this.text));
    this.#keep();
  }

  #key(event: KeyboardEvent): void {
    const idle = !event.isComposing && !this.#gate.composing;
    if (event.key === "Escape" && idle && (this.#edit || this.thread.writing.replyTo)) return this.#cancel();
    if (event.key === "ArrowUp" && idle && this.#box.value === "" && !this.#edit) {
      event.preventDefault();
      this.dispatchEvent(new CustomEvent("edit-last"));
      return;
    }
    this.#obey(this.#gate.keydown(event), event);
  }

  #beforeInput(event: InputEvent): void {
    this.#obey(this.#gate.beforeInput(event), event);
  }

  /** What an Enter means is the gate's to judge; on a touch keyboard it is a new line. */
  #obey(verdict: Verdict, event: Event): void {
    if (!enterSends() || verdict === "pass") return;
    event.preventDefault();
    if (verdict === "send") this.#submit();
  }

  /** While a syllable is open, leaving the box commits it; then it is complete and can go. */
  #press(): void {
    const box = this.#box;
    if (this.#gate.press() === "send") this.#submit();
    else box.blur();
    box.focus();
  }

  #compositionEnd(): void {
    const verdict = this.#gate.compositionEnd();
    // The box takes over the last syllable before or right after this event, depending on the browser.
    setTimeout(() => {
      this.text = this.#box.value;
      this.#keep();
      if (verdict === "send" && !this.#gate.composing) this.#submit();
    });
  }

  // -- what a model brings

  #styles(event: MouseEvent): void {
    const button = event.currentTarget as HTMLElement;
    const choices = STYLES.map((style): Choice => ({ label: this.words.ai.style[style], icon: icons.spark, act: () => this.#rewrite(style) }));
    void this.renderRoot.querySelector("doran-menu")!.open(this.words.ai.rewrite, choices, over(button), button);
  }

  #rewrite(style: RewriteStyle): void {
    const text = cleaned(this.#box.value);
    if (text !== this.text) this.#put(text);
    this.renderRoot.querySelector("doran-rewriting")!.rewrite(text, style);
  }

  /** Whose hands are still on the button that asked is led on; whoever writes meanwhile is not disturbed. */
  #goToSuggestions(): void {
    if (this.shadowRoot?.activeElement?.classList.contains("help")) this.renderRoot.querySelector("doran-suggestions")!.enter();
  }

  #takeSuggestion(event: CustomEvent<string>): void {
    this.#put(event.detail);
    this.focus();
  }

  #takeRewritten(event: CustomEvent<string>): void {
    this.#put(event.detail);
  }

  /** Put words into the box as if they were written there. */
  #put(text: string): void {
    this.text = this.#box.value = text;
    this.#keep();
  }

  // -- what is done with it

  #submit(): void {
    const content = cleaned(this.#box.value);
    if (isBlank(content) || lengthOf(content) > LIMIT) return;
    const edit = this.#edit;
    if (edit) return void this.#saveEdit(edit.messageId, content);
    this.#empty();
    this.client.send(this.thread.id, content, { replyTo: this.thread.writing.replyTo });
  }

  async #saveEdit(id: string, content: string): Promise<void> {
    if (this.#saving) return;
    this.#saving = true;
    try {
      if (content !== this.editing?.content) await this.client.edit({ id }, content);
      if (this.#edit?.messageId === id) this.#endEdit();
    } catch (error) {
      this.#editRefused(error instanceof DoranError ? error : new DoranError("unknown"), content);
    } finally {
      this.#saving = false;
    }
  }

  /** What can be tried again, or be mended, stays here. Else the words go on as a new message, if one likes. */
  #editRefused({ code, passing }: DoranError, content: string): void {
    if (passing || MENDABLE.has(code) || code === "unknown") return this.notify(problemText(code));
    this.#endEdit();
    this.client.writeMore(this.thread.id, content);
    this.notify(this.words.editToBox(problemText(code)));
  }

  #empty(): void {
    this.#box.value = this.text = "";
    this.renderRoot.querySelector("doran-suggestions")!.close();
    this.renderRoot.querySelector("doran-rewriting")!.close();
  }

  /** Out of the edit, or else out of the reply. */
  #cancel(): void {
    if (this.#edit) this.#endEdit();
    else this.client.write(this.thread.id, { replyTo: null });
    this.focus();
  }

  #endEdit(): void {
    this.client.write(this.thread.id, { edit: null });
  }

  // -- what is kept of it

  get #edit(): Writing["edit"] {
    return this.thread.writing.edit;
  }

  /** What stands here by the store. */
  get #kept(): string {
    return this.#edit?.text ?? this.thread.draft;
  }

  #keep(): void {
    const { text } = this;
    const edit = this.#edit;
    this.#seen = text;
    this.client.write(this.thread.id, edit ? { edit: { ...edit, text } } : { text });
  }

  /** Changed, or sent, in another tab or on another device; never under a hand that composes. */
  #takeUp(): void {
    this.#rescueEdit();
    const kept = this.#kept;
    if (kept === this.#seen || this.#gate.composing) return;
    this.text = this.#seen = kept;
  }

  /** The message that is being changed was deleted meanwhile: there is nothing to save, but the words are kept. */
  #rescueEdit(): void {
    const edit = this.#edit;
    if (!edit || !this.thread.timeline.find(edit.messageId)?.is_deleted) return;
    this.#endEdit();
    if (edit.text === this.editing?.content) return;
    this.client.writeMore(this.thread.id, edit.text);
    this.notify(this.words.editToBox(problemText("message_deleted")));
  }

  #leave(): void {
    this.client.typing(this.thread.id, false);
    this.client.saveDraft(this.thread.id);
  }

  static override styles = [
    common,
    css`
      :host {
        display: block;
        background: var(--surface);
        border-block-start: 1px solid var(--line);
        padding: 0.7rem 1.25rem calc(0.8rem + env(safe-area-inset-bottom));
      }
      form {
        max-width: 57.5rem;
        margin: 0 auto;
      }
      .box {
        display: flex;
        align-items: flex-end;
        gap: 0.5rem;
        padding: 0.3rem 0.3rem 0.3rem 1rem;
        border: 1px solid var(--line);
        border-radius: 1.4rem;
        background: var(--raised);
      }
      .box:focus-within {
        border-color: var(--accent);
        box-shadow: 0 0 0 1px var(--accent);
      }
      textarea:focus-visible {
        outline: none;
      }
      textarea {
        flex: 1;
        min-width: 0;
        max-height: min(11rem, 35dvh);
        padding: 0.45rem 0;
        border: 0;
        outline: none;
        resize: none;
        background: none;
        color: inherit;
        font: inherit;
        font-size: 1rem;
        line-height: 1.5;
        overflow-wrap: anywhere;
        scrollbar-width: thin;
      }
      .help {
        width: 2.375rem;
        height: 2.375rem;
        margin-inline-end: -0.25rem;
        color: var(--accent);
      }
      .send {
        display: grid;
        place-items: center;
        flex: none;
        width: 2.375rem;
        height: 2.375rem;
        border-radius: 50%;
        background: var(--accent);
        color: var(--on-accent);
      }
      .send:disabled {
        background: var(--sunken);
        color: var(--ink-faint);
        opacity: 1;
      }
      .send .icon {
        stroke-width: 2.1;
      }
      .above {
        display: flex;
        align-items: center;
        gap: 0.7rem;
        padding: 0 0.25rem 0.55rem 0.6rem;
        color: var(--accent);
      }
      .above p {
        flex: 1;
        min-width: 0;
        display: grid;
        font-size: 0.875rem;
        line-height: 1.4;
      }
      .above p span {
        color: var(--ink-soft);
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .above .round {
        width: 2.25rem;
        height: 2.25rem;
      }
      .count {
        text-align: end;
        padding: 0.25rem 0.75rem 0;
      }
      @media (max-width: 759px) {
        :host {
          padding-inline: 0.75rem;
        }
      }
    `,
  ];
}

/** On a touch keyboard Enter is a new line, as people there expect; the button sends. */
function enterSends(): boolean {
  return !matchMedia("(pointer: coarse)").matches || matchMedia("(any-pointer: fine)").matches;
}

/** As high as its text, up to the style's limit. What is around it stands still meanwhile, or the conversation would scroll. */
function grow(box: HTMLTextAreaElement): void {
  const frame = box.parentElement!;
  frame.style.setProperty("height", `${frame.getBoundingClientRect().height}px`);
  box.style.setProperty("height", "auto");
  box.style.setProperty("height", `${box.scrollHeight}px`);
  frame.style.removeProperty("height");
}

customElements.define("doran-composer", DoranComposer);

declare global {
  interface HTMLElementTagNameMap {
    "doran-composer": DoranComposer;
  }
}
