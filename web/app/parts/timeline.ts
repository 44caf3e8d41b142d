/** What was said, as far back as one likes: a few pages of it on the page at a time, held still while more comes in. */

import { html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { DoranError, type DeleteScope, type Message, type Thread, type Waiting } from "../../client/index.ts";
import "../ai/answering.ts";
import { isTranslated, targetFor, wantTranslation } from "../ai/translation.ts";
import { copyText } from "../lib/clipboard.ts";
import { hiding } from "../lib/hiding.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { isByFinger, LongPress } from "../lib/press.ts";
import { answer, prose } from "../lib/prose.ts";
import { isHidden, type Row, rows, visible } from "../lib/rows.ts";
import { around, down, following, newest, type Span, up } from "../lib/span.ts";
import { isOnlyEmoji, snippet } from "../lib/text.ts";
import type { Spot as Visited } from "../lib/visited.ts";
import { common } from "../styles/common.ts";
import { timeline } from "../styles/timeline.ts";
import { clock, day, dayAndClock, problemText } from "../words/index.ts";
import "./ask.ts";
import { type Beside, type Choice, type Spot, under } from "./menu.ts";

type MessageRow = Extract<Row, { kind: "message" }>;
type LostRow = Extract<Row, { kind: "lost" }>;
type WaitingRow = Extract<Row, { kind: "waiting" }>;

/** How far from an edge the next page is fetched, in pixels. */
const NEAR = 900;
/** From so many unread messages on, one may want to have them summed up. */
const MANY = 10;
/** This close to the end counts as being there. */
const AT_END = 32;
const FLASH_MS = 1_600;
/** How many pages of 100 are read to reach a quoted message, or the first unread one. */
const QUOTE_PAGES = 50;
const UNREAD_PAGES = 5;
/** More messages than this at once are only counted for a screen reader; of those told so many are kept, for it to come after. */
const TOLD_AT_ONCE = 20;
const TOLD_KEPT = 60;
const LAST = Number.MAX_SAFE_INTEGER;

export class DoranTimeline extends Piece {
  static override properties = { thread: { attribute: false }, name: {}, bot: { type: Boolean }, loading: { state: true }, failed: { state: true }, resume: { attribute: false }, flash: { state: true }, held: { state: true }, pinned: { state: true }, heard: { state: true }, active: { state: true } };

  declare thread: Thread;
  declare name: string;
  /** The other one is a bot: it reads nothing, and nobody has looked where its links lead. */
  declare bot: boolean;
  declare loading: boolean;
  declare failed: boolean;
  /** Where one was when one left, if one came back. */
  declare resume: Visited | null;
  declare flash: string;
  /** The row whose menu is open. */
  declare held: string;
  /** One looks at the end, and wants to keep looking at it. */
  declare pinned: boolean;
  /** What a screen reader is told: each message is an element of its own, or one that equals the last would be passed over. */
  declare heard: readonly { readonly key: number; readonly text: string }[];
  /** The row that the Tab key reaches. */
  declare active: string;

  #fromSeq = 0;
  #toSeq = LAST;
  #after: number | null = null;
  #missed = 0;
  #begun = false;
  #reaching = false;
  /** One came to see a certain message: then the first unread one is not looked for. */
  #led = false;
  #waiting = 0;
  /** The seq up to which a screen reader has been told what was said. */
  #announced = 0;
  #place: "hold" | "divider" | { readonly key: string; readonly top?: number } = "hold";
  #looking = 0;
  #lastTop = 0;
  readonly #press = new LongPress();
  readonly #resized = new ResizeObserver(() => this.#stay());

  constructor() {
    super();
    this.name = this.flash = this.held = this.active = "";
    this.resume = null;
    this.heard = [];
    this.loading = this.failed = this.bot = false;
    this.pinned = true;
  }

  protected override attend(): void {
    this.follow("conversation", ({ id }) => id === this.thread.id && this.requestUpdate());
    this.follow("message", ({ conversationId }) => conversationId === this.thread.id && this.#hear());
    this.follow("synced", () => {
      this.failed = false;
    });
    this.follow("offer", () => this.requestUpdate());
    this.until(hiding.onChange(() => this.requestUpdate()));
    this.listen("focus", () => this.#lookSoon());
    this.until(() => this.#resized.disconnect());
    const shown = () => this.#lookSoon();
    document.addEventListener("visibilitychange", shown);
    this.until(() => document.removeEventListener("visibilitychange", shown));
  }

  // -- what is on the page

  override render(): TemplateResult {
    const { thread, words } = this;
    const messages = visible(thread);
    const { from, to } = this.#span(messages);
    const shown = rows(messages, from, to, thread.waiting, this.#after);
    const active = shown.some(({ key }) => key === this.active) ? this.active : shown.findLast(({ kind }) => kind !== "lost")?.key;
    return html`
      <div class="scroller" tabindex="-1" @scroll=${this.#scrolled}>
        <div class="content ${messages.length + thread.waiting.length ? "" : "hollow"}">
          ${this.#top(from, messages.length + thread.waiting.length)}
          <div class="log" role="log" aria-live="off" aria-label=${words.messagesWith(this.name)} @keydown=${this.#key}>
            ${repeat(shown, ({ key }) => key, (row) => this.#row(row, row.key === active))}
          </div>
          ${this.bot && this.#toSeq === LAST ? html`<doran-answering .thread=${thread} .name=${this.name}></doran-answering>` : nothing}
        </div>
      </div>
      ${this.pinned && this.#toSeq === LAST ? nothing : this.#jump()}
      <div class="unseen told" aria-live="polite" aria-relevant="additions">${repeat(this.heard, ({ key }) => key, ({ text }) => html`<p>${text}</p>`)}</div>
      <doran-menu @closed=${() => (this.held = "")}></doran-menu>
      <doran-ask></doran-ask>
    `;
  }

  #top(from: number, count: number): TemplateResult | typeof nothing {
    const { words } = this;
    if (this.failed) return html`<p class="top">${words.loadFailed} <button class="link" @click=${this.#tryAgain}>${words.again}</button></p>`;
    if (from > 0 || !this.thread.complete) return html`<p class="top" role="status">${this.loading ? words.older : ""}</p>`;
    return html`<div class="beginning"><doran-avatar .userId=${this.thread.peerId} .name=${this.name}></doran-avatar><p>${words.beginning(this.name)}</p>${count ? nothing : html`<p class="hint">${this.bot ? words.ai.assistantHint : words.sayHello}</p>`}</div>`;
  }

  #row(row: Row, active: boolean): TemplateResult {
    if (row.kind === "lost") return this.#lost(row);
    return row.kind === "message" ? this.#message(row, active) : this.#waitingRow(row, active);
  }

  /** However much was lost, and whether anything was at all: one line. */
  #lost(row: LostRow): TemplateResult {
    return html`
      <div class="row opens" data-key=${row.key} data-seq=${row.seq}>
        ${row.day ? html`<div class="day" role="separator"><span>${day(new Date(row.at))}</span></div>` : nothing}
        ${row.divider ? this.#divider() : nothing}
        <p class="lost">${this.words.lostMessages}</p>
      </div>
    `;
  }

  /** Where I stopped reading; if much was said since, it can be summed up. */
  #divider(): TemplateResult {
    const { words } = this;
    const sums = this.#missed >= MANY && !this.bot && this.client.ai.offers("summarize");
    return html`
      <div class="divider" role="separator"><span>${words.newMessages}</span></div>
      ${sums ? html`<p class="sum"><button class="button plain slim" @click=${() => this.dispatchEvent(new CustomEvent("summarize", { detail: this.#after }))}>${icons.spark}${words.ai.summarizeUnread}</button></p>` : nothing}
    `;
  }

  #message(row: MessageRow, active: boolean): TemplateResult {
    const { message } = row;
    const mine = message.sender_id === this.client.userId;
    const date = new Date(message.created_at);
    return html`
      <div class=${classes({ row: true, mine, opens: row.opens, closes: row.closes, flash: row.key === this.flash, held: row.key === this.held })} data-key=${row.key} data-seq=${message.seq}>
        ${row.day ? html`<div class="day" role="separator"><span>${day(date)}</span></div>` : nothing}
        ${row.divider ? this.#divider() : nothing}
        <article class="line" tabindex=${active ? 0 : -1} @contextmenu=${(event: MouseEvent) => this.#menuAt(event, message)} @pointerdown=${(event: PointerEvent) => this.#pressed(event, message)} @pointerup=${this.#press.end} @pointermove=${this.#press.move} @pointercancel=${this.#press.end} @click=${this.#press.click} @focus=${() => (this.active = row.key)}>
          ${mine ? nothing : html`<span class="face">${row.opens ? html`<doran-avatar .userId=${message.sender_id} .name=${this.name}></doran-avatar>` : nothing}</span>`}
          <span class="unseen">${mine ? this.words.you : this.name}:</span>
          ${this.#bubble(message)}
          <span class="meta">
            ${message.edited_at && !message.is_deleted ? html`<span class="edited">${this.words.edited}</span>` : nothing}
            ${mine && !message.is_deleted && !this.bot ? this.#mark(message, row.next) : nothing}
            <time class=${row.closes ? "" : "unseen"} datetime=${message.created_at} title=${dayAndClock(date)}>${clock(date)}</time>
          </span>
          ${message.is_deleted ? nothing : html`<button class="round more" tabindex="-1" aria-label=${this.words.messageActions} aria-haspopup="menu" @click=${(event: MouseEvent) => this.#menuUnder(event, message)}>${icons.more}</button>`}
        </article>
      </div>
    `;
  }

  #bubble(message: Message): TemplateResult {
    if (message.is_deleted) return html`<div class="bubble gone">${this.words.deletedMessage}</div>`;
    const written = isAnswer(message) ? answer(message.content) : prose(message.content);
    return html`<div class="bubble ${isOnlyEmoji(message.content) ? "emoji" : ""}">${message.reply_to && !isAnswer(message) ? this.#quote(message.reply_to) : nothing}${written}${isTranslated(message) ? html`<doran-translation .message=${message} @given-up=${() => this.requestUpdate()}></doran-translation>` : nothing}</div>`;
  }

  #quote(id: string): TemplateResult {
    const { words } = this;
    const quoted = this.thread.timeline.find(id);
    const who = quoted && (quoted.sender_id === this.client.userId ? words.you : this.name);
    const said = quoted ? (isHidden(quoted) ? words.hiddenMessage : quoted.is_deleted ? words.deletedMessage : snippet(quoted.content)) : words.earlierMessage;
    return html`<button class="quote" tabindex="-1" @click=${() => this.#showQuoted(id)}>${who ? html`<strong><bdi>${who}</bdi></strong>` : nothing}<span><bdi>${said}</bdi></span></button>`;
  }

  /** One sign for how far it got, where that differs from the next one of the run; what is read is said by colour and, to screen readers, by word. */
  #mark(message: Message, next: Message | undefined): TemplateResult {
    const { words } = this;
    const state = this.#progress(message);
    const shows = !next || this.#progress(next) !== state;
    return html`<span class="mark small ${state} ${shows ? "" : "unseen"}" title=${words[state]}>${state === "sent" ? icons.check : icons.checks}<span class="unseen">${words[state]}</span></span>`;
  }

  #progress({ seq }: Message): "read" | "delivered" | "sent" {
    const { peer } = this.thread;
    return seq <= peer.last_read_seq ? "read" : seq <= peer.last_delivered_seq ? "delivered" : "sent";
  }

  #waitingRow(row: WaitingRow, active: boolean): TemplateResult {
    const { entry } = row;
    return html`
      <div class=${classes({ row: true, mine: true, opens: row.opens, closes: true, flash: false, held: false })} data-key=${row.key}>
        ${row.day ? html`<div class="day" role="separator"><span>${day(new Date(entry.createdAt))}</span></div>` : nothing}
        <article class="line" tabindex=${active ? 0 : -1}>
          <span class="unseen">${this.words.you}:</span>
          <div class="bubble ${entry.problem ? "refused" : "pending"} ${isOnlyEmoji(entry.content) ? "emoji" : ""}">${entry.replyTo ? this.#quote(entry.replyTo) : nothing}${prose(entry.content)}</div>
          ${entry.problem ? nothing : this.#onItsWay(entry)}
        </article>
        ${entry.problem ? this.#refusal(entry, entry.problem) : nothing}
      </div>
    `;
  }

  #onItsWay(entry: Waiting): TemplateResult {
    const { words } = this;
    if (this.client.isSending(entry.clientMessageId)) return html`<span class="meta late small">${icons.clock}<span class="unseen">${words.sending}</span></span>`;
    return html`<span class="meta late small">${icons.clock}<span>${words.waiting}</span></span>`;
  }

  /** Whatever the server said: one press sends the words in some form, brings them back into the box, or copies them. */
  #refusal(entry: Waiting, problem: string): TemplateResult {
    const { words } = this;
    return html`
      <p class="refusal" role="alert">
        <span class="small">${icons.alert}</span><span>${words.notSent} · ${problemText(problem)}</span>
        ${needsOtherWords(problem) ? nothing : html`<button class="link" @click=${() => this.client.retry(entry.clientMessageId)}>${words.retry}</button>`}
        ${entry.replyTo && isAboutQuote(problem) ? html`<button class="link" @click=${() => this.client.retryWithoutQuote(entry.clientMessageId)}>${words.sendWithoutQuote}</button>` : nothing}
        ${this.thread.isActive ? html`<button class="link" @click=${() => this.#takeBack(entry)}>${words.writeAgain}</button>` : html`<button class="link" @click=${() => void this.#copy(entry)}>${words.copy}</button>`}
        <button class="link" @click=${() => this.client.discard(entry.clientMessageId)}>${words.discard}</button>
      </p>
    `;
  }

  #takeBack(entry: Waiting): void {
    this.client.takeBack(entry.clientMessageId);
    this.dispatchEvent(new CustomEvent("write"));
  }

  #jump(): TemplateResult {
    const { unread } = this.thread;
    const label = unread ? this.words.newBelow(unread) : this.words.toLatest;
    return html`<button class="jump" aria-label=${label} title=${label} @click=${this.#toEnd}>${unread ? html`<span>${label}</span>` : nothing}${icons.down}</button>`;
  }

  // -- holding still

  protected override willUpdate(): void {
    if (!this.#begun && this.thread.timeline.low > 0) this.#begin();
    const grown = this.thread.waiting.length > this.#waiting;
    this.#waiting = this.thread.waiting.length;
    if (grown && this.#begun) this.#mySend();
    if (this.#begun) this.#announceNew();
  }

  /** Whatever came since, however it came: live, late, or with what was missed while the line was down. */
  #announceNew(): void {
    const { newest } = this.thread.timeline;
    if (!newest || newest.seq <= this.#announced) return;
    const told = visible(this.thread).filter((message) => message.seq > this.#announced && message.sender_id === this.thread.peerId && !message.is_deleted);
    this.#announced = newest.seq;
    if (told.length > TOLD_AT_ONCE) this.#announce(this.words.newBelow(told.length), newest.seq);
    else for (const message of told) this.#announce(`${this.name}: ${isAnswer(message) ? message.content : snippet(message.content)}`, message.seq);
  }

  #announce(text: string, key: number): void {
    this.heard = [...this.heard.slice(1 - TOLD_KEPT), { key, text }];
  }

  protected override update(changed: PropertyValues): void {
    const anchor = this.pinned ? null : this.#anchor();
    const focused = this.#focusedKey;
    super.update(changed);
    if (focused && this.#focusedKey !== focused) this.#refocus(focused, anchor?.key ?? "");
    if (this.#place !== "hold") this.#goToPlace();
    else if (this.pinned) this.#toBottom();
    else if (anchor) this.#restore(anchor);
  }

  protected override firstUpdated(): void {
    this.#resized.observe(this.#scroller);
    this.#resized.observe(this.renderRoot.querySelector(".content")!);
  }

  protected override updated(): void {
    this.#lookSoon();
  }

  /** The first look: at the first unread message, or at the end. */
  #begin(): void {
    this.#begun = true;
    this.#announced = this.thread.timeline.newest?.seq ?? 0;
    const messages = visible(this.thread);
    this.#keep(newest(messages.length), messages);
    if (this.resume && this.#return(this.resume, messages)) return;
    this.#missed = this.thread.unread;
    if (this.#missed === 0) return;
    this.#after = Math.max(this.thread.readUpTo, this.thread.me.hidden_before_seq - 1);
    if (this.thread.timeline.low > this.#after + 1) void this.#reachFirstUnread(this.#after + 1);
    else this.#place = "divider";
  }

  /** One comes back to where one was, if that is still held. */
  #return({ key, top, fromSeq, toSeq }: Visited, messages: readonly Message[]): boolean {
    if (!messages.some((message) => keyOf(message) === key)) return false;
    this.#fromSeq = fromSeq;
    this.#toSeq = toSeq;
    this.pinned = false;
    this.#place = { key, top };
    return true;
  }

  /** Where one is, to come back to; null at the end, where one stays in any case. */
  get visited(): Visited | null {
    const anchor = this.pinned || !this.#begun ? null : this.#anchor();
    return anchor && { key: anchor.key, top: anchor.top - this.#scroller.getBoundingClientRect().top, fromSeq: this.#fromSeq, toSeq: this.#toSeq };
  }

  /** Much was said while I was away: read back to where I stopped, and only then call anything seen. */
  async #reachFirstUnread(seq: number): Promise<void> {
    this.#reaching = true;
    try {
      const pages = UNREAD_PAGES + Math.ceil(this.thread.lostAfter(seq) / 100);
      for (let page = 0; this.thread.timeline.low > seq && page < pages; page++) await this.client.loadOlder(this.thread.id, 100);
    } catch {
      this.failed = true;
    }
    this.#reaching = false;
    const messages = visible(this.thread);
    const at = firstAtLeast(messages, seq);
    if (this.#led || this.thread.timeline.low > seq || at >= messages.length) return this.#lookSoon();
    this.#keep(around(at, messages.length), messages);
    this.#place = "divider";
  }

  /** I said something: I want to see it, and the divider has done its duty. */
  #mySend(): void {
    this.#after = null;
    this.#toEnd();
  }

  #span(messages: readonly Message[]): Span {
    const from = firstAtLeast(messages, this.#fromSeq);
    const to = this.#toSeq === LAST ? messages.length : firstAtLeast(messages, this.#toSeq + 1);
    return this.pinned && this.#toSeq === LAST ? following({ from, to }) : { from, to };
  }

  #keep(span: Span, messages: readonly Message[]): void {
    this.#fromSeq = messages[span.from]?.seq ?? 0;
    this.#toSeq = span.to >= messages.length ? LAST : messages[span.to - 1]!.seq;
    this.requestUpdate();
  }

  /** The uppermost row in sight, and where exactly it stands. */
  #anchor(): { key: string; top: number } | null {
    const scroller = this.renderRoot.querySelector<HTMLElement>(".scroller");
    if (!scroller) return null;
    const edge = scroller.getBoundingClientRect().top;
    for (const row of this.#rowElements) {
      const { top, bottom } = row.getBoundingClientRect();
      if (bottom > edge) return { key: row.dataset["key"]!, top };
    }
    return null;
  }

  #restore({ key, top }: { key: string; top: number }): void {
    const row = this.#rowElement(key);
    if (!row) return;
    this.#scroller.scrollTop += row.getBoundingClientRect().top - top;
    this.#lastTop = this.#scroller.scrollTop;
  }

  #goToPlace(): void {
    const place = this.#place;
    this.#place = "hold";
    const target = place === "divider" ? this.renderRoot.querySelector(".divider") : typeof place === "object" ? this.#rowElement(place.key) : null;
    if (!target) return this.#toBottom();
    const scroller = this.#scroller;
    const above = place === "divider" ? 64 : typeof place === "object" && place.top !== undefined ? place.top : scroller.clientHeight / 3;
    scroller.scrollTop += target.getBoundingClientRect().top - scroller.getBoundingClientRect().top - above;
    this.#lastTop = scroller.scrollTop;
    this.pinned = this.#toSeq === LAST && this.#distance <= AT_END;
  }

  #toBottom(): void {
    const scroller = this.#scroller;
    scroller.scrollTop = scroller.scrollHeight;
    this.#lastTop = scroller.scrollTop;
  }

  #stay(): void {
    if (this.pinned && this.#toSeq === LAST) this.#toBottom();
    this.#lookSoon();
  }

  // -- looking around

  /** Only a move up lets go of the end: rows that grow below one's eyes do not. */
  #scrolled(): void {
    const { scrollTop } = this.#scroller;
    const movedUp = scrollTop < this.#lastTop - 1;
    this.#lastTop = scrollTop;
    if (this.#toSeq !== LAST) this.pinned = false;
    else if (this.#distance <= AT_END) this.pinned = true;
    else if (movedUp) this.pinned = false;
    this.#press.end();
    this.#lookSoon();
  }

  #lookSoon(): void {
    cancelAnimationFrame(this.#looking);
    this.#looking = requestAnimationFrame(() => this.#look());
  }

  #look(): void {
    if (!this.isConnected || !this.#begun || this.#reaching) return;
    const messages = visible(this.thread);
    const span = this.#span(messages);
    if (this.#scroller.scrollTop < NEAR) {
      if (span.from > 0) this.#keep(up(span), messages);
      else if (!this.thread.complete && !this.loading && !this.failed) void this.#loadOlder();
    }
    if (this.#toSeq !== LAST && this.#distance < NEAR) this.#keep(down(span, messages.length), messages);
    this.#markRead();
  }

  async #loadOlder(): Promise<void> {
    this.loading = true;
    try {
      await this.client.loadOlder(this.thread.id);
    } catch {
      this.failed = true;
    } finally {
      this.loading = false;
    }
  }

  #tryAgain(): void {
    this.failed = false;
    void this.#loadOlder();
  }

  /** Read is what was on a screen that had somebody's attention. */
  #markRead(): void {
    if (document.visibilityState !== "visible" || !document.hasFocus() || this.thread.unread === 0) return;
    const seen = this.pinned ? this.thread.timeline.newest?.seq : this.#lastSeqInSight();
    if (seen) this.client.markRead(this.thread.id, Math.min(seen, Math.max(this.thread.timeline.high, this.thread.readUpTo)));
  }

  #lastSeqInSight(): number | undefined {
    const edge = this.#scroller.getBoundingClientRect().bottom + 8;
    const row = this.#rowElements.findLast((element) => element.dataset["seq"] && element.getBoundingClientRect().bottom <= edge);
    return row ? Number(row.dataset["seq"]) : undefined;
  }

  #hear(): void {
    const nobodyLooks = document.visibilityState !== "visible" || !document.hasFocus();
    if (nobodyLooks && (this.#after === null || this.thread.readUpTo > this.#after)) this.#after = this.thread.readUpTo;
  }

  #toEnd(): void {
    const messages = visible(this.thread);
    this.pinned = true;
    this.#keep(newest(messages.length), messages);
  }

  /** Go to a message: one that an answer rests on. */
  show(seq: number): Promise<void> {
    this.#led = true;
    return this.#reach(() => this.thread.timeline.low <= seq, (message) => message.seq === seq && !message.is_deleted);
  }

  /** Go to what a reply answers. */
  #showQuoted(id: string): Promise<void> {
    return this.#reach(() => this.thread.timeline.find(id) !== undefined, (message) => message.id === id);
  }

  /** Read as far back as it takes. */
  async #reach(isHeld: () => boolean, isIt: (message: Message) => boolean): Promise<void> {
    try {
      for (let page = 0; !isHeld() && page < QUOTE_PAGES; page++) {
        if (!(await this.client.loadOlder(this.thread.id, 100))) break;
      }
    } catch {
      return this.notify(this.words.loadFailed);
    }
    const messages = visible(this.thread);
    const at = messages.findIndex(isIt);
    if (at < 0) return this.notify(this.words.quoteGone);
    this.#show(at, messages);
  }

  #show(at: number, messages: readonly Message[]): void {
    const message = messages[at]!;
    const key = keyOf(message);
    this.pinned = false;
    this.#keep(around(at, messages.length), messages);
    this.#place = { key };
    this.flash = this.active = key;
    setTimeout(() => {
      this.flash = "";
    }, FLASH_MS);
  }

  // -- acting on a message

  #menuUnder(event: MouseEvent, message: Message): void {
    const button = event.currentTarget as HTMLElement;
    const article = button.closest("article")!;
    this.#menu(message, isByFinger(event) ? besideBubble(article) : under(button), article);
  }

  /** A mouse gets the browser's own menu for a link and for selected text; a finger has only this one. */
  #menuAt(event: MouseEvent, message: Message): void {
    const article = event.currentTarget as HTMLElement;
    const byFinger = isByFinger(event);
    if (!byFinger && ((event.target as HTMLElement).closest("a") || hasSelection(this.renderRoot))) return;
    event.preventDefault();
    this.#menu(message, byFinger ? besideBubble(article) : { x: event.clientX, y: event.clientY }, article, linkAt(event));
  }

  #pressed(event: PointerEvent, message: Message): void {
    const article = event.currentTarget as HTMLElement;
    const link = linkAt(event);
    this.#press.begin(event, () => this.#menu(message, besideBubble(article), article, link));
  }

  #menu(message: Message, spot: Spot | Beside, from: HTMLElement | null, link?: string): void {
    this.#press.end();
    const menu = this.renderRoot.querySelector("doran-menu")!;
    const choices = this.#choices(message, link);
    if (!choices.length || menu.opened) return;
    this.held = keyOf(message);
    void menu.open(this.words.messageActions, choices, spot, from);
  }

  #choices(message: Message, link: string | undefined): Choice[] {
    const { words } = this;
    if (message.is_deleted) return [];
    const mine = message.sender_id === this.client.userId;
    return [
      { label: words.reply, icon: icons.reply, act: () => this.#tell("reply", message) },
      { label: words.copy, icon: icons.copy, act: () => void this.#copy(message) },
      ...(link ? [{ label: words.copyLink, icon: icons.copy, act: () => void this.#copy({ content: link }) }] : []),
      ...this.#translation(message),
      ...(mine ? [{ label: words.edit, icon: icons.edit, act: () => this.#tell("edit", message) }] : []),
      this.#deletion(message, "me"),
      ...(mine ? [this.#deletion(message, "everyone")] : []),
    ];
  }

  #translation(message: Message): Choice[] {
    if (!this.client.ai.offers("translate") || isTranslated(message)) return [];
    const target = targetFor(message.content);
    const act = () => {
      wantTranslation(message, target);
      this.requestUpdate();
    };
    return [{ label: this.words.ai.translate[target], icon: icons.translate, act }];
  }

  #deletion(message: Message, scope: DeleteScope): Choice {
    const label = scope === "me" ? this.words.deleteForMe : this.words.deleteForEveryone;
    return { label, icon: icons.trash, danger: true, act: () => void this.#delete(message, scope) };
  }

  #tell(what: "reply" | "edit", message: Message): void {
    this.dispatchEvent(new CustomEvent(what, { detail: message }));
  }

  async #copy({ content }: { readonly content: string }): Promise<void> {
    this.notify((await copyText(content)) ? this.words.copied : this.words.copyFailed);
  }

  /** The hands go on from its neighbour. */
  #hide(message: Message): void {
    const articles = [...this.renderRoot.querySelectorAll<HTMLElement>("article")];
    const at = articles.indexOf((this.renderRoot as ShadowRoot).activeElement as HTMLElement);
    if (at >= 0) this.#focusRow(articles[at + 1] ?? articles[at - 1]);
    hiding.hide(message);
  }

  async #delete(message: Message, scope: DeleteScope): Promise<void> {
    const { words } = this;
    if (scope === "me") return this.#hide(message);
    const sure = await this.renderRoot.querySelector("doran-ask")!.ask({ title: words.confirmDeleteTitle, text: words.confirmDelete, yes: words.delete });
    if (!sure) return;
    try {
      await this.client.delete(message, scope);
    } catch (error) {
      this.notify(problemText(error instanceof DoranError ? error.code : "unknown"));
    }
  }

  /** Arrows walk from message to message; Enter opens what can be done with one. */
  #key(event: KeyboardEvent): void {
    const article = (event.target as HTMLElement).closest<HTMLElement>("article");
    if (!article || event.target !== article) return;
    const articles = [...this.renderRoot.querySelectorAll<HTMLElement>("article")];
    const at = articles.indexOf(article);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: articles.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") article.querySelector<HTMLElement>(".more")?.click();
    else if (to !== undefined) this.#focusRow(articles[Math.max(0, to)]);
    else return;
    event.preventDefault();
  }

  /** What waited is drawn anew when it is sent: whoever stood on it stays there. From a row that was left far behind one comes to what is in sight. */
  #refocus(key: string, inSight: string): void {
    const row = this.#rowElement(key) ?? this.#rowElement(inSight);
    row?.querySelector<HTMLElement>("article")?.focus({ preventScroll: true });
  }

  #focusRow(article: HTMLElement | undefined): void {
    if (!article) return;
    this.active = article.closest<HTMLElement>(".row")!.dataset["key"]!;
    article.focus({ preventScroll: true });
    article.scrollIntoView({ block: "nearest" });
  }

  // -- the elements

  get #scroller(): HTMLElement {
    return this.renderRoot.querySelector<HTMLElement>(".scroller")!;
  }

  get #distance(): number {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight;
  }

  /** Of the message that has the focus itself, not of a button in it. */
  get #focusedKey(): string | undefined {
    const focused = (this.renderRoot as ShadowRoot).activeElement;
    return focused?.matches("article") ? focused.closest<HTMLElement>(".row")?.dataset["key"] : undefined;
  }

  get #rowElements(): HTMLElement[] {
    return [...this.renderRoot.querySelectorAll<HTMLElement>(".row[data-key]")];
  }

  #rowElement(key: string): HTMLElement | null {
    return this.renderRoot.querySelector<HTMLElement>(`.row[data-key="${CSS.escape(key)}"]`);
  }

  static override styles = [common, timeline];
}

/** The same words would be refused again. */
function needsOtherWords(problem: string): boolean {
  return ["validation_failed", "payload_too_large", "bad_request", "malformed_json", "invalid_frame"].includes(problem);
}

/** What the message answers may be the trouble. */
function isAboutQuote(problem: string): boolean {
  return ["message_deleted", "not_found", "validation_failed"].includes(problem);
}

function keyOf(message: Message): string {
  return message.client_message_id ?? message.id;
}

function besideBubble(article: HTMLElement): Beside {
  return { beside: article.querySelector(".bubble")! };
}

function linkAt(event: Event): string | undefined {
  return (event.target as HTMLElement).closest("a")?.href;
}

/** A model wrote it, whoever it came from. */
function isAnswer(message: Message): boolean {
  return message.client_message_id?.startsWith("ai:") ?? false;
}

function classes(named: Record<string, boolean>): string {
  return Object.keys(named).filter((name) => named[name]).join(" ");
}

/** The index of the first message whose seq is not below. */
function firstAtLeast(messages: readonly Message[], seq: number): number {
  let [from, to] = [0, messages.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (messages[middle]!.seq < seq) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** Somebody is selecting text: then the browser's own menu is wanted. */
function hasSelection(root: HTMLElement | DocumentFragment): boolean {
  const selection = (root as unknown as { getSelection?: () => Selection | null }).getSelection?.() ?? getSelection();
  return selection !== null && !selection.isCollapsed;
}

customElements.define("doran-timeline", DoranTimeline);
