/** Who is logged in: the access token in memory, the refresh token in storage, one rotation at a time. */

import { DoranError, refusal } from "./errors.ts";
import type { TokenAnswer } from "./frames.ts";
import { uuidv7 } from "./ids.ts";
import type { Storage, StoredSession } from "./storage.ts";

interface Access {
  readonly token: string;
  /** From when on it is renewed before use, in this machine's `Date.now()`. */
  readonly staleAt: number;
}

/** What tabs of one browser tell each other; never leaves the origin. */
type Shared =
  | { readonly kind: "access"; readonly sessionId: string; readonly access: Access }
  | { readonly kind: "logged_out"; readonly sessionId: string };

export interface Channel {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

export interface SessionOptions {
  readonly baseUrl: string;
  readonly storage: Storage;
  readonly fetch: typeof fetch;
  /** Null where tabs cannot talk to each other. */
  readonly channel: Channel | null;
  readonly onEnded: (reason: string) => void;
}

/** An access token is renewed this long before its end (or at half its life), so that none is rejected on the way. */
const MARGIN_MS = 60_000;
/** Three of these and their pauses stay within the ten seconds of a retried rotation. */
const ANSWER_MS = 2_500;

export class Session {
  readonly #options: SessionOptions;
  #stored: StoredSession | null = null;
  #access: Access | null = null;
  #renewing: Promise<Access> | null = null;

  constructor(options: SessionOptions) {
    this.#options = options;
    if (options.channel) options.channel.onmessage = ({ data }) => this.#hear(data as Shared);
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
    this.#stored = await this.#options.storage.readSession();
    return this.#stored !== null;
  }

  async begin(answer: TokenAnswer): Promise<void> {
    await this.#adopt(answer);
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
    if (stored) this.#tell({ kind: "logged_out", sessionId: stored.sessionId });
    this.#clear();
    if (stored) await this.#revoke(stored.refreshToken);
  }

  close(): void {
    this.#options.channel?.close();
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
      if (!stored || stored.sessionId !== this.#stored?.sessionId) throw this.#over("logged_out");
      return this.#rotate(stored);
    });
  }

  #fresh(rejected?: string): Access | null {
    const access = this.#access;
    return access && access.token !== rejected && access.staleAt > Date.now() ? access : null;
  }

  async #rotate(stored: StoredSession): Promise<Access> {
    const response = await this.#postPatiently("tokens/refresh/", { refresh_token: stored.refreshToken });
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
    this.#tell({ kind: "access", sessionId: answer.session_id, access: this.#access });
    return this.#access;
  }

  #over(reason: string): DoranError {
    this.#clear();
    this.#options.onEnded(reason);
    return new DoranError("invalid_refresh_token", { status: 401, detail: reason });
  }

  #clear(): void {
    this.#stored = null;
    this.#access = null;
  }

  async #revoke(refreshToken: string): Promise<void> {
    try {
      await this.#post("tokens/revoke/", { refresh_token: refreshToken });
    } catch {
      // Without a network the session ends by age or from another device's list.
    }
  }

  /**
   * A rotation whose answer was lost must not look like a stolen token used twice: under the same `Idempotency-Key`
   * the server gives the same answer again for ten seconds.
   */
  async #postPatiently(path: string, body: object): Promise<Response> {
    const key = uuidv7();
    for (const pause of [500, 1_500]) {
      try {
        return await this.#post(path, body, key);
      } catch {
        await new Promise((wake) => setTimeout(wake, pause));
      }
    }
    return this.#post(path, body, key);
  }

  async #post(path: string, body: object, key?: string): Promise<Response> {
    const { baseUrl, fetch } = this.#options;
    try {
      return await fetch(`${baseUrl}/api/core/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(key ? { "Idempotency-Key": key } : {}) },
        credentials: "omit",
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_MS),
      });
    } catch {
      throw new DoranError("network");
    }
  }

  #tell(message: Shared): void {
    this.#options.channel?.postMessage(message);
  }

  #hear(message: Shared): void {
    if (message.sessionId !== this.#stored?.sessionId) return;
    if (message.kind === "access") {
      this.#access = message.access;
    } else {
      this.#clear();
      this.#options.onEnded("logged_out_elsewhere");
    }
  }
}

function usableFor(lifetime: number): number {
  return Math.max(lifetime - MARGIN_MS, lifetime / 2);
}
