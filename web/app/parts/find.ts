/** Finding a person by their exact handle, and beginning to talk. */

import { css, html, nothing, type TemplateResult } from "lit";
import { ASSISTANT_ID, DoranError, type User } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { dialog } from "../styles/dialog.ts";
import { problemText } from "../words/index.ts";
import "./avatar.ts";

export class DoranFind extends Piece {
  static override properties = { found: { state: true }, problem: { state: true }, busy: { state: true } };

  declare found: User | null;
  declare problem: string;
  declare busy: boolean;
  #from: HTMLElement | null = null;

  constructor() {
    super();
    this.found = null;
    this.problem = "";
    this.busy = false;
  }

  open(from: HTMLElement): void {
    this.#from = from;
    this.found = null;
    this.problem = "";
    this.#dialog.showModal();
    this.#input.value = "";
    this.#input.focus();
  }

  override render(): TemplateResult {
    const { words, found } = this;
    return html`
      <dialog aria-labelledby="title" @close=${() => this.#from?.focus()} @click=${this.#outside}>
        <div class="box">
          <div class="head"><h2 id="title">${words.findTitle}</h2><button class="round" aria-label=${words.close} @click=${() => this.#dialog.close()}>${icons.close}</button></div>
          <form @submit=${this.#find}>
            <input name="handle" aria-label=${words.handle} aria-describedby="hint" placeholder=${words.handle} autocomplete="off" autocapitalize="none" autocorrect="off" spellcheck="false" maxlength="128" required />
            <button class="button main" ?disabled=${this.busy}>${words.find}</button>
          </form>
          <p id="hint" class="hint">${words.findHint}</p>
          <div aria-live="polite">${this.problem ? html`<p class="wrong">${this.problem}</p>` : nothing}${found ? this.#card(found) : nothing}</div>
        </div>
      </dialog>
    `;
  }

  #card(user: User): TemplateResult {
    return html`
      <div class="card">
        <doran-avatar .userId=${user.id} .name=${this.nameOf(user)}></doran-avatar>
        <p class="who"><strong><bdi>${this.nameOf(user)}</bdi>${user.kind === "bot" ? html` <span class="bot">${user.id === ASSISTANT_ID ? this.words.ai.badge : this.words.ai.bot}</span>` : nothing}</strong><span class="hint">@<bdi>${user.username}</bdi></span>${user.profile.status_message ? html`<span class="status"><bdi>${user.profile.status_message}</bdi></span>` : nothing}</p>
        <button class="button main slim" ?disabled=${this.busy} @click=${() => this.#start(user)}>${this.words.startTalking}</button>
      </div>
    `;
  }

  get #dialog(): HTMLDialogElement {
    return this.renderRoot.querySelector("dialog")!;
  }

  get #input(): HTMLInputElement {
    return this.renderRoot.querySelector("input")!;
  }

  #outside(event: MouseEvent): void {
    if (event.target === this.#dialog) this.#dialog.close();
  }

  async #find(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const handle = this.#input.value.trim().replace(/^@/, "").normalize("NFC");
    if (!handle) return;
    await this.#trying(async () => {
      const user = await this.client.rest.findPerson(handle);
      if (!user) this.problem = this.words.nobody(handle);
      else if (user.id === this.client.userId) this.problem = this.words.itsYou;
      else this.found = user;
    });
  }

  async #start(user: User): Promise<void> {
    await this.#trying(async () => {
      const thread = await this.client.openWith(user.id);
      this.client.people.learn(user);
      this.#from = null;
      this.#dialog.close();
      this.go(`#/c/${encodeURIComponent(thread.id)}`);
    });
  }

  async #trying(work: () => Promise<void>): Promise<void> {
    this.busy = true;
    this.problem = "";
    this.found = null;
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
    dialog,
    aid,
    css`
      form {
        display: grid;
        grid-template-columns: minmax(0, 1fr) auto;
        gap: 0.5rem;
      }
      .card {
        display: grid;
        grid-template-columns: auto minmax(0, 1fr) auto;
        align-items: center;
        gap: 0.8rem;
        margin-top: 0.4rem;
        padding: 0.9rem;
        border-radius: 1rem;
        background: var(--sunken);
        --ring: var(--sunken);
      }
      .who {
        display: grid;
        line-height: 1.4;
      }
      .status {
        font-size: 0.875rem;
        color: var(--ink-soft);
      }
    `,
  ];
}

customElements.define("doran-find", DoranFind);

declare global {
  interface HTMLElementTagNameMap {
    "doran-find": DoranFind;
  }
}
