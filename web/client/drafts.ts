/** What stands in the box of each conversation: kept in the browser at once, and on the server as soon as it takes it. */

import type { Draft, Storage } from "./storage.ts";
import type { Tabs } from "./tabs.ts";

export interface DraftsOptions {
  readonly storage: Storage;
  readonly tabs: Tabs;
  /** Keep it on the server. */
  readonly save: (conversationId: string, text: string) => Promise<void>;
  /** What the server is known to have; undefined where the conversation is not known. */
  readonly saved: (conversationId: string) => string | undefined;
  /** Another tab learnt that the server has this now. */
  readonly onSaved: (conversationId: string, text: string) => void;
  readonly onChanged: (conversationId: string) => void;
}

/** Whoever writes rests for so long before the server is told. */
const REST_MS = 1_500;
/** A tab that wrote and does not save any more is closed: then another one saves. */
const ABANDONED_MS = 10_000;

export class Drafts {
  readonly #options: DraftsOptions;
  /** What the server does not have yet, by conversation. */
  readonly #texts = new Map<string, string>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #saving = new Set<string>();
  readonly #unwritten = new Map<string, Draft | null>();
  #written = Promise.resolve();
  #userId: string | null = null;

  constructor(options: DraftsOptions) {
    this.#options = options;
    options.tabs.on("draft", ({ isSaved, ...draft }) => draft.userId === this.#userId && this.#hear(draft, isSaved));
  }

  /** What was written and the server does not have; undefined where its own draft counts. */
  unsaved(conversationId: string): string | undefined {
    return this.#texts.get(conversationId);
  }

  /** Bring back what an earlier page has left. */
  async load(userId: string): Promise<void> {
    this.#userId = userId;
    const kept = await this.#options.storage.drafts(userId).catch(() => []);
    if (this.#userId !== userId) return;
    for (const { conversationId, text } of kept) {
      if (this.#texts.has(conversationId)) continue;
      this.#texts.set(conversationId, text);
      this.#options.onChanged(conversationId);
    }
  }

  /** At every key. */
  write(conversationId: string, text: string): void {
    if (this.#userId === null || text === (this.unsaved(conversationId) ?? this.#options.saved(conversationId) ?? "")) return;
    this.#texts.set(conversationId, text);
    this.#keep(conversationId, text);
    this.#tell(conversationId, text, false);
    this.#options.onChanged(conversationId);
    this.#saveLater(conversationId, REST_MS);
  }

  /** Whoever wrote has gone on to something else: the server is told now. */
  async save(conversationId: string): Promise<void> {
    const text = this.#texts.get(conversationId);
    if (text === undefined || this.#saving.has(conversationId)) return;
    this.#forgetTimer(conversationId);
    if (text === this.#options.saved(conversationId)) return this.#settle(conversationId, text);
    this.#saving.add(conversationId);
    const userId = this.#userId;
    try {
      await this.#options.save(conversationId, text);
      if (userId === this.#userId && this.#texts.get(conversationId) === text) this.#settle(conversationId, text);
    } catch {
      // It stays in the browser. The next key and the next connection try again.
    } finally {
      this.#saving.delete(conversationId);
      if (this.#texts.has(conversationId) && this.#texts.get(conversationId) !== text) this.#saveLater(conversationId, REST_MS);
    }
  }

  /** Save whatever can be saved. */
  async saveAll(): Promise<void> {
    await Promise.all([...this.#texts.keys()].map((id) => this.save(id)));
  }

  /** Another person, or nobody: what is in the browser's store stays there. */
  clear(): void {
    this.#userId = null;
    this.#texts.clear();
    for (const id of [...this.#timers.keys()]) this.#forgetTimer(id);
  }

  #hear({ conversationId, text }: Draft, isSaved: boolean): void {
    if (isSaved) {
      this.#options.onSaved(conversationId, text);
      if (this.#texts.get(conversationId) === text) this.#texts.delete(conversationId);
      this.#forgetTimer(conversationId);
    } else {
      this.#texts.set(conversationId, text);
      this.#saveLater(conversationId, ABANDONED_MS);
    }
    this.#options.onChanged(conversationId);
  }

  #settle(conversationId: string, text: string): void {
    this.#texts.delete(conversationId);
    this.#keep(conversationId, null);
    this.#tell(conversationId, text, true);
    this.#options.onChanged(conversationId);
  }

  #tell(conversationId: string, text: string, isSaved: boolean): void {
    this.#options.tabs.tell("draft", { userId: this.#userId!, conversationId, text, isSaved });
  }

  /** One write at a time, of the newest text. A full disk costs the safety net, not the text. */
  #keep(conversationId: string, text: string | null): void {
    const userId = this.#userId!;
    const isQueued = this.#unwritten.has(conversationId);
    this.#unwritten.set(conversationId, text === null ? null : { userId, conversationId, text });
    if (!isQueued) this.#written = this.#written.then(() => this.#writeDown({ userId, conversationId })).catch(() => undefined);
  }

  #writeDown(where: Pick<Draft, "userId" | "conversationId">): Promise<void> {
    const draft = this.#unwritten.get(where.conversationId);
    this.#unwritten.delete(where.conversationId);
    return draft ? this.#options.storage.keepDraft(draft) : this.#options.storage.forgetDraft(where);
  }

  #saveLater(conversationId: string, after: number): void {
    this.#forgetTimer(conversationId);
    this.#timers.set(conversationId, setTimeout(() => void this.save(conversationId), after));
  }

  #forgetTimer(conversationId: string): void {
    clearTimeout(this.#timers.get(conversationId));
    this.#timers.delete(conversationId);
  }
}
