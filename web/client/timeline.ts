/** The messages of one conversation that this device holds: in `seq` order, each once, in its newest state. */

import type { ChangesPage, Message } from "./frames.ts";

export class Timeline {
  readonly #messages: Message[] = [];
  readonly #seqs = new Map<string, number>();
  /** The first seq held; everything from here on is held. 0 = nothing loaded yet. */
  #low = 0;
  /** The server has nothing older for me. */
  #exhausted = false;
  /** Every change up to here has been applied. */
  #mark = 0;
  /** Changes applied out of turn, above the mark. */
  readonly #ahead = new Set<number>();

  get messages(): readonly Message[] {
    return this.#messages;
  }

  get newest(): Message | undefined {
    return this.#messages.at(-1);
  }

  get low(): number {
    return this.#low;
  }

  get exhausted(): boolean {
    return this.#exhausted;
  }

  get mark(): number {
    return this.#mark;
  }

  /** A change is missing between the mark and what was heard: ask `changes`. */
  get gap(): boolean {
    return this.#ahead.size > 0;
  }

  /** The highest seq up to which nothing is missing: what may be claimed as delivered. */
  get high(): number {
    let high = this.#low - 1;
    for (const message of this.#messages) {
      if (message.seq !== high + 1) break;
      high = message.seq;
    }
    return Math.max(high, 0);
  }

  get(seq: number): Message | undefined {
    const at = this.#indexOf(seq);
    return this.#messages[at]?.seq === seq ? this.#messages[at] : undefined;
  }

  /** By id, if it is held: what a reply answers. */
  find(id: string): Message | undefined {
    const seq = this.#seqs.get(id);
    return seq === undefined ? undefined : this.get(seq);
  }

  /** What is held when a conversation is first seen: its newest messages (none if I cleared it), and the mark they belong to. */
  begin(newest: readonly Message[], { lastSeq, mark }: { lastSeq: number; mark: number }): void {
    this.clear();
    this.#low = newest.length ? Math.min(...newest.map(({ seq }) => seq)) : lastSeq + 1;
    for (const message of newest) this.#put(message);
    this.#mark = mark;
  }

  /** A change heard live. It may come late, twice, or out of turn. */
  hear(message: Message): void {
    this.#put(message);
    if (message.change_seq > this.#mark) this.#ahead.add(message.change_seq);
    this.#advance();
  }

  /** An answer to `changes` since the mark. */
  catchUp(page: ChangesPage): void {
    for (const message of page.results ?? []) this.#put(message);
    this.#mark = Math.max(this.#mark, page.next_since ?? 0);
    this.#advance();
  }

  /** Older messages, read page by page. */
  prepend(older: readonly Message[]): void {
    if (!older.length) {
      this.#exhausted = true;
      return;
    }
    this.#low = Math.min(this.#low, ...older.map(({ seq }) => seq));
    for (const message of older) this.#put(message);
  }

  clear(): void {
    this.#messages.length = 0;
    this.#seqs.clear();
    this.#ahead.clear();
    this.#low = this.#mark = 0;
    this.#exhausted = false;
  }

  /** A row below what is held is left out: it will be read in its final state when one scrolls there. */
  #put(message: Message): void {
    if (message.seq < this.#low) return;
    this.#seqs.set(message.id, message.seq);
    const at = this.#indexOf(message.seq);
    const held = this.#messages[at];
    if (held?.seq !== message.seq) this.#messages.splice(at, 0, message);
    else if (supersedes(message, held)) this.#messages[at] = message;
  }

  /** Where a seq stands or would stand. New messages are nearly always last. */
  #indexOf(seq: number): number {
    let [from, to] = [0, this.#messages.length];
    if (to === 0 || this.#messages[to - 1]!.seq < seq) return to;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#messages[middle]!.seq < seq) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  #advance(): void {
    while (this.#ahead.has(this.#mark + 1)) this.#mark++;
    for (const change of this.#ahead) if (change <= this.#mark) this.#ahead.delete(change);
  }
}

/** The later change wins, and a deletion is final: one made only for me does not move the shared counter. */
function supersedes(message: Message, held: Message): boolean {
  if (held.is_deleted) return message.is_deleted && message.change_seq > held.change_seq;
  return message.is_deleted || message.change_seq > held.change_seq;
}
