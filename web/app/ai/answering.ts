/** The assistant's answer while it is being written: the words so far, a way to stop it, and what to do if it failed. */

import { css, html, nothing, type PropertyValues, type TemplateResult } from "lit";
import { DoranError, hasEnded, type Job, type Message, type Thread } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { answer } from "../lib/prose.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { language, problemText } from "../words/index.ts";
import { whyNot } from "./asked.ts";
import { dots } from "./dots.ts";

/** The answer is on its way through the same door as any message; if it never arrives, its bubble does not stay. */
const ARRIVES_MS = 10_000;

export class DoranAnswering extends Piece {
  static override properties = { thread: { attribute: false }, name: {}, busy: { state: true } };

  declare thread: Thread;
  declare name: string;
  declare busy: boolean;
  #seenEnded = new Map<string, number>();

  constructor() {
    super();
    this.name = "";
    this.busy = false;
  }

  protected override attend(): void {
    this.follow("job", ({ job }) => job.conversation_id === this.thread.id && this.#heard(job));
    this.follow("offer", () => this.requestUpdate());
    this.follow("consent", ({ consent }) => consent.conversation_id === this.thread.id && this.requestUpdate());
    this.follow("conversation", ({ id }) => id === this.thread.id && this.requestUpdate());
  }

  override render(): TemplateResult {
    const job = this.#shown();
    return html`
      <p class="unseen" role="status">${job && !hasEnded(job) ? this.words.ai.answeringIn(this.name) : ""}</p>
      ${job ? this.#answer(job) : nothing}
    `;
  }

  #answer(job: Job): TemplateResult {
    const text = job.result?.text ?? job.partial;
    return html`${text || !hasEnded(job) ? this.#bubble(text) : nothing}${this.#below(job)}`;
  }

  /** Silent to screen readers while it grows: the whole answer is read out when it has become a message. */
  #bubble(text: string): TemplateResult {
    return html`
      <div class="line" aria-hidden="true">
        <span class="face"><doran-avatar .userId=${this.thread.peerId} .name=${this.name}></doran-avatar></span>
        <div class="bubble">${text ? answer(text) : dots}</div>
      </div>
    `;
  }

  #below(job: Job): TemplateResult | typeof nothing {
    const { ai } = this.words;
    if (!hasEnded(job)) return html`<p class="acts"><span class="hint" aria-hidden="true">${ai.answering}</span><button class="link" @click=${() => this.#stop(job)}>${ai.stop}</button></p>`;
    if (job.state === "succeeded") return nothing;
    const why = job.state === "cancelled" ? ai.stopped : whyNot(this.client, job.failure_code, job.conversation_id);
    return html`<p class="acts" role="alert"><span class="why small ${job.state}">${icons.alert}<span>${why}</span></span>${job.failure_code === "consent_needed" ? html`<button class="link" @click=${this.#decide}>${ai.use}</button>` : nothing}<button class="link" ?disabled=${this.busy} @click=${() => this.#again(job)}>${ai.again}</button></p>`;
  }

  /** The newest answer that is not yet, or will never be, a message. */
  #shown(): Job | undefined {
    const job = this.client.ai.newest(this.thread.id, "reply");
    if (!job || !hasEnded(job)) return job;
    if (isAnswered(job, this.thread.timeline.messages, this.thread.peerId)) return undefined;
    if (job.state === "succeeded") return Date.now() < (this.#seenEnded.get(job.id) ?? 0) + ARRIVES_MS ? job : undefined;
    return this.thread.waiting.length ? undefined : job;
  }

  #heard(job: Job): void {
    if (hasEnded(job) && !this.#seenEnded.has(job.id)) {
      this.#seenEnded.set(job.id, Date.now());
      setTimeout(() => this.requestUpdate(), ARRIVES_MS + 100);
    }
    this.requestUpdate();
  }

  /** Whoever shows the conversation can ask. */
  #decide(): void {
    this.dispatchEvent(new CustomEvent("consent-needed", { bubbles: true, composed: true }));
  }

  #stop(job: Job): Promise<void> {
    return this.#trying(() => this.client.ai.cancel(job.id));
  }

  #again(job: Job): Promise<void> {
    const about = job.message_id ? { message_id: job.message_id } : {};
    return this.#trying(async () => {
      await this.client.ai.ask({ kind: "reply", conversation_id: this.thread.id, ...about, options: { locale: language() } });
    });
  }

  async #trying(work: () => Promise<void>): Promise<void> {
    this.busy = true;
    try {
      await work();
    } catch (error) {
      this.notify(problemText(error instanceof DoranError ? error.code : "unknown"));
    } finally {
      this.busy = false;
    }
  }

  protected override updated(_: PropertyValues): void {
    this.toggleAttribute("shown", this.#shown() !== undefined);
  }

  static override styles = [
    common,
    aid,
    css`
      :host {
        display: block;
      }
      :host([shown]) {
        padding-block-start: 0.75rem;
      }
      .line {
        display: flex;
        align-items: flex-end;
        gap: 0.4rem;
      }
      .face {
        width: 2.25rem;
        flex: none;
        align-self: flex-start;
        margin-inline-end: 0.2rem;
        --size: 2.25rem;
      }
      .bubble {
        min-width: 0;
        max-width: min(34rem, 74%);
        padding: 0.55rem 0.9rem 0.6rem;
        border-radius: 0.35rem 1.15rem 1.15rem;
        background: var(--theirs);
        color: var(--theirs-ink);
        box-shadow: var(--shadow-bubble);
        white-space: pre-wrap;
        overflow-wrap: anywhere;
        word-break: keep-all;
      }
      .acts {
        padding-block-start: 0.3rem;
        padding-inline-start: 2.85rem;
      }
      .why {
        display: flex;
        align-items: flex-start;
        gap: 0.35rem;
        color: var(--ink-soft);
      }
      .why.failed {
        color: var(--danger);
      }
      .why .icon {
        margin-block-start: 0.2rem;
      }
      @media (max-width: 759px) {
        .bubble {
          max-width: min(76%, 100% - 8.5rem);
        }
      }
    `,
  ];
}

/** Something was said after the question: by the assistant, so it is answered, or by me, so it is out of date. */
export function isAnswered(job: Job, messages: readonly Message[], assistant: string): boolean {
  const question = messages.find(({ id }) => id === job.message_id);
  if (messages.some(({ sender_id, reply_to }) => sender_id === assistant && reply_to !== null && reply_to === job.message_id)) return true;
  const last = messages.at(-1);
  return question !== undefined && last !== undefined && last.seq > question.seq && (job.state !== "succeeded" || last.sender_id === assistant);
}

customElements.define("doran-answering", DoranAnswering);

declare global {
  interface HTMLElementTagNameMap {
    "doran-answering": DoranAnswering;
  }
}
