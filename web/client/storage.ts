/** What must survive a closed tab: the refresh token, the messages that still wait, and what is being written. */

import type { MessageType } from "./frames.ts";

export interface StoredSession {
  readonly userId: string;
  readonly sessionId: string;
  readonly refreshToken: string;
  /** Under which a renewal was asked for that has had no answer yet. */
  readonly renewalKey?: string;
}

/** A message on its way: waiting, being sent, or refused for good (`problem`). */
export interface Waiting {
  readonly clientMessageId: string;
  readonly userId: string;
  readonly conversationId: string;
  readonly content: string;
  readonly messageType: MessageType;
  readonly replyTo: string | null;
  readonly createdAt: number;
  /** The code of the final refusal; null while there is hope. */
  readonly problem: string | null;
}

/** What somebody is about to say: the text in the box, which message it answers, and a message that is being changed. */
export interface Writing {
  /** Null where the draft that the server has counts. */
  readonly text: string | null;
  /** The id of a message. */
  readonly replyTo: string | null;
  readonly edit: { readonly messageId: string; readonly text: string } | null;
}

/** What is being written in a conversation, for as long as only the browser has it. */
export interface Draft extends Writing {
  readonly userId: string;
  readonly conversationId: string;
  /** What the server had when the text was begun. */
  readonly base: string;
}

export interface Storage {
  readSession(): Promise<StoredSession | null>;
  writeSession(session: StoredSession | null): Promise<void>;
  /** Everything of one person, oldest first. */
  waiting(userId: string): Promise<Waiting[]>;
  keep(entry: Waiting): Promise<void>;
  forget(clientMessageId: string): Promise<void>;
  /** Drafts of one person. */
  drafts(userId: string): Promise<Draft[]>;
  keepDraft(draft: Draft): Promise<void>;
  forgetDraft(draft: Pick<Draft, "userId" | "conversationId">): Promise<void>;
  /** Everything that waits or is being written by one person. */
  forgetAll(userId: string): Promise<void>;
  /** Run `work` while no other tab runs work of the same name. */
  exclusively<Result>(name: string, work: () => Promise<Result>): Promise<Result>;
}

const keyOf = ({ userId, conversationId }: Pick<Draft, "userId" | "conversationId">) => `${userId} ${conversationId}`;
const byAge = (a: Waiting, b: Waiting) => a.createdAt - b.createdAt || (a.clientMessageId < b.clientMessageId ? -1 : 1);

/** Keeps nothing beyond the page: for bots, tests, and browsers that forbid storage. */
export class MemoryStorage implements Storage {
  #session: StoredSession | null = null;
  readonly #entries = new Map<string, Waiting>();
  readonly #drafts = new Map<string, Draft>();
  readonly #tails = new Map<string, Promise<unknown>>();

  async readSession(): Promise<StoredSession | null> {
    return this.#session;
  }

  async writeSession(session: StoredSession | null): Promise<void> {
    this.#session = session;
  }

  async waiting(userId: string): Promise<Waiting[]> {
    return [...this.#entries.values()].filter((entry) => entry.userId === userId).sort(byAge);
  }

  async keep(entry: Waiting): Promise<void> {
    this.#entries.set(entry.clientMessageId, entry);
  }

  async forget(clientMessageId: string): Promise<void> {
    this.#entries.delete(clientMessageId);
  }

  async drafts(userId: string): Promise<Draft[]> {
    return [...this.#drafts.values()].filter((draft) => draft.userId === userId);
  }

  async keepDraft(draft: Draft): Promise<void> {
    this.#drafts.set(keyOf(draft), draft);
  }

  async forgetDraft(draft: Pick<Draft, "userId" | "conversationId">): Promise<void> {
    this.#drafts.delete(keyOf(draft));
  }

  async forgetAll(userId: string): Promise<void> {
    for (const entry of await this.waiting(userId)) this.#entries.delete(entry.clientMessageId);
    for (const draft of await this.drafts(userId)) await this.forgetDraft(draft);
  }

  exclusively<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const turn = (this.#tails.get(name) ?? Promise.resolve()).then(work, work);
    this.#tails.set(name, turn.catch(() => undefined));
    return turn;
  }
}

/** IndexedDB, shared by all tabs of the origin. */
export class BrowserStorage implements Storage {
  readonly #name: string;
  #opened: Promise<IDBDatabase> | null = null;

  constructor(name = "doran") {
    this.#name = name;
  }

  async readSession(): Promise<StoredSession | null> {
    return (await this.#run<StoredSession | undefined>("session", "readonly", (store) => store.get("current"))) ?? null;
  }

  async writeSession(session: StoredSession | null): Promise<void> {
    await this.#run("session", "readwrite", (store) => (session ? store.put(session, "current") : store.delete("current")));
  }

  async waiting(userId: string): Promise<Waiting[]> {
    const entries = await this.#run<Waiting[]>("outbox", "readonly", (store) => store.getAll());
    return entries.filter((entry) => entry.userId === userId).sort(byAge);
  }

  async keep(entry: Waiting): Promise<void> {
    await this.#run("outbox", "readwrite", (store) => store.put(entry));
  }

  async forget(clientMessageId: string): Promise<void> {
    await this.#run("outbox", "readwrite", (store) => store.delete(clientMessageId));
  }

  async drafts(userId: string): Promise<Draft[]> {
    const drafts = await this.#run<Draft[]>("drafts", "readonly", (store) => store.getAll());
    return drafts.filter((draft) => draft.userId === userId);
  }

  async keepDraft(draft: Draft): Promise<void> {
    await this.#run("drafts", "readwrite", (store) => store.put(draft, keyOf(draft)));
  }

  async forgetDraft(draft: Pick<Draft, "userId" | "conversationId">): Promise<void> {
    await this.#run("drafts", "readwrite", (store) => store.delete(keyOf(draft)));
  }

  async forgetAll(userId: string): Promise<void> {
    for (const entry of await this.waiting(userId)) await this.forget(entry.clientMessageId);
    for (const draft of await this.drafts(userId)) await this.forgetDraft(draft);
  }

  /** Web Locks where the browser has them; on plain http (a LAN address) it hides them: then a lease in the database. */
  exclusively<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const lock = `${this.#name}:${name}`;
    return globalThis.navigator?.locks ? (navigator.locks.request(lock, work) as Promise<Result>) : this.#leased(lock, work);
  }

  async #leased<Result>(lock: string, work: () => Promise<Result>): Promise<Result> {
    const owner = Math.random().toString(36);
    while (!(await this.#take(lock, owner))) await new Promise((wake) => setTimeout(wake, 50));
    try {
      return await work();
    } finally {
      await this.#run("leases", "readwrite", (store) => store.delete(lock));
    }
  }

  /** True if the lease was free (or its holder has been silent too long to be alive) and is ours now. */
  async #take(lock: string, owner: string): Promise<boolean> {
    const database = await this.#open();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("leases", "readwrite");
      const leases = transaction.objectStore("leases");
      let taken = false;
      leases.get(lock).onsuccess = (event) => {
        const holder = (event.target as IDBRequest<{ until: number } | undefined>).result;
        const now = Date.now();
        taken = !holder || holder.until < now || holder.until > now + 2 * LEASE_MS; // a clock that was set back holds nothing
        if (taken) leases.put({ owner, until: Date.now() + LEASE_MS }, lock);
      };
      transaction.oncomplete = () => resolve(taken);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  /** Resolves when the transaction is complete: what was kept is kept. */
  async #run<Result>(store: string, mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest): Promise<Result> {
    const database = await this.#open();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode, { durability: "strict" });
      const request = ask(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result as Result);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  #open(): Promise<IDBDatabase> {
    this.#opened ??= openDatabase(this.#name, () => {
      this.#opened = null;
    }).catch((error) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }
}

const LEASE_MS = 30_000;

function openDatabase(name: string, closed: () => void): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 2);
    request.onupgradeneeded = ({ oldVersion }) => {
      if (oldVersion < 1) createStores(request.result);
      request.result.createObjectStore("drafts");
    };
    request.onsuccess = () => {
      const database = request.result;
      database.onversionchange = () => {
        database.close();
        closed();
      };
      database.onclose = closed;
      resolve(database);
    };
    request.onerror = () => reject(request.error);
  });
}

function createStores(database: IDBDatabase): void {
  database.createObjectStore("session");
  database.createObjectStore("outbox", { keyPath: "clientMessageId" });
  database.createObjectStore("leases");
}

/** The browser's storage if it lets us, else the page's memory. */
export async function bestStorage(name?: string): Promise<Storage> {
  if (typeof indexedDB === "undefined") return new MemoryStorage();
  const storage = new BrowserStorage(name);
  try {
    await storage.readSession();
    return storage;
  } catch {
    return new MemoryStorage();
  }
}
