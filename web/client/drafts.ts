/** What stands in the box of each conversation: kept in the browser at once, and on the server as soon as it takes it. */

import type { Draft, Storage, Writing } from "./storage.ts";
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

const NOTHING: Writing = { text: null, replyTo: null, edit: null };

export class Drafts {
  readonly #options: DraftsOptions;
  /** What only the browser has, by conversation. */
  readonly #drafts = new Map<string, Draft>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #saving = new Set<string>();
  readonly #unwritten = new Map<string, Draft>();
  #written = Promise.resolve();
  #userId: string | null = null;

  constructor(options: DraftsOptions) {
    this.#options = options;
    options.tabs.on("draft", ({ saved, ...draft }) => draft.userId === this.#userId && this.#hear(draft, saved));
  }

  /** What is being written and the server does not have. */
  of(conversationId: string): Writing {
    return this.#drafts.get(conversationId) ?? NOTHING;
  }

  /** Bring back what an earlier page has left. */
  async load(userId: string): Promise<void> {
    this.#userId = userId;
    const kept = await this.#options.storage.drafts(userId).catch(() => []);
    if (this.#userId !== userId) return;
    for (const draft of kept) {
      if (this.#drafts.has(draft.conversationId)) continue;
      this.#drafts.set(draft.conversationId, draft);
      this.#options.onChanged(draft.conversationId);
    }
  }

  /** At every key. */
  write(conversationId: string, change: Partial<Writing>): void {
    const before = this.of(conversationId);
    if (this.#userId === null || !this.#isNews(conversationId, before, change)) return;
    const base = this.#drafts.get(conversationId)?.base ?? this.#options.saved(conversationId) ?? "";
    this.#put({ ...before, ...change, userId: this.#userId, conversationId, base });
    if (change.text !== undefined) this.#saveLater(conversationId, REST_MS);
  }

  /** Whoever wrote has gone on to something else: the server is told now. */
  async save(conversationId: string): Promise<void> {
    const { text } = this.of(conversationId);
    if (text === null || this.#saving.has(conversationId)) return;
    this.#forgetTimer(conversationId);
    if (text === this.#options.saved(conversationId)) return this.#settle(conversationId, text);
    this.#saving.add(conversationId);
    const userId = this.#userId;
    try {
      await this.#options.save(conversationId, text);
      if (userId === this.#userId && this.of(conversationId).text === text) this.#settle(conversationId, text);
    } catch {
      // It stays in the browser. The next key and the next connection try again.
    } finally {
      this.#saving.delete(conversationId);
      const now = this.of(conversationId).text;
      if (now !== null && now !== text) this.#saveLater(conversationId, REST_MS);
    }
  }

  /** Back after a while without the server: what another device wrote meanwhile stands before what was written here. */
  reconcile(): Promise<void> {
    for (const draft of [...this.#drafts.values()]) this.#reconcileOne(draft);
    return this.saveAll();
  }

  #reconcileOne(draft: Draft): void {
    const saved = this.#options.saved(draft.conversationId);
    if (draft.text === null || saved === undefined || saved === draft.base) return;
    const isThere = !saved.trim() || draft.text.includes(saved);
    this.#put({ ...draft, text: isThere ? draft.text : `${saved.trimEnd()}\n${draft.text}`.trimEnd(), base: saved });
  }

  /** Save whatever can be saved. */
  async saveAll(): Promise<void> {
    await Promise.all([...this.#drafts.keys()].map((id) => this.save(id)));
  }

  /** Another person, or nobody: what is in the browser's store stays there. */
  clear(): void {
    this.#userId = null;
    this.#drafts.clear();
    for (const id of [...this.#timers.keys()]) this.#forgetTimer(id);
  }

  #isNews(conversationId: string, before: Writing, change: Partial<Writing>): boolean {
    const text = before.text ?? this.#options.saved(conversationId) ?? "";
    return (
      (change.text !== undefined && change.text !== text) ||
      (change.replyTo !== undefined && change.replyTo !== before.replyTo) ||
      (change.edit !== undefined && (change.edit?.messageId !== before.edit?.messageId || change.edit?.text !== before.edit?.text))
    );
  }

  #hear(draft: Draft, saved: string | null): void {
    const { conversationId } = draft;
    if (saved !== null) this.#options.onSaved(conversationId, saved);
    this.#hold(draft);
    if (draft.text === null) this.#forgetTimer(conversationId);
    else this.#saveLater(conversationId, ABANDONED_MS);
    this.#options.onChanged(conversationId);
  }

  #settle(conversationId: string, text: string): void {
    this.#put({ ...this.#drafts.get(conversationId)!, text: null, base: text }, text);
  }

  /** `saved`: the server has this text now. */
  #put(draft: Draft, saved: string | null = null): void {
    this.#hold(draft);
    this.#keep(draft);
    this.#options.tabs.tell("draft", { ...draft, saved });
    this.#options.onChanged(draft.conversationId);
  }

  #hold(draft: Draft): void {
    if (isNothing(draft)) this.#drafts.delete(draft.conversationId);
    else this.#drafts.set(draft.conversationId, draft);
  }

  /** One write at a time, of the newest. A full disk costs the safety net, not the text. */
  #keep(draft: Draft): void {
    const { conversationId } = draft;
    const isQueued = this.#unwritten.has(conversationId);
    this.#unwritten.set(conversationId, draft);
    if (!isQueued) this.#written = this.#written.then(() => this.#writeDown(conversationId)).catch(() => undefined);
  }

  async #writeDown(conversationId: string): Promise<void> {
    const draft = this.#unwritten.get(conversationId)!;
    this.#unwritten.delete(conversationId);
    const { storage } = this.#options;
    await (isNothing(draft) ? storage.forgetDraft(draft) : storage.keepDraft(draft));
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

function isNothing({ text, replyTo, edit }: Writing): boolean {
  return text === null && replyTo === null && edit === null;
}
