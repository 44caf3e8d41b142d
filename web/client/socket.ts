/** One socket to `/ws/`, kept alive: authenticates, beats, renews its token, and comes back when that can help. */

import { type Backoff, fullJitter } from "./backoff.ts";
import { Emitter } from "./emitter.ts";
import { closeKind, DoranError, type Return } from "./errors.ts";
import type { ClientFrame, Ready, Refusal, ServerFrame } from "./frames.ts";

/** `offline`: waiting for the next attempt. `stopped`: will not come back by itself. */
export type Connection = "stopped" | "connecting" | "online" | "offline";

export interface Status {
  readonly connection: Connection;
  /** Why the last socket ended: a name from the close table, `lost`, or empty. */
  readonly reason: string;
  /** When the next attempt starts (`Date.now()`), or null. */
  readonly retryAt: number | null;
}

/** What the platform's WebSocket offers and we use. */
export interface WebSocketLike {
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

export interface SocketOptions {
  readonly url: string;
  readonly token: (rejected?: string) => Promise<string>;
  /** When the token last given should be renewed, in `Date.now()`. */
  readonly tokenStaleAt: () => number;
  readonly open: (url: string) => WebSocketLike;
  readonly random?: () => number;
}

interface SocketEvents {
  status: Status;
  ready: Ready;
  frame: ServerFrame;
}

interface Question {
  readonly resolve: (answer: ServerFrame) => void;
  readonly reject: (error: DoranError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

const READY_MS = 10_000;
const ANSWER_MS = 15_000;
const PONG_MS = 10_000;
const SOON_MS = 3_000;
const TOO_FAST_MS = 5_000;
const OPEN = 1;
/** Our own reason for leaving a socket that no longer answers; any code outside the table means "come back". */
const DEAF = 4000;

export class Socket extends Emitter<SocketEvents> {
  readonly #options: SocketOptions;
  readonly #backoff: Backoff;
  readonly #random: () => number;
  readonly #questions = new Map<string, Question>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  #socket: WebSocketLike | null = null;
  #status: Status = { connection: "stopped", reason: "", retryAt: null };
  #token = "";
  #rejected: string | undefined;
  #refs = 0;
  #attempt = 0;
  #heartbeat = 25_000;
  #askedToWait = 0;

  constructor(options: SocketOptions) {
    super();
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#backoff = fullJitter({ random: this.#random });
  }

  get status(): Status {
    return this.#status;
  }

  get online(): boolean {
    return this.#status.connection === "online";
  }

  /** Connect now, whatever was planned. */
  start(): void {
    if (this.#socket || this.#status.connection === "connecting") return;
    void this.#connect();
  }

  /** Leave and stay away. */
  stop(reason = ""): void {
    this.#attempt++;
    this.#drop(1000);
    this.#become("stopped", reason);
  }

  /** The machine woke up or the network came back: find out at once instead of at the next beat. */
  check(): void {
    if (this.#status.connection === "offline") this.start();
    else if (this.online) this.#beat();
  }

  /** Send and forget. False if there is no open socket: nothing is queued here. */
  say(frame: ClientFrame): boolean {
    return this.online && this.#write(frame);
  }

  /** Send and wait for the answer with the same `ref`. */
  ask<Answer extends ServerFrame>(frame: ClientFrame, patience = ANSWER_MS): Promise<Answer> {
    const ref = `r${++this.#refs}`;
    return new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(ref, (question) => question.reject(new DoranError("timeout"))), patience);
      this.#questions.set(ref, { resolve: resolve as (answer: ServerFrame) => void, reject, timer });
      if (!this.online || !this.#write({ ...frame, ref })) {
        this.#settle(ref, (question) => question.reject(new DoranError("disconnected")));
      }
    });
  }

  // -- one attempt

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#forgetTimer("retry");
    this.#become("connecting", this.#status.reason);
    try {
      this.#token = await this.#options.token(this.#rejected);
      this.#rejected = undefined;
    } catch (error) {
      if (attempt === this.#attempt) this.#withoutToken(error);
      return;
    }
    if (attempt === this.#attempt) this.#open();
  }

  #withoutToken(error: unknown): void {
    const reason = error instanceof DoranError ? error.code : "network";
    if (error instanceof DoranError && error.sessionOver) this.#become("stopped", reason);
    else this.#comeBack("later", reason, error instanceof DoranError ? (error.retryAfterMs ?? 0) : 0);
  }

  #open(): void {
    const socket = this.#options.open(this.#options.url);
    this.#socket = socket;
    this.#setTimer("ready", READY_MS, () => this.#leave(DEAF));
    socket.onopen = () => this.#write({ type: "auth", token: this.#token });
    socket.onmessage = ({ data }) => this.#hear(socket, data);
    socket.onclose = ({ code }) => this.#closed(socket, code);
    socket.onerror = () => undefined;
  }

  #hear(socket: WebSocketLike, data: unknown): void {
    if (socket !== this.#socket || typeof data !== "string") return;
    this.#forgetTimer("pong");
    const frame = parse(data);
    if (frame) this.#handle(frame);
  }

  #handle(frame: ServerFrame): void {
    if (frame.type === "ready") return this.#ready(frame);
    if (frame.type === "error") this.#refused(frame);
    const ref = "ref" in frame ? frame.ref : undefined;
    if (typeof ref === "string") this.#answer(ref, frame);
    this.emit("frame", frame);
  }

  /** The first `ready` opens the session, a later one answers a renewed token. */
  #ready(frame: Ready): void {
    this.#forgetTimer("ready");
    this.#heartbeat = frame.heartbeat * 1000;
    this.#planRenewal();
    if (this.online) return;
    this.#become("online", "");
    this.#setTimer("settled", SOON_MS, () => this.#backoff.reset());
    this.#planBeat(this.#heartbeat * this.#random());
    this.emit("ready", frame);
  }

  #refused(frame: Refusal): void {
    if (frame.retry_after_ms) this.#askedToWait = Date.now() + frame.retry_after_ms;
  }

  #answer(ref: string, frame: ServerFrame): void {
    this.#settle(ref, (question) => {
      if (frame.type === "error") question.reject(errorOf(frame));
      else question.resolve(frame);
    });
  }

  #settle(ref: string, how: (question: Question) => void): void {
    const question = this.#questions.get(ref);
    if (!question) return;
    this.#questions.delete(ref);
    clearTimeout(question.timer);
    how(question);
  }

  // -- staying alive

  #planBeat(after: number): void {
    this.#setTimer("beat", after, () => this.#beat());
  }

  /** Silence after a ping means that the line is dead even if the socket does not know it. */
  #beat(): void {
    this.#write({ type: "ping" });
    this.#setTimer("pong", PONG_MS, () => this.#leave(DEAF));
    this.#planBeat(this.#heartbeat);
  }

  #planRenewal(): void {
    const after = Math.max(this.#options.tokenStaleAt() - Date.now(), 1_000);
    this.#setTimer("renew", after, () => void this.#renew());
  }

  /** Without a network the old token simply runs out; the server then closes 4401 and we come back with a new one. */
  async #renew(): Promise<void> {
    const socket = this.#socket;
    try {
      const token = await this.#options.token(this.#token);
      if (socket !== this.#socket || !this.online) return;
      this.#token = token;
      this.#write({ type: "auth", token });
      this.#planRenewal();
    } catch {
      this.#setTimer("renew", 10_000, () => void this.#renew());
    }
  }

  // -- the end of a socket, and after

  #leave(code: number): void {
    const socket = this.#socket;
    if (!socket) return;
    this.#drop(code);
    this.#comeBack("soon", "lost", 0);
  }

  #closed(socket: WebSocketLike, code: number): void {
    if (socket !== this.#socket) return;
    this.#drop(code);
    const kind = closeKind(code);
    if (kind.next === "renew") this.#rejected = this.#token;
    this.#comeBack(kind.next, kind.name, code === 4429 ? TOO_FAST_MS : 0);
  }

  /** Forget the socket: its timers, its listeners, and everyone who waits for an answer on it. */
  #drop(code: number): void {
    const socket = this.#socket;
    this.#socket = null;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    if (socket) silence(socket, code);
    for (const ref of [...this.#questions.keys()]) {
      this.#settle(ref, (question) => question.reject(new DoranError("disconnected")));
    }
  }

  #comeBack(how: Return, reason: string, atLeast: number): void {
    if (how === "stop") return this.#become("stopped", reason);
    const asked = Math.max(atLeast, this.#askedToWait - Date.now(), 0);
    const wait = this.#backoff.next(asked) + (how === "soon" ? Math.round(this.#random() * SOON_MS) : 0);
    this.#setTimer("retry", wait, () => void this.#connect());
    this.#become("offline", reason, Date.now() + wait);
  }

  #write(frame: ClientFrame & { ref?: string }): boolean {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #become(connection: Connection, reason: string, retryAt: number | null = null): void {
    this.#status = { connection, reason, retryAt };
    this.emit("status", this.#status);
  }

  #setTimer(name: string, after: number, then: () => void): void {
    this.#forgetTimer(name);
    this.#timers.set(name, setTimeout(then, after));
  }

  #forgetTimer(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

function parse(data: string): ServerFrame | null {
  try {
    const frame: unknown = JSON.parse(data);
    return typeof frame === "object" && frame !== null && "type" in frame ? (frame as ServerFrame) : null;
  } catch {
    return null;
  }
}

function errorOf(frame: Refusal): DoranError {
  return new DoranError(frame.code, { detail: frame.detail, retryAfterMs: frame.retry_after_ms ?? null });
}

function silence(socket: WebSocketLike, code: number): void {
  socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
  if (socket.readyState > OPEN) return;
  socket.close(code === 1000 || code >= 4000 ? code : 1000);
}
