/** Names and faces of others, asked for once and few at a time. */

import { DoranError } from "./errors.ts";
import type { PublicProfile, User } from "./frames.ts";

const AT_ONCE = 4;

export class People {
  readonly #ask: (id: string) => Promise<User>;
  readonly #onLearned: (id: string) => void;
  readonly #known = new Map<string, User | null>();
  readonly #wanted = new Set<string>();
  readonly #asked = new Set<string>();
  /** What is known of them is of this connection. */
  readonly #fresh = new Set<string>();
  /** Changed while being asked for: the answer may be of before. */
  readonly #overtaken = new Set<string>();

  constructor(ask: (id: string) => Promise<User>, onLearned: (id: string) => void) {
    this.#ask = ask;
    this.#onLearned = onLearned;
  }

  /** The person if known; null if there is none (any more); undefined while being asked for. */
  get(id: string): User | null | undefined {
    if (!this.#known.has(id)) this.#want(id);
    return this.#known.get(id);
  }

  learn(user: User): void {
    this.#known.set(user.id, user);
    this.#onLearned(user.id);
  }

  /** The server says how somebody shows themselves from now on. */
  hear(id: string, profile: PublicProfile | null): void {
    if (this.#asked.has(id)) this.#overtaken.add(id);
    if (!profile) return this.learn(erased(id));
    const user = this.#known.get(id);
    if (user) this.learn({ ...user, profile: { ...user.profile, ...profile } });
    else if (this.#known.has(id)) this.#want(id);
  }

  /** Ask again: a name or a status may have changed. */
  refresh(id: string): void {
    this.#want(id);
  }

  /** The line was cut: changes may have gone unheard. */
  doubt(): void {
    this.#fresh.clear();
  }

  /** Ask again, unless nothing can have gone unheard. */
  reassure(id: string): void {
    if (!this.#fresh.has(id)) this.#want(id);
  }

  clear(): void {
    this.doubt();
    this.#known.clear();
    this.#wanted.clear();
    this.#overtaken.clear();
  }

  #want(id: string): void {
    if (this.#asked.has(id)) return;
    this.#wanted.add(id);
    this.#work();
  }

  #work(): void {
    for (const id of this.#wanted) {
      if (this.#asked.size >= AT_ONCE) return;
      this.#wanted.delete(id);
      this.#asked.add(id);
      void this.#learnOne(id);
    }
  }

  async #learnOne(id: string): Promise<void> {
    try {
      this.#fresh.add(id);
      this.#known.set(id, await this.#ask(id));
      this.#onLearned(id);
    } catch (error) {
      await this.#notLearned(id, error);
    } finally {
      this.#asked.delete(id);
      if (this.#overtaken.delete(id)) this.#wanted.add(id);
      this.#work();
    }
  }

  /** Gone is an answer; anything else is tried again later by whoever still wants to know. */
  async #notLearned(id: string, error: unknown): Promise<void> {
    if (error instanceof DoranError && error.status === 404) {
      this.#known.set(id, error.code === "user_erased" ? erased(id) : null);
      this.#onLearned(id);
      return;
    }
    const wait = error instanceof DoranError ? (error.retryAfterMs ?? 2_000) : 2_000;
    await new Promise((wake) => setTimeout(wake, wait));
    if (!(error instanceof DoranError && error.status === 401)) this.#wanted.add(id);
  }
}

/** Whose account was deleted: nothing is left of them but the id, which is never anybody else's. */
function erased(id: string): User {
  return { id, username: "", kind: "erased", profile: { display_name: "", avatar_url: null, status_message: "" } };
}
