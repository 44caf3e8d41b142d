/** One conversation: who it is with, what was said, and the box to say more. */

import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { keyed } from "lit/directives/keyed.js";
import { ASSISTANT_ID, DoranError, hasEnded, type Message, type StateChange, type Thread } from "../../client/index.ts";
import type { DoranConsent } from "../ai/consent.ts";
import "../ai/consent.ts";
import type { DoranSummary } from "../ai/summary.ts";
import "../ai/summary.ts";
import { icons } from "../lib/icons.ts";
import { FOREVER, isMuted } from "../lib/mute.ts";
import { Piece } from "../lib/piece.ts";
import { visible } from "../lib/rows.ts";
import type { Spot } from "../lib/visited.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { ago, problemText } from "../words/index.ts";
import "./ask.ts";
import "./avatar.ts";
import "./composer.ts";
import { type Choice, under } from "./menu.ts";
import type { DoranTimeline } from "./timeline.ts";
import "./timeline.ts";

/** So many messages a summary is of, if all have been read. */
const RECENT = 50;

export class DoranChat extends Piece {
  static override properties = { conversationId: {}, at: { type: Number }, resume: { attribute: false } };

  declare conversationId: string;
  /** The seq of a message one came to see; 0 where it is none. */
  declare at: number;
  /** Where one was in it, if one came back. */
  declare resume: Spot | null;
  /** Messages that are answered or changed and lie further back than what is held. */
  readonly #fetched = new Map<string, Message | null>();

  constructor() {
    super();
    this.conversationId = "";
    this.at = 0;
    this.resume = null;
  }

  protected override attend(): void {
    this.follow("conversation", ({ id }) => id === this.conversationId && this.requestUpdate());
    this.follow("draft", ({ id }) => id === this.conversationId && this.requestUpdate());
    this.follow("conversations", () => this.#thread || this.requestUpdate());
    this.follow("person", ({ userId }) => userId === this.#thread?.peerId && this.requestUpdate());
    this.follow("synced", () => this.#arrive());
    this.follow("blocks", () => this.requestUpdate());
    this.follow("offer", () => this.#lookUpConsent());
    this.follow("consent", ({ consent }) => consent.conversation_id === this.conversationId && this.requestUpdate());
    this.follow("job", ({ job }) => job.conversation_id === this.conversationId && this.requestUpdate());
    this.addEventListener("consent-needed", () => void this.#consent?.open());
    const minute = setInterval(() => this.requestUpdate(), 60_000);
    this.until(() => clearInterval(minute));
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (!changed.has("conversationId")) return;
    this.#fetched.clear();
    this.#arrive();
  }

  override render(): TemplateResult {
    const thread = this.#thread;
    if (!thread) return this.#missing();
    return html`
      ${this.#header(thread)}
      <div class="aside">
        <doran-consent .conversationId=${thread.id} .name=${this.#name} .alone=${this.#isBot}></doran-consent>
        ${keyed(thread.id, html`<doran-summary .thread=${thread} @jump=${(event: CustomEvent<number>) => this.#timeline?.show(event.detail)}></doran-summary>`)}
      </div>
      ${keyed(thread.id, html`<doran-timeline .thread=${thread} .name=${this.#name} .bot=${this.#isBot} .resume=${this.resume} @reply=${this.#reply} @edit=${this.#edit} @write=${() => this.enter()} @summarize=${(event: CustomEvent<number>) => this.#summary?.ask(event.detail)}></doran-timeline>`)}
      ${this.#foot(thread)}
      <doran-menu></doran-menu>
      <doran-ask></doran-ask>
    `;
  }

  /** Where one is in it, to come back to. */
  get visited(): Spot | null {
    return this.#timeline?.visited ?? null;
  }

  /** Put the hands where one writes. */
  enter(): void {
    this.renderRoot.querySelector("doran-composer")?.focus();
  }

  protected override updated(): void {
    if (this.at && this.#thread && this.#timeline) this.#goTo(this.at);
  }

  /** Once there, the address is the conversation's again: the same way can be gone twice. */
  #goTo(seq: number): void {
    this.at = 0;
    history.replaceState(history.state, "", `#/c/${encodeURIComponent(this.conversationId)}`);
    void this.#timeline?.updateComplete.then(() => this.#timeline?.show(seq));
  }

  #foot(thread: Thread): TemplateResult {
    const { words } = this;
    const { ai } = this.client;
    if (this.#isErased) return this.#closedTo(words.erasedForGood, false);
    if (this.#isBlocked) return this.#closedTo(words.youBlocked, true);
    if (!thread.isActive) return this.#closedTo(words.unreachable, false);
    if (this.#isBot && ai.known && ai.assistant?.user_id !== thread.peerId) return this.#closedTo(words.ai.away, false);
    return this.#mustAgree ? this.#notice(ai.offer.provider!.name) : this.#composer(thread);
  }

  /** Before a word to the assistant leaves this server, its person knows where it goes. */
  get #mustAgree(): boolean {
    const { offer } = this.client.ai;
    return this.#isBot && offer.provider?.is_outside === true && this.client.ai.consent(this.conversationId)?.mine === "off";
  }

  #notice(provider: string): TemplateResult {
    const { ai } = this.words;
    return html`<div class="closed notice" role="status"><p><strong>${ai.noticeTitle(provider)}</strong><span>${ai.notice}</span></p><button class="button main" @click=${this.#agree}>${ai.agree}</button></div>`;
  }

  #agree(): Promise<void> {
    return this.#trying(async () => {
      await this.client.ai.allow(this.conversationId, "on_demand");
      await this.updateComplete;
      this.enter();
    });
  }

  #composer(thread: Thread): TemplateResult {
    return html`${keyed(thread.id, html`<doran-composer .thread=${thread} .name=${this.#name} .bot=${this.#isBot} .replyTo=${this.#message(thread, thread.writing.replyTo)} .editing=${this.#message(thread, thread.writing.edit?.messageId)} @edit-last=${this.#editLast}></doran-composer>`)}`;
  }

  #header(thread: Thread): TemplateResult {
    const { words } = this;
    const name = this.#name;
    return html`
      <header>
        <a class="round back" href="#/" aria-label=${words.back}>${icons.back}</a>
        <doran-avatar .userId=${thread.peerId} .name=${name} .present=${this.client.presence(thread.id)?.online ?? false}></doran-avatar>
        <div class="who"><h2><bdi>${name}</bdi>${this.#isBot ? html` <span class="bot">${this.#botWord(thread)}</span>` : nothing}</h2><p class="state">${this.#state(thread)}</p></div>
        <button class="round" aria-label=${words.actionsFor(name)} aria-haspopup="menu" @click=${this.#menu}>${icons.more}</button>
      </header>
    `;
  }

  #botWord(thread: Thread): string {
    const { ai } = this.words;
    return thread.peerId === ASSISTANT_ID ? ai.badge : ai.bot;
  }

  /** A bot is neither here nor away: what counts is who reads what one writes to it. */
  #botState(thread: Thread): TemplateResult | string {
    const { ai } = this.words;
    const { provider } = this.client.ai.offer;
    const job = this.client.ai.newest(thread.id, "reply");
    if (job && !hasEnded(job)) return html`<span class="typing">${ai.answering}</span>`;
    if (!provider || thread.peerId !== this.client.ai.assistant?.user_id) return "";
    return provider.is_outside ? ai.outside(provider.name) : ai.inside;
  }

  #state(thread: Thread): TemplateResult | string {
    if (this.#isBot) return this.#botState(thread);
    if (thread.peerIsTyping) return html`<span class="typing">${this.words.typingShort}</span>`;
    const presence = this.client.presence(thread.id);
    const status = this.client.people.get(thread.peerId)?.profile.status_message;
    if (presence?.online) return status ? html`${this.words.online} · <bdi>${status}</bdi>` : this.words.online;
    if (status) return html`<bdi>${status}</bdi>`;
    return presence?.lastSeenAt ? this.words.lastSeen(ago(new Date(presence.lastSeenAt))) : "";
  }

  #closedTo(text: string, mine: boolean): TemplateResult {
    return html`<div class="closed" role="status"><p>${text}</p>${mine ? html`<button class="button plain slim" @click=${this.#unblock}>${this.words.unblock}</button>` : nothing}</div>`;
  }

  #missing(): TemplateResult {
    const { words } = this;
    if (!this.client.synced) return html`<div class="empty" role="status"><p>${words.loading}</p></div>`;
    return html`<div class="empty">${icons.chats}<strong>${words.noSuchConversation}</strong><a class="link" href="#/">${words.back}</a></div>`;
  }

  get #thread(): Thread | undefined {
    return this.client.conversation(this.conversationId);
  }

  get #isErased(): boolean {
    const id = this.#thread?.peerId;
    return id !== undefined && this.client.people.get(id)?.kind === "erased";
  }

  get #isBlocked(): boolean {
    return this.client.blocks.has(this.#thread?.peerId ?? "");
  }

  get #isBot(): boolean {
    const id = this.#thread?.peerId;
    return id !== undefined && (id === ASSISTANT_ID || this.client.people.get(id)?.kind === "bot");
  }

  get #timeline(): DoranTimeline | null {
    return this.renderRoot.querySelector("doran-timeline");
  }

  get #summary(): DoranSummary | null {
    return this.renderRoot.querySelector("doran-summary");
  }

  get #consent(): DoranConsent | null {
    return this.renderRoot.querySelector("doran-consent");
  }

  get #name(): string {
    const thread = this.#thread;
    return thread ? this.nameOf(this.client.people.get(thread.peerId)) : "";
  }

  /** On coming here, and after each reconnect: what may have changed about the other person. */
  #arrive(): void {
    this.requestUpdate();
    const thread = this.#thread;
    if (!thread) return;
    this.client.people.refresh(thread.peerId);
    this.#lookUpConsent();
    if (thread.me.marked_unread) void this.#change({ marked_unread: false });
  }

  /** Not knowing it only hides a line: the server gives no word away without consent. */
  #lookUpConsent(): void {
    this.requestUpdate();
    if (this.#thread && this.client.ai.isThere) void this.client.ai.lookUpConsent(this.conversationId).catch(() => undefined);
  }

  #reply(event: CustomEvent<Message>): void {
    this.client.write(this.conversationId, { replyTo: event.detail.id, edit: null });
    void this.updateComplete.then(() => this.enter());
  }

  #edit(event: CustomEvent<Message>): void {
    const { id, content } = event.detail;
    this.client.write(this.conversationId, { edit: { messageId: id, text: content } });
    void this.updateComplete.then(() => this.enter());
  }

  #editLast(): void {
    const thread = this.#thread;
    const mine = thread && visible(thread).findLast((message) => message.sender_id === this.client.userId && !message.is_deleted);
    if (mine) this.client.write(thread.id, { edit: { messageId: mine.id, text: mine.content } });
  }

  /** The message with this id; null until it has been read, or if it is gone. */
  #message(thread: Thread, id: string | null | undefined): Message | null {
    if (!id) return null;
    const held = thread.timeline.find(id) ?? this.#fetched.get(id);
    if (held === undefined) void this.#fetch(id);
    return held ?? null;
  }

  async #fetch(id: string): Promise<void> {
    this.#fetched.set(id, null);
    try {
      this.#fetched.set(id, await this.client.rest.message(id));
      this.requestUpdate();
    } catch {
      // What it says is not shown; that it is answered or changed still holds, and the server decides.
    }
  }

  #menu(event: MouseEvent): void {
    const button = event.currentTarget as HTMLElement;
    void this.renderRoot.querySelector("doran-menu")!.open(this.words.actionsFor(this.#name), this.#choices(), under(button), button);
  }

  #choices(): Choice[] {
    const { words } = this;
    const { me, lastSeq } = this.#thread!;
    const muted = isMuted(me.muted_until);
    return [
      ...this.#aiChoices(),
      { label: me.pinned_at ? words.unpin : words.pin, icon: icons.pin, act: () => this.#change({ pinned: !me.pinned_at }) },
      { label: muted ? words.unmute : words.mute, icon: muted ? icons.bell : icons.mute, act: () => this.#change({ muted_until: muted ? null : FOREVER }) },
      { label: me.archived ? words.unarchive : words.archive, icon: icons.archive, act: () => this.#change({ archived: !me.archived }) },
      { label: words.clearHistory, icon: icons.clear, act: () => this.#clear(lastSeq) },
      ...(this.#isErased ? [] : [this.#isBlocked ? { label: words.unblock, icon: icons.block, act: () => this.#unblock() } : { label: words.block, icon: icons.block, danger: true, act: () => this.#block() }]),
    ];
  }

  #aiChoices(): Choice[] {
    const { words } = this;
    const sums = !this.#isBot && this.client.ai.offers("summarize") && this.#thread!.lastSeq > 0;
    return [
      ...(sums ? [{ label: words.ai.summarize, icon: icons.list, act: () => this.#summary?.ask(this.#recent()) }] : []),
      ...(this.#decides ? [{ label: words.ai.use, icon: icons.spark, act: () => void this.#consent?.open() }] : []),
    ];
  }

  /** There is something to decide, or a decision that can be taken back, also while nobody could answer. */
  get #decides(): boolean {
    const { ai } = this.client;
    const mine = ai.consent(this.conversationId)?.mine ?? "off";
    return mine !== "off" || (ai.offer.kinds.length > 0 && (!this.#isBot || ai.offer.provider?.is_outside === true));
  }

  /** What is unread, or else the latest of it. */
  #recent(): number {
    const { unread, readUpTo, lastSeq } = this.#thread!;
    return unread > 0 ? readUpTo : Math.max(0, lastSeq - RECENT);
  }

  async #clear(upTo: number): Promise<void> {
    const { words } = this;
    if (await this.#ask({ title: words.confirmClearTitle, text: words.confirmClear, yes: words.clear })) await this.#change({ hidden_before_seq: upTo + 1 });
  }

  async #block(): Promise<void> {
    const { words } = this;
    const name = this.#name;
    if (!(await this.#ask({ title: words.confirmBlockTitle(name), text: words.confirmBlock, yes: words.block }))) return;
    await this.#trying(async () => {
      await this.client.blocks.add(this.#thread!.peerId);
      this.notify(words.blocked(name));
    });
  }

  #unblock(): Promise<void> {
    return this.#trying(async () => {
      await this.client.blocks.remove(this.#thread!.peerId);
      this.notify(this.words.unblocked(this.#name));
    });
  }

  #change(change: StateChange): Promise<void> {
    return this.#trying(() => this.client.changeState(this.conversationId, change));
  }

  #ask(question: { title: string; text: string; yes: string }): Promise<boolean> {
    return this.renderRoot.querySelector("doran-ask")!.ask(question);
  }

  async #trying(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.notify(problemText(error instanceof DoranError ? error.code : "unknown"));
    }
  }

  static override styles = [
    common,
    aid,
    css`
      :host {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        grid-template-rows: auto auto minmax(0, 1fr) auto;
        min-height: 0;
        min-width: 0;
        height: 100%;
        background: var(--paper);
      }
      header {
        display: flex;
        align-items: center;
        gap: 0.75rem;
        padding: 0.6rem 0.75rem 0.6rem 1.25rem;
        padding-block-start: calc(0.6rem + env(safe-area-inset-top));
        background: var(--surface);
        border-block-end: 1px solid var(--line);
        --size: 2.5rem;
      }
      .back {
        display: none;
        margin-inline-start: -0.75rem;
        margin-inline-end: -0.4rem;
      }
      .who {
        flex: 1;
        min-width: 0;
        line-height: 1.35;
      }
      .who h2,
      .state {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .state {
        font-size: 0.8125rem;
        color: var(--ink-soft);
      }
      .state:empty {
        display: none;
      }
      .typing {
        color: var(--accent);
        font-weight: 600;
      }
      .closed {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        justify-content: center;
        gap: 0.5rem 1rem;
        padding: 1rem 1.25rem calc(1rem + env(safe-area-inset-bottom));
        background: var(--surface);
        border-block-start: 1px solid var(--line);
        color: var(--ink-soft);
        font-size: 0.9375rem;
        text-align: center;
      }
      .notice p {
        display: grid;
        gap: 0.2rem;
        max-width: 34rem;
        text-align: start;
      }
      .notice strong {
        color: var(--ink);
      }
      .empty {
        grid-row: 1 / -1;
      }
      @media (max-width: 759px) {
        header {
          padding-inline-start: 0.75rem;
        }
        .back {
          display: inline-grid;
        }
      }
    `,
  ];
}

customElements.define("doran-chat", DoranChat);

declare global {
  interface HTMLElementTagNameMap {
    "doran-chat": DoranChat;
  }
}
