/** A question with two answers, asked in front of everything else. */

import { css, html, type TemplateResult } from "lit";
import { Piece } from "../lib/piece.ts";
import { common } from "../styles/common.ts";
import { dialog } from "../styles/dialog.ts";

export interface Question {
  readonly title: string;
  readonly text: string;
  readonly yes: string;
}

export class DoranAsk extends Piece {
  static override properties = { question: { state: true } };

  declare question: Question;
  #answer: ((yes: boolean) => void) | null = null;

  constructor() {
    super();
    this.question = { title: "", text: "", yes: "" };
  }

  /** True if the person said yes. */
  async ask(question: Question): Promise<boolean> {
    this.question = question;
    await this.updateComplete;
    const dialog = this.renderRoot.querySelector("dialog")!;
    dialog.showModal();
    return new Promise((resolve) => {
      this.#answer = resolve;
    });
  }

  override render(): TemplateResult {
    const { title, text, yes } = this.question;
    return html`
      <dialog aria-labelledby="title" aria-describedby="text" @close=${this.#closed}>
        <form method="dialog">
          <h2 id="title">${title}</h2>
          <p id="text">${text}</p>
          <div class="answers">
            <button class="button plain" value="">${this.words.cancel}</button>
            <button class="button danger" value="yes">${yes}</button>
          </div>
        </form>
      </dialog>
    `;
  }

  #closed(event: Event): void {
    const dialog = event.target as HTMLDialogElement;
    this.#answer?.(dialog.returnValue === "yes");
    dialog.returnValue = "";
    this.#answer = null;
  }

  static override styles = [
    common,
    dialog,
    css`
      dialog {
        width: min(22rem, calc(100vw - 2rem));
        padding: 1.4rem;
        background: var(--raised);
      }
      p {
        margin-top: 0.4rem;
        color: var(--ink-soft);
      }
      .answers {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 0.6rem;
        margin-top: 1.25rem;
      }
    `,
  ];
}

customElements.define("doran-ask", DoranAsk);

declare global {
  interface HTMLElementTagNameMap {
    "doran-ask": DoranAsk;
  }
}
