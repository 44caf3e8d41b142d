/** What the AI can do here, the jobs I asked of it, and what the two of us allow it. */

import { Answer, hasEnded } from "./answer.ts";
import { DoranError } from "./errors.ts";
import type { AiConsent, AiDelta, AiJob, AiOffer, AiOffered, Consent, ConsentScope, Disclosure, Job, JobKind, JobWish, Page } from "./frames.ts";
import { uuidv7 } from "./ids.ts";
import type { Rest } from "./rest.ts";

export interface AiOptions {
  readonly rest: Rest;
  /** Other things can be asked now. */
  readonly onOffer: () => void;
  /** A job has another state, or more text. */
  readonly onJob: (job: Job) => void;
  readonly onConsent: (consent: Consent) => void;
}

/** The assistant: a person of kind `bot`, the same in every deployment, also where it cannot answer now. */
export const ASSISTANT_ID = "00000000-0000-7000-8000-000000000001";

const NOTHING: AiOffer = { kinds: [], assistant: null, provider: null };
/** Pieces overtake each other for a moment; what is still missing then is read. */
const HOLE_MS = 200;
/** Frames are only hints: a job that is silent for so long is read, ever less often. */
const SILENT_MS = 4_000;
const SILENT_AT_MOST_MS = 15_000;
const OFFER_AGAIN_MS = 15_000;
/** A question whose answer was lost is asked again under the same key, after these pauses. */
const ASK_AGAIN_MS = [1_000, 3_000];
const ENDED_KEPT = 60;

export class Ai {
  readonly #options: AiOptions;
  readonly #answers = new Map<string, Answer>();
  readonly #patience = new Map<string, number>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #waiting = new Map<string, ((job: Job) => void)[]>();
  readonly #consents = new Map<string, Consent>();
  #offer = NOTHING;
  /** Grows with each word of what is offered: an answer that was overtaken says nothing. */
  #offers = 0;
  /** Grows with each person who leaves: an answer that was asked for before says nothing any more. */
  #age = 0;

  constructor(options: AiOptions) {
    this.#options = options;
  }

  // -- what can be asked

  get offer(): AiOffer {
    return this.#offer;
  }

  /** False until the server was asked once: nothing is offered then, and nothing is known to be missing. */
  get known(): boolean {
    return this.#offer !== NOTHING;
  }

  /** There is a service to ask what it keeps and what was allowed, whether or not it can do anything now. */
  get isThere(): boolean {
    return this.#offer.is_off !== undefined;
  }

  offers(kind: JobKind): boolean {
    return this.#offer.kinds.includes(kind);
  }

  /** The assistant, if one can talk to it now. */
  get assistant(): AiOffer["assistant"] {
    return this.offers("reply") ? this.#offer.assistant : null;
  }

  /** Look what is offered. Where nobody answers, nothing is, and one looks again later. */
  async look(): Promise<void> {
    const newest = ++this.#offers;
    let offer: AiOffer = { ...NOTHING };
    this.#forgetTimer("offer");
    try {
      offer = await this.#options.rest.aiOffer();
    } catch (error) {
      if (newest !== this.#offers) return;
      if (!(error instanceof DoranError) || error.status !== 404) this.#setTimer("offer", OFFER_AGAIN_MS, () => void this.look());
    }
    if (newest === this.#offers) this.#show(offer);
  }

  // -- jobs

  job(id: string): Job | undefined {
    return this.#answers.get(id)?.job;
  }

  /** My newest job of a kind in a conversation, ended or not. */
  newest(conversationId: string, kind: JobKind): Job | undefined {
    const jobs = [...this.#answers.values()].map(({ job }) => job);
    return jobs.filter((job) => job.conversation_id === conversationId && job.kind === kind).reduce<Job | undefined>((newest, job) => (newest && newest.id > job.id ? newest : job), undefined);
  }

  /** Ask for something. Asked once, however often the line breaks meanwhile. */
  async ask(wish: JobWish): Promise<Job> {
    const body = { ...wish, idempotency_key: uuidv7() };
    const age = this.#age;
    for (let again = 0; ; again++) {
      try {
        const job = await this.#options.rest.askAi(body);
        if (age === this.#age) this.#learn(job);
        return this.job(job.id) ?? job;
      } catch (error) {
        this.#notOffered(error);
        if (!lostOnTheWay(error) || again >= ASK_AGAIN_MS.length) throw error;
        await new Promise((wake) => setTimeout(wake, ASK_AGAIN_MS[again]));
      }
    }
  }

  /** The job once it has ended, however it did. */
  async ended(id: string): Promise<Job> {
    const job = this.job(id);
    if (job && hasEnded(job)) return job;
    return new Promise((resolve) => this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), resolve]));
  }

  /** Stop it. One that has just ended keeps its end. */
  async cancel(id: string): Promise<void> {
    try {
      this.#learn(await this.#options.rest.cancelJob(id));
    } catch (error) {
      if (!(error instanceof DoranError) || error.code !== "conflict") throw error;
      await this.#read(id);
    }
  }

  // -- consent

  /** What is known of it; `undefined` until `lookUpConsent` was answered. */
  consent(conversationId: string): Consent | undefined {
    return this.#consents.get(conversationId);
  }

  async lookUpConsent(conversationId: string): Promise<void> {
    const age = this.#age;
    const consent = await this.#options.rest.consent(conversationId);
    if (age === this.#age) this.#agree(consent);
  }

  /** What I allow here, from now on. */
  async allow(conversationId: string, scope: ConsentScope): Promise<void> {
    this.#agree(await this.#options.rest.changeConsent(conversationId, scope));
  }

  /** What of my words went where, newest first. */
  disclosures(before?: string): Promise<Page<Disclosure>> {
    return this.#options.rest.disclosures(before);
  }

  // -- told by the client

  /** Connected and in step: what may have changed meanwhile is read again. */
  async begin(): Promise<void> {
    await this.look();
    for (const { job } of this.#answers.values()) if (!hasEnded(job)) void this.#read(job.id);
    if (this.#offer.kinds.length) await this.#readNewest();
  }

  hear(frame: AiDelta | AiJob | AiConsent | AiOffered): void {
    if (frame.type === "ai.delta") this.#hearDelta(frame);
    else if (frame.type === "ai.job") this.#learn(frame.job);
    else if (frame.type === "ai.consent") this.#agree(frame.consent);
    else this.#hearOffer(frame.offer);
  }

  /** Somebody else may sit here next. */
  forget(): void {
    this.#age++;
    this.#offers++;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const kept of [this.#timers, this.#answers, this.#patience, this.#waiting, this.#consents]) kept.clear();
    this.#offer = NOTHING;
  }

  // -- inside

  /** Jobs of another tab, and answers of the assistant that began while nobody listened. */
  async #readNewest(): Promise<void> {
    const age = this.#age;
    const page = await this.#options.rest.jobs().catch(() => ({ results: [] }));
    if (age !== this.#age) return;
    for (const job of page.results) if (!hasEnded(job) || job.kind === "reply") this.#learn(job);
  }

  #hearOffer(offer: AiOffer): void {
    this.#offers++;
    this.#forgetTimer("offer");
    this.#show(offer);
  }

  #show(offer: AiOffer): void {
    this.#offer = offer;
    this.#options.onOffer();
  }

  #hearDelta(delta: AiDelta): void {
    const known = this.#answers.get(delta.job_id);
    const answer = known ?? Answer.heard(delta);
    if (!known) this.#answers.set(delta.job_id, answer);
    answer.hear(delta);
    this.#heard(answer, answer.hole ? HOLE_MS : SILENT_MS);
  }

  #learn(job: Job, patience = SILENT_MS): void {
    const answer = this.#answers.get(job.id) ?? new Answer(job);
    this.#answers.set(job.id, answer);
    answer.learn(job);
    this.#heard(answer, patience);
  }

  #heard(answer: Answer, patience: number): void {
    const { job } = answer;
    if (answer.ended) this.#settle(job);
    else this.#readAfter(job.id, patience);
    this.#options.onJob(job);
  }

  #readAfter(id: string, patience: number): void {
    this.#patience.set(id, patience);
    this.#setTimer(id, patience, () => void this.#read(id));
  }

  async #read(id: string): Promise<void> {
    const age = this.#age;
    const later = Math.min(2 * (this.#patience.get(id) ?? SILENT_MS), SILENT_AT_MOST_MS);
    try {
      const job = await this.#options.rest.job(id);
      if (age === this.#age) this.#learn(job, later);
    } catch (error) {
      if (age === this.#age) this.#notRead(id, error, later);
    }
  }

  /** Gone is an end like another; anything else is tried again. */
  #notRead(id: string, error: unknown, later: number): void {
    const answer = this.#answers.get(id);
    if (!answer || answer.ended) return;
    if (error instanceof DoranError && error.status === 404) this.#learn({ ...answer.job, state: "failed", failure_code: "not_found" });
    else this.#readAfter(id, later);
  }

  #settle(job: Job): void {
    this.#patience.delete(job.id);
    this.#forgetTimer(job.id);
    for (const resolve of this.#waiting.get(job.id) ?? []) resolve(job);
    this.#waiting.delete(job.id);
    const ended = [...this.#answers].filter(([, answer]) => answer.ended);
    for (const [id] of ended.slice(0, Math.max(0, ended.length - ENDED_KEPT))) this.#answers.delete(id);
  }

  #agree(consent: Consent): void {
    this.#consents.set(consent.conversation_id, consent);
    this.#options.onConsent(consent);
  }

  /** The operator has switched something off since we looked. */
  #notOffered(error: unknown): void {
    if (error instanceof DoranError && (error.code === "ai_off" || error.code === "no_provider")) void this.look();
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

function lostOnTheWay(error: unknown): boolean {
  return error instanceof DoranError && (error.code === "network" || error.code === "timeout");
}
