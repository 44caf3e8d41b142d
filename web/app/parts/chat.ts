/** One conversation: who it is with, what was said, and the box to say more. */

import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { keyed } from "lit/directives/keyed.js";
import { DoranError, type Message, type StateChange, type Thread } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { FOREVER, isMuted } from "../lib/mute.ts";
import { Piece } from "../lib/piece.ts";
import { common } from "../styles/common.ts";
import { ago, problemText } from "../words/index.ts";
import "./ask.ts";
import "./avatar.ts";
import "./composer.ts";
import { type Choice, under } from "./menu.ts";
import "./timeline.ts";

export class DoranChat extends Piece {
  static override properties = { conversationId: {}, replyTo: { state: true }, editing: { state: true }, blocked: { state: true } };

  declare conversationId: string;
  declare replyTo: Message | null;
  declare editing: Message | null;
  declare blocked: boolean;

  constructor() {
    super();
    this.conversationId = "";
    this.replyTo = this.editing = null;
    this.blocked = false;
  }

  protected override attend(): void {
    this.follow("conversation", ({ id }) => id === this.conversationId && this.requestUpdate());
    this.follow("conversations", () => this.#thread || this.requestUpdate());
    this.follow("person", ({ userId }) => userId === this.#thread?.peerId && this.requestUpdate());
    this.follow("synced", () => this.#arrive());
    const minute = setInterval(() => this.requestUpdate(), 60_000);
    this.until(() => clearInterval(minute));
  }

  protected override willUpdate(changed: PropertyValues): void {
    if (!changed.has("conversationId")) return;
    this.replyTo = this.editing = null;
    this.blocked = false;
    this.#arrive();
  }

  override render(): TemplateResult {
    const thread = this.#thread;
    if (!thread) return this.#missing();
    return html`
      ${this.#header(thread)}
      ${keyed(thread.id, html`<doran-timeline .thread=${thread} .name=${this.#name} @reply=${this.#reply} @edit=${this.#edit}></doran-timeline>`)}
      ${this.blocked ? this.#closedTo(this.words.youBlocked, true) : thread.isActive ? this.#composer(thread) : this.#closedTo(this.words.unreachable, false)}
      <doran-menu></doran-menu>
      <doran-ask></doran-ask>
    `;
  }

  /** Put the hands where one writes. */
  enter(): void {
    this.renderRoot.querySelector("doran-composer")?.focus();
  }

  #composer(thread: Thread): TemplateResult {
    return html`${keyed(thread.id, html`<doran-composer .thread=${thread} .name=${this.#name} .replyTo=${this.replyTo} .editing=${this.editing} @done=${this.#done} @edit-last=${this.#editLast}></doran-composer>`)}`;
  }

  #header(thread: Thread): TemplateResult {
    const { words } = this;
    const name = this.#name;
    return html`
      <header>
        <a class="round back" href="#/" aria-label=${words.back}>${icons.back}</a>
        <doran-avatar .userId=${thread.peerId} .name=${name} .present=${this.client.presence(thread.id)?.online ?? false}></doran-avatar>
        <div class="who"><h2><bdi>${name}</bdi></h2><p class="state">${this.#state(thread)}</p></div>
        <button class="round" aria-label=${words.actionsFor(name)} aria-haspopup="menu" @click=${this.#menu}>${icons.more}</button>
      </header>
    `;
  }

  #state(thread: Thread): TemplateResult | string {
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
    void this.#lookUpBlock(thread);
    if (thread.me.marked_unread) void this.#change({ marked_unread: false });
  }

  async #lookUpBlock(thread: Thread): Promise<void> {
    try {
      const blocks = await this.client.rest.blocks();
      if (thread.id === this.conversationId) this.blocked = blocks.some(({ user_id }) => user_id === thread.peerId);
    } catch {
      // Not knowing is harmless: the server refuses what it must.
    }
  }

  #reply(event: CustomEvent<Message>): void {
    this.editing = null;
    this.replyTo = event.detail;
    void this.updateComplete.then(() => this.enter());
  }

  #edit(event: CustomEvent<Message>): void {
    this.replyTo = null;
    this.editing = event.detail;
    void this.updateComplete.then(() => this.enter());
  }

  #editLast(): void {
    const mine = this.#thread?.timeline.messages.findLast((message) => message.sender_id === this.client.userId && !message.is_deleted);
    if (mine) this.editing = mine;
  }

  #done(): void {
    this.replyTo = this.editing = null;
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
      { label: me.pinned_at ? words.unpin : words.pin, icon: icons.pin, act: () => this.#change({ pinned: !me.pinned_at }) },
      { label: muted ? words.unmute : words.mute, icon: muted ? icons.bell : icons.mute, act: () => this.#change({ muted_until: muted ? null : FOREVER }) },
      { label: me.archived ? words.unarchive : words.archive, icon: icons.archive, act: () => this.#change({ archived: !me.archived }) },
      { label: words.clearHistory, icon: icons.clear, act: () => this.#clear(lastSeq) },
      this.blocked ? { label: words.unblock, icon: icons.block, act: () => this.#unblock() } : { label: words.block, icon: icons.block, danger: true, act: () => this.#block() },
    ];
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
      await this.client.rest.block(this.#thread!.peerId);
      this.blocked = true;
      this.notify(words.blocked(name));
    });
  }

  #unblock(): Promise<void> {
    return this.#trying(async () => {
      await this.client.rest.unblock(this.#thread!.peerId);
      this.blocked = false;
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
    css`
      :host {
        display: grid;
        grid-template-rows: auto minmax(0, 1fr) auto;
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
