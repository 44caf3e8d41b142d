/** Every way Doran says no, and what a client does next. */

import type { Problem } from "./frames.ts";

/** What to do after a socket closed: `soon` = with jitter, `later` = back off, `stop` = do not return. */
export type Return = "soon" | "later" | "renew" | "stop";

interface CloseKind {
  readonly name: string;
  readonly next: Return;
}

/** The close codes of the contract. A code not listed (a cut line is 1006) means: come back, backing off. */
export const CLOSES: Readonly<Record<number, CloseKind>> = {
  1000: { name: "normal", next: "stop" },
  1008: { name: "too_many_hidden_frames", next: "stop" },
  1009: { name: "frame_too_long", next: "stop" },
  1011: { name: "internal_error", next: "later" },
  1012: { name: "restarting", next: "soon" },
  1013: { name: "unavailable", next: "later" },
  4400: { name: "bad_frames", next: "stop" },
  4401: { name: "not_authenticated", next: "renew" },
  4404: { name: "not_found", next: "stop" },
  4408: { name: "too_slow", next: "soon" },
  4409: { name: "replaced", next: "stop" },
  4429: { name: "too_fast", next: "later" },
};

export function closeKind(code: number): CloseKind {
  return CLOSES[code] ?? { name: "lost", next: "later" };
}

/** Refusals that time may heal: the same request may be sent again, with the same id. */
const PASSING = new Set([
  "too_many_requests",
  "internal_error",
  "unavailable",
  "storage_full",
  "request_timeout",
  "not_authenticated",
  "network",
  "timeout",
  "disconnected",
]);

/** Refusals after which only a new log-in helps. */
const SESSION_OVER = new Set(["invalid_refresh_token", "refresh_token_reused"]);

/** A refusal by the server, or (`network`, `timeout`, `disconnected`) no answer at all. */
export class DoranError extends Error {
  readonly code: string;
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  /** Milliseconds the server asks to wait, or null. */
  readonly retryAfterMs: number | null;

  constructor(code: string, options: { status?: number; detail?: string; fields?: Record<string, string>; retryAfterMs?: number | null } = {}) {
    super(options.detail ?? code);
    this.name = "DoranError";
    this.code = code;
    this.status = options.status ?? 0;
    this.fields = options.fields ?? {};
    this.retryAfterMs = options.retryAfterMs ?? null;
  }

  get passing(): boolean {
    return PASSING.has(this.code);
  }

  get sessionOver(): boolean {
    return SESSION_OVER.has(this.code);
  }
}

/** The error of a REST answer; a body that is no problem document still gives a usable one. */
export async function refusal(response: Response): Promise<DoranError> {
  const problem = await problemIn(response);
  return new DoranError(problem.code, {
    status: response.status,
    detail: problem.detail ?? problem.title ?? problem.code,
    fields: Object.fromEntries((problem.errors ?? []).map(({ field, detail }) => [field, detail])),
    retryAfterMs: retryAfter(response.headers.get("retry-after")),
  });
}

async function problemIn(response: Response): Promise<Problem> {
  try {
    const body: unknown = await response.json();
    if (isProblem(body)) return body;
  } catch {
    // A proxy's HTML page or nothing at all: the status has to speak.
  }
  return { code: codeOfStatus(response.status) };
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && typeof (body as Problem).code === "string";
}

function codeOfStatus(status: number): string {
  if (status === 401) return "not_authenticated";
  if (status === 404) return "not_found";
  if (status === 429) return "too_many_requests";
  return status >= 500 ? "unavailable" : "bad_request";
}

/** `Retry-After` as milliseconds; seconds and HTTP dates are both allowed by RFC 9110. */
export function retryAfter(header: string | null, now = Date.now()): number | null {
  if (!header) return null;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
