/** Messages on their way: shown at once, kept through a crash, sent in order with the same id until the server has answered. */

import { fullJitter } from "./backoff.ts";
import { DoranError } from "./errors.ts";
import type { Message, SendBody } from "./frames.ts";
import { uuidv7 } from "./ids.ts";
import type { Storage, Waiting } from "./storage.ts";
import type { Tabs } from "./tabs.ts";

export interface OutboxOptions {
  readonly storage: Storage;
  readonly tabs: Tabs;
  readonly online: () => boolean;
  /** Say it to the server once; resolves with the stored message. */
  readonly send: (conversationId: string, body: SendBody) => Promise<Message>;
  readonly onAccepted: (message: Message) => void;
  /** The waiting messages of a conversation changed. */
  readonly onChanged: (conversationId: string) => void;
  readonly onRefused: (entry: Waiting) => void;
}

/** A message that another tab sends and has no answer for so long is abandoned: the tab was closed. */
const ABANDONED_MS = 10_000;
/** After so many `internal_error` a message is taken for refused. */
const HOPELESS = 5;

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #entries = new Map<string, Waiting>();
  readonly #writes = new Map<string, Promise<void>>();
  readonly #busy = new Set<string>();
  readonly #sending = new Set<string>();
  /** What is in the browser's store, and is gone from here if it is gone from there. */
  readonly #kept = new Set<string>();
  /** How often the server broke on it. */
  readonly #troubles = new Map<string, number>();
  #userId: string | null = null;

  constructor(options: OutboxOptions) {
    this.#options = options;
    options.tabs.on("waiting", (entry) => entry.userId === this.#userId && this.#hear(entry));
    options.tabs.on("settled", (entry) => entry.userId === this.#userId && this.#drop(entry));
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

  /** Bring back what an earlier page has left, and take over what other tabs have done unheard. */
  async load(userId: string): Promise<void> {
    this.#userId = userId;
    const kept = await this.#options.storage.waiting(userId).catch(() => null);
    if (!kept || this.#userId !== userId) return;
    const ids = new Set(kept.map(({ clientMessageId }) => clientMessageId));
    for (const entry of [...this.#entries.values()]) if (this.#isGone(entry, ids)) this.#drop(entry);
    for (const entry of kept) this.#takeOver(entry);
  }

  #isGone({ clientMessageId }: Waiting, kept: ReadonlySet<string>): boolean {
    return this.#kept.has(clientMessageId) && !kept.has(clientMessageId) && !this.#writes.has(clientMessageId);
  }

  #takeOver(entry: Waiting): void {
    const { clientMessageId, conversationId } = entry;
    if (this.#writes.has(clientMessageId) || this.#sending.has(clientMessageId)) return;
    this.#entries.set(clientMessageId, entry);
    this.#kept.add(clientMessageId);
    this.#options.onChanged(conversationId);
  }

  /** Another tab sends it, or was refused. */
  #hear(entry: Waiting): void {
    this.#takeOver(entry);
    if (entry.problem === null) setTimeout(() => this.#entries.has(entry.clientMessageId) && void this.#drain(entry.conversationId), ABANDONED_MS);
  }

  #drop({ clientMessageId, conversationId }: Pick<Waiting, "clientMessageId" | "conversationId">): void {
    this.#kept.delete(clientMessageId);
    this.#troubles.delete(clientMessageId);
    if (this.#entries.delete(clientMessageId)) this.#options.onChanged(conversationId);
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

  /** Try a refused message again, changed so that it may pass: under the same id, unless that one is taken. */
  retry(clientMessageId: string, change: Partial<Pick<Waiting, "replyTo">> = {}): void {
    const entry = this.#entries.get(clientMessageId);
    if (!entry) return;
    const isTaken = entry.problem === "idempotency_conflict";
    this.#troubles.delete(clientMessageId);
    this.#put({ ...entry, ...change, problem: null, clientMessageId: isTaken ? uuidv7() : clientMessageId });
    if (isTaken) this.#remove(entry);
    void this.#drain(entry.conversationId);
  }

  get(clientMessageId: string): Waiting | undefined {
    return this.#entries.get(clientMessageId);
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

  /** Another person, or nobody: what is in the browser's store stays there. */
  clear(): void {
    this.#userId = null;
    this.#entries.clear();
    this.#sending.clear();
    this.#kept.clear();
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
    if (!(error instanceof DoranError)) return 0;
    if (error.passing && !this.#isHopeless(entry, error)) return error.retryAfterMs ?? 0;
    const refused = { ...entry, problem: error.code };
    this.#put(refused);
    this.#options.onRefused(refused);
    return null;
  }

  /** Something about this one message breaks the server again and again: those behind it do not wait for ever. */
  #isHopeless({ clientMessageId }: Waiting, { code }: DoranError): boolean {
    if (code !== "internal_error") return false;
    const troubles = (this.#troubles.get(clientMessageId) ?? 0) + 1;
    this.#troubles.set(clientMessageId, troubles);
    return troubles >= HOPELESS;
  }

  #mark(entry: Waiting, sending: boolean): void {
    if (sending) this.#sending.add(entry.clientMessageId);
    else this.#sending.delete(entry.clientMessageId);
    this.#options.onChanged(entry.conversationId);
  }

  #put(entry: Waiting): void {
    this.#entries.set(entry.clientMessageId, entry);
    this.#write(entry.clientMessageId, () => this.#options.storage.keep(entry).then(() => void this.#kept.add(entry.clientMessageId)));
    this.#options.tabs.tell("waiting", entry);
    this.#options.onChanged(entry.conversationId);
  }

  #remove(entry: Waiting): void {
    const { userId, conversationId, clientMessageId } = entry;
    this.#write(clientMessageId, () => this.#options.storage.forget(clientMessageId));
    this.#options.tabs.tell("settled", { userId, conversationId, clientMessageId });
    this.#drop(entry);
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
