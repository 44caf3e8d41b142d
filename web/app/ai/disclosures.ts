/** What of my words went to an AI: when, where, how much. */

import { css, html, nothing, type TemplateResult } from "lit";
import { type Disclosure, DoranError } from "../../client/index.ts";
import { Piece } from "../lib/piece.ts";
import { common } from "../styles/common.ts";
import { dayAndClock, problemText } from "../words/index.ts";

export class DoranDisclosures extends Piece {
  static override properties = { quiet: { type: Boolean }, rows: { state: true }, next: { state: true }, problem: { state: true }, busy: { state: true } };

  /** Nobody can answer here now: then nothing is said unless something went somewhere before. */
  declare quiet: boolean;
  declare rows: readonly Disclosure[] | null;
  declare next: string | null;
  declare problem: string;
  declare busy: boolean;

  constructor() {
    super();
    this.rows = this.next = null;
    this.problem = "";
    this.busy = this.quiet = false;
  }

  protected override attend(): void {
    this.follow("person", () => this.requestUpdate());
    this.follow("synced", () => this.rows || void this.#read());
    void this.#read();
  }

  override render(): TemplateResult | typeof nothing {
    const { words, rows } = this;
    if (this.quiet && !rows?.length) return nothing;
    return html`
      <section aria-labelledby="disclosures">
      <h2 id="disclosures">${words.ai.disclosures}</h2>
      <p class="hint">${words.ai.disclosuresHint}</p>
      ${rows?.length ? html`<ul aria-labelledby="disclosures">${rows.map((row) => this.#row(row))}</ul>` : nothing}
      ${rows?.length === 0 ? html`<p>${words.ai.noDisclosures}</p>` : nothing}
      ${this.problem ? html`<p class="wrong" role="alert">${this.problem} <button class="link" @click=${this.#read}>${words.again}</button></p>` : nothing}
      <div class="acts">
        ${this.next && !this.problem ? html`<button class="button plain slim" ?disabled=${this.busy} @click=${this.#read}>${words.ai.more}</button>` : nothing}
        ${rows?.length ? html`<button class="button plain slim" ?disabled=${this.busy} @click=${this.#download}>${words.ai.download}</button>` : nothing}
      </div>
      </section>
    `;
  }

  #row(row: Disclosure): TemplateResult {
    const { ai } = this.words;
    const details = [this.#with(row), ai.sentAmount(row.messages, row.characters), row.masked ? ai.maskedAmount(row.masked) : "", row.asked_by === this.client.userId ? "" : ai.byOther];
    return html`
      <li>
        <p class="what"><strong>${ai.kind[row.kind] ?? row.kind}</strong><time datetime=${row.at}>${dayAndClock(new Date(row.at))}</time></p>
        <p class="where"><span class="tag ${row.is_outside ? "outside" : ""}">${row.is_outside ? ai.elsewhere : ai.here}</span> <bdi>${row.provider}</bdi>${row.is_outside ? html` <bdi class="hint">${row.host}</bdi>` : nothing}</p>
        <p class="hint">${details.filter(Boolean).join(" · ")}</p>
      </li>
    `;
  }

  /** The conversation by its other person, where it is still one of mine. */
  #with({ conversation_id }: Disclosure): string {
    const thread = conversation_id ? this.client.conversation(conversation_id) : undefined;
    return thread ? this.nameOf(this.client.people.get(thread.peerId)) : "";
  }

  #read(): Promise<void> {
    return this.#trying(async () => {
      const page = await this.client.ai.disclosures(this.next ?? undefined);
      this.rows = [...(this.rows ?? []), ...page.results];
      this.next = page.next;
    });
  }

  /** All that the AI keeps of me, as a file. */
  #download(): Promise<void> {
    return this.#trying(async () => {
      const all = JSON.stringify(await this.client.rest.aiExport(), null, 2);
      const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(new Blob([all], { type: "application/json" })), download: "doran-ai.json" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
  }

  async #trying(work: () => Promise<void>): Promise<void> {
    this.busy = true;
    this.problem = "";
    try {
      await work();
    } catch (error) {
      this.problem = problemText(error instanceof DoranError ? error.code : "unknown");
    } finally {
      this.busy = false;
    }
  }

  static override styles = [
    common,
    css`
      :host {
        display: block;
      }
      section {
        display: grid;
        gap: 0.6rem;
        padding: 1.25rem;
        border: 1px solid var(--line);
        border-radius: 1.25rem;
        background: var(--surface);
      }
      ul {
        display: grid;
      }
      li {
        padding: 0.65rem 0;
        border-block-start: 1px solid var(--line);
        line-height: 1.5;
        font-size: 0.9375rem;
      }
      .what {
        display: flex;
        flex-wrap: wrap;
        justify-content: space-between;
        gap: 0 0.75rem;
      }
      time {
        font-size: 0.8125rem;
        color: var(--ink-faint);
      }
      .tag {
        padding: 0.1rem 0.5rem;
        border-radius: 0.6rem;
        background: var(--accent-soft);
        color: var(--accent-strong);
        font-size: 0.75rem;
        font-weight: 600;
      }
      .tag.outside {
        background: var(--notice);
        color: var(--notice-ink);
      }
      .acts {
        display: flex;
        flex-wrap: wrap;
        gap: 0.5rem;
      }
    `,
  ];
}

customElements.define("doran-disclosures", DoranDisclosures);
