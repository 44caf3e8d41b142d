/** Who is logged in: the access token in memory, the refresh token in storage, one rotation at a time. */

import { DoranError, refusal } from "./errors.ts";
import type { TokenAnswer } from "./frames.ts";
import { uuidv7 } from "./ids.ts";
import type { Storage, StoredSession } from "./storage.ts";
import type { Access, Tabs } from "./tabs.ts";

export interface SessionOptions {
  readonly baseUrl: string;
  readonly storage: Storage;
  readonly fetch: typeof fetch;
  readonly tabs: Tabs;
  readonly onEnded: (reason: string) => void;
  /** Another tab has logged in, maybe as somebody else: from now on that session is this tab's, too. */
  readonly onReplaced: (before: StoredSession | null) => void;
}

/** An access token is renewed this long before its end (or at half its life), so that none is rejected on the way. */
const MARGIN_MS = 60_000;
const ANSWER_MS = 2_500;

export class Session {
  readonly #options: SessionOptions;
  #stored: StoredSession | null = null;
  #access: Access | null = null;
  #renewing: Promise<Access> | null = null;
  /** Somebody wants to know who is logged in here. */
  #attending = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    options.tabs.on("access", ({ sessionId, access }) => {
      if (sessionId === this.sessionId) this.#access = access;
    });
    options.tabs.on("logged_in", (told) => void this.look(told));
    options.tabs.on("logged_out", ({ sessionId }) => {
      if (sessionId === this.sessionId) this.#end("logged_out_elsewhere");
    });
  }

  get userId(): string | null {
    return this.#stored?.userId ?? null;
  }

  get sessionId(): string | null {
    return this.#stored?.sessionId ?? null;
  }

  /** When the present access token should be renewed; 0 without one. */
  get staleAt(): number {
    return this.#access?.staleAt ?? 0;
  }

  /** Take up the session this browser has kept. False if there is none. */
  async restore(): Promise<boolean> {
    this.#attending = true;
    this.#stored = await this.#options.storage.readSession();
    return this.#stored !== null;
  }

  /** Take up the session of a log-in. One that this browser had until now is nobody's any more, and ends on the server. */
  async begin(answer: TokenAnswer): Promise<void> {
    const { storage, tabs } = this.#options;
    this.#attending = true;
    const before = await storage.exclusively("refresh", async () => {
      const current = await storage.readSession().catch(() => null);
      await this.#adopt(answer);
      return current;
    });
    tabs.tell("logged_in", { sessionId: answer.session_id, access: this.#access! });
    if (before && before.sessionId !== answer.session_id) void this.#revoke(before.refreshToken);
  }

  /** Compare with the browser's store, which is right: another tab may have logged in or out unheard. */
  async look(told?: { readonly sessionId: string; readonly access: Access }): Promise<void> {
    if (!this.#attending) return;
    const stored = await this.#options.storage.readSession().catch(() => this.#stored);
    if (stored?.sessionId === this.sessionId) return;
    if (stored) this.#replace(stored, told?.sessionId === stored.sessionId ? told.access : null);
    else if (this.#stored) this.#end("logged_out_elsewhere");
  }

  /** A token that is good for at least a minute. `rejected` names one the server has just refused. */
  async token(rejected?: string): Promise<string> {
    return (this.#fresh(rejected) ?? (await this.#renewOnce(rejected))).token;
  }

  /** End it here and on the server. Offline, the server's part is lost: the refresh token is gone from this device anyway. */
  async end(): Promise<void> {
    const stored = await this.#options.storage.exclusively("refresh", async () => {
      const current = await this.#options.storage.readSession();
      await this.#options.storage.writeSession(null);
      return current;
    });
    if (stored) this.#options.tabs.tell("logged_out", { sessionId: stored.sessionId });
    this.#clear();
    if (stored) await this.#revoke(stored.refreshToken);
  }

  #renewOnce(rejected?: string): Promise<Access> {
    this.#renewing ??= this.#renew(rejected).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  /** One rotation in all tabs: inside the lock the newest refresh token is read, used and replaced. */
  #renew(rejected?: string): Promise<Access> {
    return this.#options.storage.exclusively("refresh", async () => {
      const renewedMeanwhile = this.#fresh(rejected);
      if (renewedMeanwhile) return renewedMeanwhile;
      const stored = await this.#options.storage.readSession();
      if (!stored) throw this.#over("logged_out");
      if (stored.sessionId !== this.sessionId) throw this.#replace(stored, null);
      return this.#rotate(stored);
    });
  }

  #fresh(rejected?: string): Access | null {
    const access = this.#access;
    return access && access.token !== rejected && access.staleAt > Date.now() ? access : null;
  }

  /**
   * A rotation whose answer was lost must not look like a stolen token used twice: repeated under the same
   * `Idempotency-Key` it has the same answer. The key is kept before the request leaves, so that also a tab opened
   * after this one was closed repeats it.
   */
  async #rotate(stored: StoredSession): Promise<Access> {
    const renewalKey = stored.renewalKey ?? uuidv7();
    if (!stored.renewalKey) await this.#options.storage.writeSession({ ...stored, renewalKey });
    const response = await this.#postPatiently("tokens/refresh/", { refresh_token: stored.refreshToken }, renewalKey);
    if (response.ok) return this.#adopt((await response.json()) as TokenAnswer);
    const error = await refusal(response);
    if (!error.sessionOver && response.status !== 401) throw error;
    await this.#options.storage.writeSession(null);
    throw this.#over(error.code);
  }

  async #adopt(answer: TokenAnswer): Promise<Access> {
    this.#stored = { userId: answer.user_id, sessionId: answer.session_id, refreshToken: answer.refresh_token };
    await this.#options.storage.writeSession(this.#stored);
    this.#access = { token: answer.access_token, staleAt: Date.now() + usableFor(answer.expires_in * 1000) };
    this.#options.tabs.tell("access", { sessionId: answer.session_id, access: this.#access });
    return this.#access;
  }

  #over(reason: string): DoranError {
    this.#end(reason);
    return new DoranError("invalid_refresh_token", { status: 401, detail: reason });
  }

  #end(reason: string): void {
    this.#clear();
    this.#options.onEnded(reason);
  }

  /** Whoever waits for a token of the session that was gets none of the one that is. */
  #replace(stored: StoredSession, access: Access | null): DoranError {
    const before = this.#stored;
    this.#stored = stored;
    this.#access = access;
    this.#options.onReplaced(before);
    return new DoranError("invalid_refresh_token", { status: 401, detail: "replaced" });
  }

  #clear(): void {
    this.#stored = null;
    this.#access = null;
  }

  async #revoke(refreshToken: string): Promise<void> {
    try {
      await this.#postPatiently("tokens/revoke/", { refresh_token: refreshToken });
    } catch {
      // Without a network the session ends by age or from another device's list.
    }
  }

  async #postPatiently(path: string, body: object, key?: string): Promise<Response> {
    for (const pause of [500, 1_500]) {
      try {
        return await this.#post(path, body, key);
      } catch {
        await new Promise((wake) => setTimeout(wake, pause));
      }
    }
    return this.#post(path, body, key);
  }

  /** Goes out also when the page is closed at this moment. */
  async #post(path: string, body: object, key?: string): Promise<Response> {
    const { baseUrl, fetch } = this.#options;
    try {
      return await fetch(`${baseUrl}/api/core/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(key ? { "Idempotency-Key": key } : {}) },
        credentials: "omit",
        keepalive: true,
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_MS),
      });
    } catch {
      throw new DoranError("network");
    }
  }
}

function usableFor(lifetime: number): number {
  return Math.max(lifetime - MARGIN_MS, lifetime / 2);
}
