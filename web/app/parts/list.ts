/** My conversations: who, the last word, when, and how much is unread. */

import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { ASSISTANT_ID, DoranError, hasEnded, type Job, type StateChange, type Thread } from "../../client/index.ts";
import { calm } from "../lib/calm.ts";
import { icons } from "../lib/icons.ts";
import { hiding } from "../lib/hiding.ts";
import { FOREVER, isMuted, isQuiet, isWaiting } from "../lib/mute.ts";
import { Piece } from "../lib/piece.ts";
import { isByFinger, LongPress } from "../lib/press.ts";
import { lastVisible } from "../lib/rows.ts";
import { snippet } from "../lib/text.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { brief, problemText } from "../words/index.ts";
import "./avatar.ts";
import "./find.ts";
import { type Beside, type Choice, type Spot, under } from "./menu.ts";

const FILTER_FROM = 6;

export class DoranList extends Piece {
  static override properties = { current: {}, wanted: { state: true }, archivedShown: { state: true }, synced: { state: true }, held: { state: true } };

  declare current: string;
  declare wanted: string;
  declare archivedShown: boolean;
  declare synced: boolean;
  /** The conversation whose menu is open. */
  declare held: string;
  readonly #press = new LongPress();
  /** Conversations in which the assistant is at it. */
  readonly #answering = new Set<string>();

  constructor() {
    super();
    this.current = "";
    this.wanted = this.held = "";
    this.archivedShown = false;
    this.synced = false;
  }

  protected override attend(): void {
    const redraw = calm(() => this.requestUpdate());
    this.until(() => redraw.end());
    this.follow("conversations", redraw);
    this.follow("person", redraw);
    this.follow("offer", () => this.requestUpdate());
    this.until(hiding.onChange(() => this.requestUpdate()));
    this.follow("job", ({ job }) => job.kind === "reply" && this.#hearAnswer(job));
    this.follow("synced", () => {
      this.synced = true;
    });
    const minute = setInterval(() => this.requestUpdate(), 60_000);
    this.until(() => clearInterval(minute));
  }

  override render(): TemplateResult {
    const { words } = this;
    const me = this.client.userId ?? "";
    const all = this.client.conversations;
    const shown = all.filter((thread) => this.#matches(thread));
    const kept = shown.filter((thread) => !thread.me.archived);
    const archived = shown.filter((thread) => thread.me.archived);
    return html`
      <div class="head">
        <h1>${words.conversations}</h1>
        ${this.#asksHistory ? html`<a class="round" href="#/ask" aria-label=${words.ai.history} title=${words.ai.history}>${icons.spark}</a>` : nothing}
        <button class="round" aria-label=${words.findPerson} title=${words.findPerson} @click=${this.#find}>${icons.person}</button>
        <a class="round mine" href="#/me" aria-label=${words.settings} title=${words.settings}><doran-avatar .userId=${me} .name=${this.nameOf(this.client.people.get(me))}></doran-avatar></a>
      </div>
      ${all.length >= FILTER_FROM ? html`<div class="filter" role="search">${icons.find}<input type="search" aria-label=${words.filter} placeholder=${words.filter} .value=${this.wanted} @input=${this.#filter} /></div>` : nothing}
      <nav aria-label=${words.conversations} @keydown=${this.#key}>
        ${this.#assistant(all)}
        ${kept.length ? this.#list(kept) : archived.length ? nothing : this.#empty(all.length > 0)}
        ${archived.length ? this.#archive(archived) : nothing}
      </nav>
      <doran-menu @closed=${() => (this.held = "")}></doran-menu>
      <doran-find></doran-find>
    `;
  }

  get #asksHistory(): boolean {
    return this.client.ai.offers("ask") || this.client.ai.offers("semantic_search");
  }

  /** Who has never talked with the assistant learns that there is one. */
  #assistant(all: readonly Thread[]): TemplateResult | typeof nothing {
    const { words } = this;
    const { assistant } = this.client.ai;
    if (!assistant || !this.synced || this.wanted || all.some(({ peerId }) => peerId === assistant.user_id)) return nothing;
    return html`
      <button class="assistant" @click=${() => this.#meet(assistant.user_id)}>
        <doran-avatar .userId=${assistant.user_id} .name=${assistant.display_name}></doran-avatar>
        <span class="who"><span class="name"><bdi>${assistant.display_name}</bdi></span> <span class="bot">${words.ai.badge}</span></span>
        <span class="last">${words.ai.assistantHint}</span>
      </button>
    `;
  }

  async #meet(userId: string): Promise<void> {
    try {
      const { id } = await this.client.openWith(userId);
      this.go(`#/c/${encodeURIComponent(id)}`);
    } catch (error) {
      this.notify(problemText(error instanceof DoranError ? error.code : "unknown"));
    }
  }

  #list(threads: readonly Thread[]): TemplateResult {
    return html`<ul>${repeat(threads, ({ id }) => id, (thread) => this.#item(thread))}</ul>`;
  }

  #archive(threads: readonly Thread[]): TemplateResult {
    const { words, archivedShown } = this;
    const waiting = threads.filter(isWaiting).length;
    return html`
      <button class="archive" aria-expanded=${archivedShown} @click=${() => (this.archivedShown = !archivedShown)}>${icons.archive}${archivedShown ? words.hideArchived : words.showArchived(threads.length)}${waiting && !archivedShown ? html`<span class="badge quiet"><span aria-hidden="true">${waiting}</span><span class="unseen">${words.unreadIn(waiting)}</span></span>` : nothing}</button>
      ${archivedShown ? this.#list(threads) : nothing}
    `;
  }

  #empty(filtered: boolean): TemplateResult {
    const { words } = this;
    if (filtered) return html`<div class="empty">${icons.find}<strong>${words.noMatch}</strong></div>`;
    if (!this.synced) return html`<div class="empty" role="status"><p>${words.loadingConversations}</p></div>`;
    return html`<div class="empty">${icons.chats}<strong>${words.noConversations}</strong><p>${words.noConversationsHint}</p><button class="button main slim" @click=${this.#find}>${words.findPerson}</button></div>`;
  }

  #item(thread: Thread): TemplateResult {
    const { words } = this;
    const name = this.#name(thread);
    const chosen = thread.id === this.current;
    return html`
      <li class="${chosen ? "chosen" : ""} ${thread.id === this.held ? "held" : ""}" @contextmenu=${(event: MouseEvent) => this.#menuAt(event, thread)} @pointerdown=${(event: PointerEvent) => this.#pressed(event, thread)} @pointerup=${this.#press.end} @pointermove=${this.#press.move} @pointercancel=${this.#press.end} @click=${this.#press.click}>
        <a href="#/c/${encodeURIComponent(thread.id)}" aria-current=${chosen ? "page" : "false"}>
          <doran-avatar .userId=${thread.peerId} .name=${name} .present=${this.client.presence(thread.id)?.online ?? false}></doran-avatar>
          <span class="who">
            <span class="name"><bdi>${name}</bdi></span>
            ${this.#botSign(thread)}
            ${thread.me.pinned_at ? html`<span class="sign small">${icons.pin}<span class="unseen">${words.pinnedLabel}</span></span>` : nothing}
            ${isMuted(thread.me.muted_until) ? html`<span class="sign small">${icons.mute}<span class="unseen">${words.mutedLabel}</span></span>` : nothing}
          </span>
          <time datetime=${thread.updatedAt}>${brief(new Date(thread.updatedAt))}</time>
          <span class="last">${this.#last(thread)}</span>
          ${this.#badge(thread)}
        </a>
        <button class="round more" aria-label=${words.actionsFor(name)} aria-haspopup="menu" @click=${(event: MouseEvent) => this.#menuUnder(event, thread)}>${icons.more}</button>
      </li>
    `;
  }

  /** An answer grows ten times a second; the list only changes where one begins or ends. */
  #hearAnswer(job: Job): void {
    const id = job.conversation_id ?? "";
    const isGrowing = !hasEnded(job);
    if (this.#answering.has(id) === isGrowing) return;
    if (isGrowing) this.#answering.add(id);
    else this.#answering.delete(id);
    this.requestUpdate();
  }

  #botSign(thread: Thread): TemplateResult | typeof nothing {
    const { ai } = this.words;
    if (thread.peerId === ASSISTANT_ID) return html`<span class="bot">${ai.badge}</span>`;
    return this.client.people.get(thread.peerId)?.kind === "bot" ? html`<span class="bot">${ai.bot}</span>` : nothing;
  }

  #last(thread: Thread): TemplateResult | string {
    const { words } = this;
    if (this.#answering.has(thread.id)) return html`<em class="typing">${words.ai.answering}</em>`;
    if (thread.peerIsTyping) return html`<em class="typing">${words.typingShort}</em>`;
    if (thread.draft && thread.id !== this.current) return html`<em class="draft">${words.draftPrefix}</em> <bdi>${snippet(thread.draft)}</bdi>`;
    const waiting = thread.waiting.at(-1);
    if (waiting) return html`${words.you}: <bdi>${snippet(waiting.content)}</bdi>`;
    const last = lastVisible(thread);
    if (!last) return thread.lastSeq < Math.max(1, thread.me.hidden_before_seq) ? words.nothingYet : "";
    const said = last.is_deleted ? words.deletedMessage : html`<bdi>${snippet(last.content)}</bdi>`;
    return html`${last.sender_id === this.client.userId ? `${words.you}: ` : nothing}${said}`;
  }

  #badge(thread: Thread): TemplateResult | typeof nothing {
    const { words } = this;
    const { unread } = thread;
    const quiet = isQuiet(thread) ? "quiet" : "";
    if (unread > 0) return html`<span class="badge ${quiet}"><span aria-hidden="true">${unread > 999 ? "999+" : unread}</span><span class="unseen">${words.unread(unread)}</span></span>`;
    if (thread.me.marked_unread) return html`<span class="badge dot ${quiet}"><span class="unseen">${words.markedUnread}</span></span>`;
    return nothing;
  }

  #name(thread: Thread): string {
    return this.nameOf(this.client.people.get(thread.peerId));
  }

  #matches(thread: Thread): boolean {
    const wanted = this.wanted.trim().normalize("NFC").toLocaleLowerCase();
    if (!wanted) return true;
    const user = this.client.people.get(thread.peerId);
    return [this.nameOf(user), user?.username ?? ""].some((text) => text.toLocaleLowerCase().includes(wanted));
  }

  #filter(event: Event): void {
    this.wanted = (event.target as HTMLInputElement).value;
  }

  #find(event: Event): void {
    this.renderRoot.querySelector("doran-find")!.open(event.currentTarget as HTMLElement);
  }

  #menuUnder(event: MouseEvent, thread: Thread): void {
    const button = event.currentTarget as HTMLElement;
    this.#menu(thread, isByFinger(event) ? { beside: button.closest("li")! } : under(button), button);
  }

  #menuAt(event: MouseEvent, thread: Thread): void {
    event.preventDefault();
    const row = event.currentTarget as HTMLElement;
    this.#menu(thread, isByFinger(event) ? { beside: row } : { x: event.clientX, y: event.clientY }, row.querySelector("a"));
  }

  #pressed(event: PointerEvent, thread: Thread): void {
    const row = event.currentTarget as HTMLElement;
    this.#press.begin(event, () => this.#menu(thread, { beside: row }, row.querySelector("a")));
  }

  #menu(thread: Thread, spot: Spot | Beside, from: HTMLElement | null): void {
    this.#press.end();
    const menu = this.renderRoot.querySelector("doran-menu")!;
    if (menu.opened) return;
    this.held = thread.id;
    void menu.open(this.words.actionsFor(this.#name(thread)), this.#choices(thread), spot, from);
  }

  #choices(thread: Thread): Choice[] {
    const { words } = this;
    const { me } = thread;
    const muted = isMuted(me.muted_until);
    const unread = isWaiting(thread);
    return [
      { label: me.pinned_at ? words.unpin : words.pin, icon: icons.pin, act: () => this.#change(thread, { pinned: !me.pinned_at }) },
      { label: muted ? words.unmute : words.mute, icon: muted ? icons.bell : icons.mute, act: () => this.#change(thread, { muted_until: muted ? null : FOREVER }) },
      { label: unread ? words.markRead : words.markUnread, icon: icons.dot, act: () => this.#toggleUnread(thread, unread) },
      { label: me.archived ? words.unarchive : words.archive, icon: icons.archive, act: () => this.#change(thread, { archived: !me.archived }) },
    ];
  }

  #toggleUnread(thread: Thread, unread: boolean): void {
    if (unread) this.client.markRead(thread.id, thread.lastSeq);
    if (!unread || thread.me.marked_unread) void this.#change(thread, { marked_unread: !unread });
  }

  async #change(thread: Thread, change: StateChange): Promise<void> {
    try {
      await this.client.changeState(thread.id, change);
    } catch (error) {
      this.notify(problemText(error instanceof DoranError ? error.code : "unknown"));
    }
  }

  /** Back from a conversation: the focus returns to its line. */
  focusOn(conversationId: string): void {
    const link = this.renderRoot.querySelector<HTMLElement>(`a[href="#/c/${CSS.escape(encodeURIComponent(conversationId))}"]`);
    link?.focus();
  }

  /** Up and down walk the list, as one expects of a list. */
  #key(event: KeyboardEvent): void {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const links = [...this.renderRoot.querySelectorAll<HTMLElement>("li a")];
    const at = links.findIndex((link) => link.closest("li")!.contains(this.shadowRoot!.activeElement));
    const next = links[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (at < 0 || !next) return;
    event.preventDefault();
    next.focus();
  }

  protected override updated(_: PropertyValues): void {
    this.synced ||= this.client.synced;
  }

  static override styles = [
    common,
    aid,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
      }
      .head {
        display: flex;
        align-items: center;
        gap: 0.125rem;
        padding: 1rem 0.75rem 0.6rem 1.25rem;
        padding-block-start: calc(1rem + env(safe-area-inset-top));
      }
      .head h1 {
        flex: 1;
        font-size: 1.375rem;
      }
      .mine {
        --size: 2rem;
        text-decoration: none;
      }
      .filter {
        position: relative;
        padding: 0 1rem 0.6rem;
      }
      .filter .icon {
        position: absolute;
        inset-inline-start: 1.75rem;
        inset-block-start: 0.72rem;
        width: 1.1rem;
        height: 1.1rem;
        color: var(--ink-faint);
      }
      .filter input {
        min-height: 2.5rem;
        padding-inline-start: 2.4rem;
        background: var(--sunken);
        border-color: transparent;
        font-size: 0.9375rem;
      }
      nav {
        flex: 1;
        min-height: 0;
        overflow-y: auto;
        overscroll-behavior: contain;
        padding: 0 0.5rem calc(1rem + env(safe-area-inset-bottom));
        scrollbar-width: thin;
        scrollbar-color: var(--scroll) transparent;
        display: flex;
        flex-direction: column;
      }
      nav > .empty {
        flex: 1;
      }
      .empty .button {
        margin-top: 0.75rem;
      }
      li {
        position: relative;
        content-visibility: auto;
        contain-intrinsic-size: auto 4.5rem;
        border-radius: 1rem;
        --ring: var(--surface);
      }
      li:hover {
        background: var(--hover);
        --ring: var(--hover);
      }
      li.chosen {
        background: var(--chosen);
        --ring: var(--chosen);
      }
      @media (forced-colors: active) {
        li.chosen {
          outline: 2px solid Highlight;
          outline-offset: -2px;
        }
      }
      li a {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr) auto;
        grid-template-areas: "face who time" "face last badge";
        column-gap: 0.8rem;
        row-gap: 0.1rem;
        align-items: center;
        padding: 0.75rem;
        border-radius: 1rem;
        text-decoration: none;
      }
      .assistant {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr);
        grid-template-areas: "face who" "face last";
        column-gap: 0.8rem;
        row-gap: 0.1rem;
        align-items: center;
        flex: none;
        padding: 0.75rem;
        border-radius: 1rem;
        text-align: start;
      }
      .assistant:hover {
        background: var(--hover);
      }
      .assistant:focus-visible,
      li a:focus-visible {
        outline-offset: -2px;
      }
      doran-avatar {
        grid-area: face;
      }
      .who {
        grid-area: who;
        display: flex;
        align-items: center;
        gap: 0.25rem;
        min-width: 0;
        align-self: end;
      }
      .name {
        font-weight: 600;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .sign {
        color: var(--ink-faint);
      }
      time {
        grid-area: time;
        font-size: 0.75rem;
        color: var(--ink-faint);
        white-space: nowrap;
        align-self: end;
      }
      .last {
        grid-area: last;
        font-size: 0.875rem;
        color: var(--ink-soft);
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
        align-self: start;
      }
      .last em {
        font-style: normal;
        font-weight: 600;
      }
      .typing {
        color: var(--accent);
      }
      .draft {
        color: var(--danger);
      }
      .badge {
        grid-area: badge;
        justify-self: end;
        align-self: start;
        min-width: 1.25rem;
        height: 1.25rem;
        padding: 0 0.4rem;
        border-radius: 1rem;
        display: grid;
        place-items: center;
        font-size: 0.75rem;
        font-weight: 700;
        line-height: 1;
        background: var(--badge);
        color: var(--on-badge);
      }
      .badge.quiet {
        background: var(--ink-faint);
        color: var(--surface);
      }
      .badge.dot {
        min-width: 0.625rem;
        width: 0.625rem;
        height: 0.625rem;
        padding: 0;
        margin: 0.3rem;
      }
      .more {
        position: absolute;
        inset-inline-end: 0.5rem;
        inset-block-start: 0.25rem;
        width: 2rem;
        height: 2rem;
        background: var(--raised);
        box-shadow: var(--shadow-bubble);
        opacity: 0;
        pointer-events: none;
      }
      /* In place of the time, above the badge. */
      .more:focus-visible {
        opacity: 1;
      }
      li:has(.more:focus-visible) time {
        visibility: hidden;
      }
      @media (hover: hover) {
        li:hover .more {
          opacity: 1;
          pointer-events: auto;
        }
        li:hover time {
          visibility: hidden;
        }
      }
      @media (hover: none), (pointer: coarse) {
        li {
          display: grid;
          grid-template-columns: minmax(0, 1fr) auto;
          align-items: center;
          user-select: none;
          -webkit-user-select: none;
          -webkit-touch-callout: none;
        }
        li a {
          padding-inline-end: 0.25rem;
        }
        .more {
          position: static;
          width: 2.25rem;
          height: 2.75rem;
          margin-inline-end: 0.15rem;
          background: none;
          box-shadow: none;
          color: var(--ink-faint);
          opacity: 1;
          pointer-events: auto;
        }
      }
      li.held {
        outline: 2px solid var(--accent);
        outline-offset: -2px;
      }
      .archive {
        display: flex;
        align-items: center;
        gap: 0.6rem;
        width: 100%;
        min-height: 2.75rem;
        padding: 0 0.9rem;
        margin-top: 0.25rem;
        border-radius: 0.75rem;
        font-size: 0.875rem;
        color: var(--ink-soft);
      }
      .archive .badge {
        align-self: center;
        margin-inline-start: auto;
      }
      .archive:hover {
        background: var(--hover);
      }
      .archive .icon {
        width: 1.15rem;
        height: 1.15rem;
      }
    `,
  ];
}

customElements.define("doran-list", DoranList);

declare global {
  interface HTMLElementTagNameMap {
    "doran-list": DoranList;
  }
}
