/** One thing an element asks of the AI: asked, working, stopped, answered or failed; the element is drawn anew with it. */

import type { ReactiveController } from "lit";
import { DoranError, hasEnded, type Job, type JobResult, type JobWish } from "../../client/index.ts";
import type { Piece } from "../lib/piece.ts";
import { failureText, language } from "../words/index.ts";

export class Asked implements ReactiveController {
  readonly #host: Piece;
  readonly #then: (job: Job) => void;
  #wish: JobWish | null = null;
  #job: Job | null = null;
  #asking = false;
  #refusal = "";
  /** Grows with each question: what an earlier one brings is nobody's any more. */
  #turn = 0;
  #leave: (() => void) | undefined;

  /** `then` hears of the job once, when it has succeeded. */
  constructor(host: Piece, then: (job: Job) => void = () => undefined) {
    this.#host = host;
    this.#then = then;
    host.addController(this);
  }

  hostConnected(): void {
    this.#leave = this.#host.client.on("job", ({ job }) => job.id === this.#job?.id && this.#heard(job));
    const missed = this.#job && this.#host.client.ai.job(this.#job.id);
    if (missed) this.#heard(missed);
  }

  hostDisconnected(): void {
    this.#leave?.();
  }

  get working(): boolean {
    return this.#asking || (this.#job !== null && !hasEnded(this.#job));
  }

  get done(): boolean {
    return this.#job?.state === "succeeded";
  }

  /** Why there is no answer, as a code; empty if that is not so. */
  get failure(): string {
    return this.#refusal || (this.#job?.state === "failed" ? this.#job.failure_code : "");
  }

  /** The same in words. */
  get failureText(): string {
    return this.failure && failureText(this.failure);
  }

  get result(): JobResult | null {
    return this.#job?.result ?? null;
  }

  /** The answer so far. */
  get text(): string {
    return this.#job?.result?.text ?? this.#job?.partial ?? "";
  }

  async ask(wish: JobWish): Promise<void> {
    this.reset();
    const turn = this.#turn;
    this.#wish = wish;
    this.#asking = true;
    try {
      const job = await this.#host.client.ai.ask({ ...wish, options: { locale: language(), ...wish.options } });
      if (turn === this.#turn) this.#accepted(job);
      else if (!hasEnded(job)) await this.#host.client.ai.cancel(job.id);
    } catch (error) {
      if (turn === this.#turn) this.#refused(error instanceof DoranError ? error.code : "unknown");
    }
  }

  /** The same question once more. */
  again(): void {
    if (this.#wish) void this.ask(this.#wish);
  }

  /** Ask no further; a job that runs is stopped at its provider. */
  reset(): void {
    const job = this.#job;
    this.#turn++;
    this.#job = null;
    this.#asking = false;
    this.#refusal = "";
    if (job && !hasEnded(job)) void this.#host.client.ai.cancel(job.id).catch(() => undefined);
    this.#host.requestUpdate();
  }

  #accepted(job: Job): void {
    this.#asking = false;
    this.#job = { ...job, state: hasEnded(job) ? "running" : job.state };
    this.#heard(job);
  }

  #refused(code: string): void {
    this.#asking = false;
    this.#refusal = code;
    this.#mayNeedConsent();
    this.#host.requestUpdate();
  }

  #heard(job: Job): void {
    const before = this.#job;
    this.#job = job;
    this.#host.requestUpdate();
    if (!before || hasEnded(before)) return;
    if (job.state === "succeeded") this.#then(job);
    this.#mayNeedConsent();
  }

  /** Whoever shows the conversation can ask for it. */
  #mayNeedConsent(): void {
    if (this.failure === "consent_needed") this.#host.dispatchEvent(new CustomEvent("consent-needed", { bubbles: true, composed: true }));
  }
}
