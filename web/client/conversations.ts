/** What this device knows of my conversations: summaries, marks, timelines, and what still waits to be sent. */

import type { ChangedConversation, Conversation, Marks, Message, MyState } from "./frames.ts";
import type { Waiting, Writing } from "./storage.ts";
import { Timeline } from "./timeline.ts";

/** Some 45 KB of a question, which may be 256 KiB long. */
const KNOWN_AT_ONCE = 1_000;

/** One conversation as a screen needs it. */
export class Thread {
  readonly id: string;
  readonly timeline = new Timeline();
  /** My messages that are not yet, or will never be, on the server; in the order they were written. */
  waiting: readonly Waiting[] = [];
  /** What is being written here or in another tab, and the server does not have. */
  writing: Writing = { text: null, replyTo: null, edit: null };
  peerIsTyping = false;
  /** How often the server was asked for what is missing and had nothing. */
  fruitless = 0;
  /** What I claimed and the server may not know yet. */
  readonly claimed = { delivered: 0, read: 0 };
  #view: Conversation;

  constructor(view: Conversation) {
    this.id = view.id;
    this.#view = view;
  }

  get peerId(): string {
    return this.#view.peer.user_id;
  }

  get peer(): Marks {
    return this.#view.peer;
  }

  get me(): MyState {
    return this.#view.me;
  }

  get isActive(): boolean {
    return this.#view.is_active;
  }

  /** What stands in the box. */
  get draft(): string {
    return this.writing.text ?? this.me.draft;
  }

  get lastSeq(): number {
    return Math.max(this.#view.last_seq, this.timeline.newest?.seq ?? 0);
  }

  get lastMessage(): Message | null {
    return this.timeline.newest ?? this.#view.last_message;
  }

  /** When something last happened here, for sorting. */
  get updatedAt(): string {
    const newest = this.lastMessage?.created_at ?? "";
    const { updated_at } = this.#view;
    if (newest > updated_at) return newest;
    return updated_at;
  }

  get readUpTo(): number {
    return Math.max(this.me.last_read_seq, this.claimed.read);
  }

  /**
   * Messages after my mark that are not mine (a send moves its author's mark), not deleted, not hidden and not lost.
   * What is held is counted; of what is not, the server's newest summary knows how much was deleted. Both are never
   * too small, so the smaller one is right.
   */
  get unread(): number {
    const mark = Math.max(this.readUpTo, this.me.hidden_before_seq - 1);
    const { last_seq, unread_count } = this.#view;
    return Math.max(0, Math.min(this.#presentAfter(mark), unread_count + this.#presentAfter(Math.max(mark, last_seq))));
  }

  /** How many positions after this one are neither lost nor known to be deleted. */
  #presentAfter(seq: number): number {
    const { messages } = this.timeline;
    let deleted = 0;
    for (let at = messages.length - 1; at >= 0 && messages[at]!.seq > seq; at--) if (isDeleted(messages[at]!)) deleted++;
    return this.lastSeq - seq - this.lostAfter(seq) - deleted;
  }

  /** How many positions after this one a restore of the server emptied. */
  lostAfter(seq: number): number {
    const counts = (this.#view.lost ?? []).map(({ first_seq, last_seq }) => Math.max(0, last_seq - Math.max(seq, first_seq - 1)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Everything there is to show is held. */
  get complete(): boolean {
    const { low, exhausted } = this.timeline;
    return exhausted || (low > 0 && low <= Math.max(1, this.me.hidden_before_seq));
  }

  /** The server's newest word on the conversation. It never takes back a mark. */
  summarize(view: Conversation): void {
    const { me, peer } = this.#view;
    this.#view = { ...view, me: { ...view.me, ...furthest(me, view.me) }, peer: { ...view.peer, ...furthest(peer, view.peer) } };
  }

  moveMark(userId: string, kind: "delivered" | "read", upTo: number): void {
    const moved = kind === "read" ? { last_delivered_seq: upTo, last_read_seq: upTo } : { last_delivered_seq: upTo, last_read_seq: 0 };
    if (userId === this.peerId) this.#view = { ...this.#view, peer: { ...this.peer, ...furthest(this.peer, moved) } };
    else this.#view = { ...this.#view, me: { ...this.me, ...furthest(this.me, moved) } };
  }

  /** Show a change of my own state before the server has confirmed it. */
  presume(change: Partial<MyState>): void {
    this.#view = { ...this.#view, me: { ...this.me, ...change } };
  }
}

/** A lost position is a tombstone too, and counted as lost. */
function isDeleted({ is_deleted, sender_id }: Message): boolean {
  return is_deleted && sender_id !== "";
}

type TwoMarks = Pick<Marks, "last_delivered_seq" | "last_read_seq">;

function furthest(a: TwoMarks, b: TwoMarks): TwoMarks {
  return {
    last_delivered_seq: Math.max(a.last_delivered_seq, b.last_delivered_seq),
    last_read_seq: Math.max(a.last_read_seq, b.last_read_seq),
  };
}

/** All threads of the person logged in. */
export class Conversations {
  readonly #threads = new Map<string, Thread>();

  get(id: string): Thread | undefined {
    return this.#threads.get(id);
  }

  all(): Thread[] {
    return [...this.#threads.values()];
  }

  withPeer(userId: string): Thread | undefined {
    return this.all().find((thread) => thread.peerId === userId);
  }

  /**
   * What a `sync` question says: how far each conversation after `after` (in the order of ids) has been applied, as many
   * as one question has room for. `until` is the last of them, or empty if these are all.
   */
  known(after = ""): { known: Record<string, number>; until: string } {
    const rest = this.all().filter(({ id }) => id > after);
    const part = rest.length > KNOWN_AT_ONCE ? rest.sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, KNOWN_AT_ONCE) : rest;
    const known = Object.fromEntries(part.map(({ id, timeline }) => [id, timeline.mark]));
    return { known, until: part.length < rest.length ? part.at(-1)!.id : "" };
  }

  /** Take over a summary; true if the conversation was new. */
  meet(view: Conversation): boolean {
    const thread = this.#threads.get(view.id);
    if (thread) thread.summarize(view);
    else this.#threads.set(view.id, new Thread(view));
    return !thread;
  }

  /** Take over one line of a `sync` answer; says what is still to be asked for. */
  takeOver(line: ChangedConversation): "nothing" | "more changes" | "all anew" {
    const isNew = this.meet(line);
    const { timeline } = this.#threads.get(line.id)!;
    if (isNew || line.changes.reset || timeline.low === 0) {
      timeline.begin(line.changes.results ?? [], { lastSeq: line.last_seq, mark: line.change_seq });
      return line.changes.reset || (!isNew && line.changes.has_more) ? "all anew" : "nothing";
    }
    timeline.catchUp(line.changes);
    return line.changes.has_more ? "more changes" : "nothing";
  }

  clear(): void {
    this.#threads.clear();
  }
}
