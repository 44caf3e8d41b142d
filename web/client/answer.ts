/** One job's answer as it grows: deltas in order, each once, of the newest attempt; the job itself has the last word. */

import type { AiDelta, Job } from "./frames.ts";

export class Answer {
  #job: Job;
  /** Deltas that overtook others. */
  readonly #ahead = new Map<number, string>();

  constructor(job: Job) {
    this.#job = job;
  }

  /** A job that is first heard of by a piece of its answer. */
  static heard({ job_id, kind, conversation_id, attempt }: AiDelta): Answer {
    const now = new Date().toISOString();
    const nothing = { message_id: null, partial: "", partial_seq: 0, result: null, failure_code: "" };
    return new Answer({ id: job_id, kind, state: "running", conversation_id, attempt, created_at: now, updated_at: now, ...nothing });
  }

  get job(): Job {
    return this.#job;
  }

  get ended(): boolean {
    return hasEnded(this.#job);
  }

  /** Something is missing between the text and what was heard: read the job. */
  get hole(): boolean {
    return this.#ahead.size > 0;
  }

  hear({ attempt, seq, text }: AiDelta): void {
    if (this.ended || attempt < this.#job.attempt) return;
    if (attempt > this.#job.attempt) this.#beginAnew(attempt);
    if (seq > this.#job.partial_seq) this.#ahead.set(seq, text);
    this.#append();
  }

  /** The server's word on the job. A read that was overtaken takes back neither text nor end. */
  learn(job: Job): void {
    if (this.ended && !hasEnded(job)) return;
    if (job.attempt > this.#job.attempt) this.#ahead.clear();
    this.#job = hasEnded(job) || isFurther(job, this.#job) ? job : { ...job, ...textOf(this.#job) };
    if (this.ended) this.#ahead.clear();
    this.#append();
  }

  #beginAnew(attempt: number): void {
    this.#ahead.clear();
    this.#job = { ...this.#job, state: "running", attempt, partial: "", partial_seq: 0 };
  }

  #append(): void {
    for (const seq of this.#ahead.keys()) if (seq <= this.#job.partial_seq) this.#ahead.delete(seq);
    for (let next = this.#job.partial_seq + 1; this.#ahead.has(next); next++) {
      this.#job = { ...this.#job, partial: this.#job.partial + this.#ahead.get(next)!, partial_seq: next };
      this.#ahead.delete(next);
    }
  }
}

export function hasEnded({ state }: Job): boolean {
  return state === "succeeded" || state === "failed" || state === "cancelled";
}

function isFurther(job: Job, held: Job): boolean {
  return job.attempt > held.attempt || (job.attempt === held.attempt && job.partial_seq >= held.partial_seq);
}

function textOf({ attempt, partial, partial_seq }: Job): Pick<Job, "attempt" | "partial" | "partial_seq"> {
  return { attempt, partial, partial_seq };
}
