/** One message an answer rests on, or that was found: who said it, when, and the way to it. */

import { css, html, type TemplateResult } from "lit";
import type { Citation, Message } from "../../client/index.ts";
import { Piece } from "../lib/piece.ts";
import { snippet } from "../lib/text.ts";
import { common } from "../styles/common.ts";
import { brief, dayAndClock } from "../words/index.ts";

export class DoranSource extends Piece {
  static override properties = { citation: { attribute: false }, number: { type: Number }, found: { state: true } };

  declare citation: Citation;
  declare number: number;
  /** The message; null if it cannot be seen, undefined while it is asked for. */
  declare found: Message | null | undefined;

  constructor() {
    super();
    this.number = 0;
    this.found = undefined;
  }

  protected override attend(): void {
    this.follow("person", () => this.requestUpdate());
  }

  protected override willUpdate(changed: Map<string, unknown>): void {
    if (changed.has("citation")) void this.#read();
  }

  override render(): TemplateResult {
    const { found, words } = this;
    const { conversation_id, seq } = this.citation;
    if (found === null || found?.is_deleted) return html`<p class="source gone"><span class="number">${this.number}</span><span>${words.ai.sourceGone}</span></p>`;
    return html`
      <a class="source" href="#/c/${encodeURIComponent(conversation_id)}/${seq}">
        <span class="number" aria-hidden="true">${this.number}</span>
        <span class="said"><span class="who"><strong><bdi>${found ? this.#who(found) : "…"}</bdi></strong>${found ? html`<time datetime=${found.created_at} title=${dayAndClock(new Date(found.created_at))}>${brief(new Date(found.created_at))}</time>` : ""}</span>
        <span class="words"><bdi>${found ? snippet(found.content, 200) : words.loading}</bdi></span></span>
      </a>
    `;
  }

  /** Mine is told by whom it was written to. */
  #who(message: Message): string {
    const name = (id: string) => this.nameOf(this.client.people.get(id));
    if (message.sender_id !== this.client.userId) return name(message.sender_id);
    const thread = this.client.conversation(message.conversation_id);
    return thread ? `${this.words.you} → ${name(thread.peerId)}` : this.words.you;
  }

  async #read(): Promise<void> {
    const { conversation_id, message_id } = this.citation;
    const held = this.client.conversation(conversation_id)?.timeline.find(message_id);
    this.found = held;
    if (held) return;
    const read = await this.client.rest.message(message_id).catch(() => null);
    if (this.citation.message_id === message_id) this.found = read;
  }

  static override styles = [
    common,
    css`
      :host {
        display: block;
      }
      .source {
        display: flex;
        gap: 0.7rem;
        padding: 0.65rem 0.85rem;
        border-radius: 0.85rem;
        text-decoration: none;
        line-height: 1.45;
      }
      a.source:hover {
        background: var(--hover);
      }
      .number {
        flex: none;
        display: grid;
        place-items: center;
        min-width: 1.6rem;
        height: 1.6rem;
        padding: 0 0.3rem;
        border-radius: 0.55rem;
        background: var(--accent-soft);
        color: var(--accent-strong);
        font-size: 0.8125rem;
        font-weight: 700;
      }
      .said {
        flex: 1;
        min-width: 0;
        display: grid;
      }
      .who {
        display: flex;
        justify-content: space-between;
        gap: 0.5rem;
        font-size: 0.875rem;
      }
      time {
        flex: none;
        font-size: 0.75rem;
        color: var(--ink-faint);
      }
      .words {
        color: var(--ink-soft);
        font-size: 0.9375rem;
        overflow: hidden;
        display: -webkit-box;
        -webkit-box-orient: vertical;
        -webkit-line-clamp: 3;
        overflow-wrap: anywhere;
      }
      .gone {
        color: var(--ink-faint);
        font-size: 0.9375rem;
      }
    `,
  ];
}

customElements.define("doran-source", DoranSource);
