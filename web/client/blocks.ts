/** Whom I block: one list for every view, read again when it may have changed on another screen of mine. */

import type { BlockInfo } from "./frames.ts";
import type { Rest } from "./rest.ts";

export class Blocks {
  readonly #rest: Rest;
  readonly #onChanged: () => void;
  #list: readonly BlockInfo[] | null = null;

  constructor(rest: Rest, onChanged: () => void) {
    this.#rest = rest;
    this.#onChanged = onChanged;
  }

  /** Null while nobody knows. */
  get list(): readonly BlockInfo[] | null {
    return this.#list;
  }

  has(userId: string): boolean {
    return this.#list?.some(({ user_id }) => user_id === userId) ?? false;
  }

  async add(userId: string): Promise<void> {
    await this.#rest.block(userId);
    this.#learn([{ user_id: userId, created_at: new Date().toISOString() }, ...this.#without(userId)]);
  }

  async remove(userId: string): Promise<void> {
    await this.#rest.unblock(userId);
    this.#learn(this.#without(userId));
  }

  async read(): Promise<void> {
    this.#learn(await this.#rest.blocks());
  }

  clear(): void {
    this.#list = null;
  }

  #without(userId: string): readonly BlockInfo[] {
    return (this.#list ?? []).filter(({ user_id }) => user_id !== userId);
  }

  #learn(list: readonly BlockInfo[]): void {
    this.#list = list;
    this.#onChanged();
  }
}
