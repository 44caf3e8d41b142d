/**
 * Deleting for oneself. A message is gone from all tabs of this browser at once, and the server is told some seconds
 * later: until then it can be undone. What waits is kept (localStorage), so that a reload shows the same and a closed
 * tab or a lost network only delays it.
 */

import { type DoranClient, DoranError, type Message } from "../../client/index.ts";

export const UNDO_MS = 8_000;
/** How much later another tab takes over what a tab that is gone has begun. */
const GRACE_MS = 4_000;
const AGAIN_MS = 5_000;
/** By then the tombstone has come to other tabs, which therefore do not show the message once more. */
const SETTLED_MS = 1_000;
const HELD_MS = 60_000;

interface Entry {
  readonly id: string;
  /** When the server is told, by this machine's clock. */
  readonly at: number;
}

export class Hiding {
  #client: DoranClient | undefined;
  #userId: string | null = null;
  #entries: readonly Entry[] = [];
  /** Begun in this tab: here it can be undone. */
  readonly #mine = new Set<string>();
  /** The server knows; its tombstone may still be on its way. */
  readonly #told = new Set<string>();
  readonly #telling = new Set<string>();
  readonly #listeners = new Set<() => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #refused: (code: string) => void = () => undefined;

  /** Follow the person who is logged in; `refused` hears why a message could not be deleted. */
  attend(client: DoranClient, refused: (code: string) => void): void {
    this.#client = client;
    this.#refused = refused;
    client.on("session", ({ userId }) => this.#begin(userId));
    client.on("synced", () => this.#look());
    globalThis.addEventListener?.("storage", ({ key }) => key === this.#key && this.#take(read(this.#key)));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  has(messageId: string): boolean {
    return this.#told.has(messageId) || this.#entries.some(({ id }) => id === messageId);
  }

  /** How many can still be brought back here. */
  get undoable(): number {
    return this.#entries.filter(({ id }) => this.#mine.has(id)).length;
  }

  /** Those begun shortly before share its time, for one press brings back all of them. */
  hide(message: Message): void {
    if (this.has(message.id)) return;
    this.#mine.add(message.id);
    this.#keep([...this.#entries, { id: message.id, at: 0 }].map((entry) => this.#due(entry, UNDO_MS)));
  }

  undo(): void {
    const kept = this.#entries.filter(({ id }) => !this.#mine.has(id));
    this.#mine.clear();
    this.#keep(kept);
  }

  /** Somebody is about to press: time stands still until `release`, but not for ever. */
  hold(): void {
    if (this.undoable) this.#keep(this.#entries.map((entry) => this.#due(entry, HELD_MS)));
  }

  release(): void {
    if (this.undoable) this.#keep(this.#entries.map((entry) => this.#due(entry, UNDO_MS / 2)));
  }

  /** Tell the server now: before the session ends. */
  async finish(): Promise<void> {
    this.#mine.clear();
    await Promise.all(this.#entries.map(({ id }) => this.#tell(id)));
  }

  #due(entry: Entry, after: number): Entry {
    return this.#mine.has(entry.id) ? { ...entry, at: Date.now() + after } : entry;
  }

  #begin(userId: string | null): void {
    this.#userId = userId;
    this.#mine.clear();
    this.#told.clear();
    this.#take(userId ? read(this.#key) : []);
  }

  get #key(): string {
    return `doran.deleting.${this.#userId}`;
  }

  #keep(entries: readonly Entry[]): void {
    write(this.#key, entries);
    this.#take(entries);
  }

  #take(entries: readonly Entry[]): void {
    this.#entries = entries;
    this.#look();
    for (const listener of this.#listeners) listener();
  }

  /** Tell what is due, and look again when the next one is. */
  #look(): void {
    clearTimeout(this.#timer);
    const now = Date.now();
    const dues = this.#entries.map(({ id, at }) => ({ id, due: this.#mine.has(id) ? at : at + GRACE_MS }));
    for (const { id, due } of dues) if (due <= now) void this.#tell(id);
    const next = Math.min(...dues.filter(({ due }) => due > now).map(({ due }) => due));
    if (Number.isFinite(next)) this.#timer = setTimeout(() => this.#look(), next - now);
  }

  async #tell(id: string): Promise<void> {
    if (this.#telling.has(id) || this.#told.has(id) || !this.#client) return;
    this.#telling.add(id);
    try {
      await this.#client.rest.delete(id, "me");
      this.#told.add(id);
      this.#mine.delete(id);
      setTimeout(() => this.#settle(id), SETTLED_MS);
    } catch (error) {
      this.#failed(id, error instanceof DoranError ? error : new DoranError("unknown"));
    } finally {
      this.#telling.delete(id);
    }
  }

  /** What time may heal is tried again; what is not there any more needs no deletion. */
  #failed(id: string, error: DoranError): void {
    if (error.passing || error.sessionOver) {
      this.#mine.delete(id);
      return this.#keep(this.#entries.map((entry) => (entry.id === id ? { id, at: Date.now() + AGAIN_MS - GRACE_MS } : entry)));
    }
    this.#settle(id);
    if (error.code !== "not_found") this.#refused(error.code);
  }

  #settle(id: string): void {
    this.#mine.delete(id);
    this.#keep(this.#entries.filter((entry) => entry.id !== id));
  }
}

function read(key: string): readonly Entry[] {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "[]") as Entry[];
  } catch {
    return [];
  }
}

/** Where storage is forbidden, it is kept as long as the page. */
function write(key: string, entries: readonly Entry[]): void {
  try {
    if (entries.length) localStorage.setItem(key, JSON.stringify(entries));
    else localStorage.removeItem(key);
  } catch {
    return;
  }
}

/** Of this page. */
export const hiding = new Hiding();
