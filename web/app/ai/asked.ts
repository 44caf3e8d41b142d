/** One thing an element asks of the AI: asked, working, stopped, answered or failed; the element is drawn anew with it. */

import type { ReactiveController } from "lit";
import { type DoranClient, DoranError, hasEnded, type Job, type JobResult, type JobWish } from "../../client/index.ts";
import type { Piece } from "../lib/piece.ts";
import { failureText, language, words } from "../words/index.ts";

/** Why something failed, in words; of a consent that was missing, how it stands now. */
export function whyNot(client: DoranClient, code: string, conversationId: string | null | undefined): string {
  const consent = code === "consent_needed" && conversationId ? client.ai.consent(conversationId) : undefined;
  if (!consent) return failureText(code);
  const { ai } = words();
  if (consent.agreed !== "off") return ai.agreedByBoth;
  if (consent.mine !== "off") return ai.agreedByMe;
  const isWithPerson = client.conversation(consent.conversation_id)?.peerId !== client.ai.assistant?.user_id;
  return consent.theirs !== "off" && isWithPerson ? ai.agreedByThem : failureText(code);
}

export class Asked implements ReactiveController {
  readonly #host: Piece;
  readonly #then: (job: Job) => void;
  #wish: JobWish | null = null;
  #job: Job | null = null;
  #asking = false;
  #refusal = "";
  /** Grows with each question: what an earlier one brings is nobody's any more. */
  #turn = 0;
  #leave: (() => void)[] = [];

  /** `then` hears of the job once, when it has succeeded. */
  constructor(host: Piece, then: (job: Job) => void = () => undefined) {
    this.#host = host;
    this.#then = then;
    host.addController(this);
  }

  hostConnected(): void {
    const { client } = this.#host;
    this.#leave = [client.on("job", ({ job }) => job.id === this.#job?.id && this.#heard(job)), client.on("consent", () => this.failure && this.#host.requestUpdate())];
    const missed = this.#job && this.#host.client.ai.job(this.#job.id);
    if (missed) this.#heard(missed);
  }

  hostDisconnected(): void {
    for (const leave of this.#leave.splice(0)) leave();
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
    return this.failure && whyNot(this.#host.client, this.failure, this.#wish?.conversation_id);
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
