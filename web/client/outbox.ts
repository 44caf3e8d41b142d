/** Messages on their way: shown at once, kept through a crash, sent in order with the same id until the server has answered. */

import { fullJitter } from "./backoff.ts";
import { DoranError } from "./errors.ts";
import type { Message, SendBody } from "./frames.ts";
import type { Storage, Waiting } from "./storage.ts";

export interface OutboxOptions {
  readonly storage: Storage;
  readonly online: () => boolean;
  /** Say it to the server once; resolves with the stored message. */
  readonly send: (conversationId: string, body: SendBody) => Promise<Message>;
  readonly onAccepted: (message: Message) => void;
  /** The waiting messages of a conversation changed. */
  readonly onChanged: (conversationId: string) => void;
  readonly onRefused: (entry: Waiting) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #entries = new Map<string, Waiting>();
  readonly #writes = new Map<string, Promise<void>>();
  readonly #busy = new Set<string>();
  readonly #sending = new Set<string>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  of(conversationId: string): Waiting[] {
    return [...this.#entries.values()].filter((entry) => entry.conversationId === conversationId);
  }

  get size(): number {
    return this.#entries.size;
  }

  isSending(clientMessageId: string): boolean {
    return this.#sending.has(clientMessageId);
  }

  /** Bring back what an earlier page, or another tab, has left. */
  async load(userId: string): Promise<void> {
    const kept = await this.#options.storage.waiting(userId).catch(() => []);
    for (const entry of kept) if (!this.#entries.has(entry.clientMessageId)) this.#entries.set(entry.clientMessageId, entry);
    for (const id of new Set(kept.map(({ conversationId }) => conversationId))) this.#options.onChanged(id);
  }

  /** Shown and sent at once; kept beside that, so that a closed tab does not lose it. */
  add(entry: Waiting): void {
    this.#put(entry);
    void this.#drain(entry.conversationId);
  }

  /** Send whatever can be sent. */
  flush(): void {
    for (const id of new Set([...this.#entries.values()].map(({ conversationId }) => conversationId))) void this.#drain(id);
  }

  /** Try a refused message again, under the same id. */
  retry(clientMessageId: string): void {
    const entry = this.#entries.get(clientMessageId);
    if (!entry) return;
    this.#put({ ...entry, problem: null });
    void this.#drain(entry.conversationId);
  }

  discard(clientMessageId: string): void {
    const entry = this.#entries.get(clientMessageId);
    if (!entry || this.#sending.has(clientMessageId)) return;
    this.#remove(entry);
  }

  /** The message is on the server, whoever told us. */
  settle(clientMessageId: string): void {
    const entry = this.#entries.get(clientMessageId);
    if (entry) this.#remove(entry);
  }

  clear(): void {
    this.#entries.clear();
    this.#sending.clear();
  }

  /** One at a time per conversation: that is what keeps the order in which they were written. */
  async #drain(conversationId: string): Promise<void> {
    if (this.#busy.has(conversationId)) return;
    this.#busy.add(conversationId);
    const backoff = fullJitter();
    for (let entry = this.#next(conversationId); entry && this.#options.online(); entry = this.#next(conversationId)) {
      const wait = await this.#attempt(entry);
      if (wait === null) backoff.reset();
      else await pause(backoff.next(wait));
    }
    this.#busy.delete(conversationId);
  }

  #next(conversationId: string): Waiting | undefined {
    return this.of(conversationId).find(({ problem }) => problem === null);
  }

  /** Null when it is settled one way or the other, else how long to wait before the same again. */
  async #attempt(entry: Waiting): Promise<number | null> {
    this.#mark(entry, true);
    try {
      this.#options.onAccepted(await this.#options.send(entry.conversationId, bodyOf(entry)));
      this.settle(entry.clientMessageId);
      return null;
    } catch (error) {
      return this.#failed(entry, error);
    } finally {
      this.#mark(entry, false);
    }
  }

  #failed(entry: Waiting, error: unknown): number | null {
    if (!this.#entries.has(entry.clientMessageId)) return null;
    if (!(error instanceof DoranError) || error.passing) return error instanceof DoranError ? (error.retryAfterMs ?? 0) : 0;
    const refused = { ...entry, problem: error.code };
    this.#put(refused);
    this.#options.onRefused(refused);
    return null;
  }

  #mark(entry: Waiting, sending: boolean): void {
    if (sending) this.#sending.add(entry.clientMessageId);
    else this.#sending.delete(entry.clientMessageId);
    this.#options.onChanged(entry.conversationId);
  }

  #put(entry: Waiting): void {
    this.#entries.set(entry.clientMessageId, entry);
    this.#write(entry.clientMessageId, () => this.#options.storage.keep(entry));
    this.#options.onChanged(entry.conversationId);
  }

  #remove(entry: Waiting): void {
    this.#entries.delete(entry.clientMessageId);
    this.#write(entry.clientMessageId, () => this.#options.storage.forget(entry.clientMessageId));
    this.#options.onChanged(entry.conversationId);
  }

  /** Writes of one entry happen in order; a full disk costs the safety net, not the message. */
  #write(id: string, how: () => Promise<void>): void {
    const written = (this.#writes.get(id) ?? Promise.resolve()).then(how).catch(() => undefined);
    this.#writes.set(id, written);
    void written.then(() => {
      if (this.#writes.get(id) === written) this.#writes.delete(id);
    });
  }
}

function bodyOf(entry: Waiting): SendBody {
  const { content, messageType, clientMessageId, replyTo } = entry;
  return { content, message_type: messageType, client_message_id: clientMessageId, ...(replyTo ? { reply_to: replyTo } : {}) };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, milliseconds));
}
