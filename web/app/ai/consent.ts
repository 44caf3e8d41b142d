/** What the AI may do in a conversation: a quiet line while it may do anything, and the dialog in which one decides. */

import { css, html, nothing, type TemplateResult } from "lit";
import { type Consent, type ConsentScope, DoranError } from "../../client/index.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { aid } from "../styles/aid.ts";
import { common } from "../styles/common.ts";
import { dialog } from "../styles/dialog.ts";
import { problemText } from "../words/index.ts";

const SCOPES: readonly ConsentScope[] = ["off", "on_demand", "history"];
/** With the assistant itself: it answers, or it does not. */
const ALONE = ["off", "on_demand"] as const;

export class DoranConsent extends Piece {
  static override properties = { conversationId: {}, name: {}, alone: { type: Boolean }, chosen: { state: true }, problem: { state: true }, busy: { state: true } };

  declare conversationId: string;
  /** The other person's. */
  declare name: string;
  /** The other one is the assistant itself: nobody else has to agree. */
  declare alone: boolean;
  declare chosen: ConsentScope;
  declare problem: string;
  declare busy: boolean;
  #from: HTMLElement | null = null;

  constructor() {
    super();
    this.conversationId = this.name = this.problem = "";
    this.alone = this.busy = false;
    this.chosen = "off";
  }

  protected override attend(): void {
    this.follow("consent", ({ consent }) => consent.conversation_id === this.conversationId && this.requestUpdate());
    this.follow("offer", () => this.requestUpdate());
  }

  /** Decide. `from` gets the focus back. */
  async open(from: HTMLElement | null = null): Promise<void> {
    this.#from = from;
    this.problem = "";
    await this.#trying(() => this.client.ai.lookUpConsent(this.conversationId));
    const mine = this.#consent?.mine ?? "off";
    this.chosen = this.alone && mine === "history" ? "on_demand" : mine;
    await this.updateComplete;
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  override render(): TemplateResult {
    const consent = this.#consent;
    const isUsable = this.client.ai.offer.kinds.length > 0;
    return html`${consent && isUsable && !this.alone ? this.#line(consent) : nothing}${this.#question(consent)}`;
  }

  // -- the line

  #line(consent: Consent): TemplateResult | typeof nothing {
    const { ai } = this.words;
    const [text, act] = this.#told(consent);
    if (!text) return nothing;
    return html`<div class="bar" role="status">${icons.spark}<span>${text}</span><button class="link" @click=${(event: Event) => this.open(event.currentTarget as HTMLElement)}>${act}<span class="unseen">: ${ai.use}</span></button></div>`;
  }

  #told({ agreed, mine, theirs, provider }: Consent): [string, string] {
    const { ai } = this.words;
    if (agreed !== "off") return [ai.inUse(provider), ai.change];
    if (mine !== "off") return [ai.waitingFor(this.name), ai.change];
    return theirs === "off" ? ["", ""] : [ai.invites(this.name), ai.look];
  }

  // -- the dialog

  #question(consent: Consent | undefined): TemplateResult {
    const { words } = this;
    const { ai } = words;
    return html`
      <dialog aria-labelledby="title" @close=${() => this.#from?.focus()} @click=${this.#outside}>
        <form class="box" method="dialog" @submit=${this.#save}>
          <div class="head"><h2 id="title">${ai.use}</h2><button type="button" class="round" aria-label=${words.close} @click=${() => this.#dialog.close()}>${icons.close}</button></div>
          ${consent ? this.#facts(consent) : nothing}
          <fieldset><legend class="label">${ai.mineHere}</legend>${this.alone ? ALONE.map((scope) => this.#scope(scope, ai.aloneScope[scope], ai.aloneHint[scope])) : SCOPES.map((scope) => this.#scope(scope, ai.scope[scope], ai.scopeHint[scope]))}</fieldset>
          ${consent && !this.alone ? html`<p class="theirs"><span class="label">${ai.theirsHere(this.name)}</span><span>${ai.scope[consent.theirs]}</span></p><p class="hint">${ai.bothNeeded}</p>` : nothing}
          ${this.problem ? html`<p class="wrong" role="alert">${this.problem}</p>` : nothing}
          <div class="answers"><button type="button" class="button plain" @click=${() => this.#dialog.close()}>${words.cancel}</button><button class="button main" ?disabled=${this.busy}>${words.save}</button></div>
        </form>
      </dialog>
    `;
  }

  #facts({ provider, is_outside }: Consent): TemplateResult | typeof nothing {
    const { ai } = this.words;
    if (!provider) return nothing;
    return html`<p class="reads ${is_outside ? "outside" : ""}"><span class="label">${ai.whoReads}</span><span>${is_outside ? ai.readsOutside(provider) : ai.readsInside(provider)}</span></p>`;
  }

  #scope(scope: ConsentScope, name: string, hint: string): TemplateResult {
    return html`<label class="scope"><input type="radio" name="scope" value=${scope} .checked=${this.chosen === scope} @change=${() => (this.chosen = scope)} /><span><strong>${name}</strong><span class="hint">${hint}</span></span></label>`;
  }

  get #consent(): Consent | undefined {
    return this.client.ai.consent(this.conversationId);
  }

  get #dialog(): HTMLDialogElement {
    return this.renderRoot.querySelector("dialog")!;
  }

  #outside(event: MouseEvent): void {
    if (event.target === this.#dialog) this.#dialog.close();
  }

  async #save(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const saved = await this.#trying(() => this.client.ai.allow(this.conversationId, this.chosen));
    if (!saved) return;
    this.#dialog.close();
    if (this.alone || this.chosen === "off") this.notify(this.words.ai.consentSaved);
  }

  async #trying(work: () => Promise<void>): Promise<boolean> {
    this.busy = true;
    this.problem = "";
    try {
      await work();
      return true;
    } catch (error) {
      this.problem = problemText(error instanceof DoranError ? error.code : "unknown");
      return false;
    } finally {
      this.busy = false;
    }
  }

  static override styles = [
    common,
    dialog,
    aid,
    css`
      :host {
        display: block;
      }
      .bar {
        display: flex;
        align-items: center;
        justify-content: center;
        flex-wrap: wrap;
        gap: 0.1rem 0.5rem;
        padding: 0.25rem 1rem;
        background: var(--accent-soft);
        color: var(--accent-strong);
        font-size: 0.8125rem;
        text-align: center;
      }
      .bar .icon {
        width: 0.95rem;
        height: 0.95rem;
      }
      .bar .link {
        min-height: 1.5rem;
        color: inherit;
        text-decoration: underline;
        text-underline-offset: 3px;
      }
      .reads,
      .theirs {
        display: grid;
        gap: 0.1rem;
        padding: 0.65rem 0.85rem;
        border-radius: 0.75rem;
        background: var(--sunken);
        font-size: 0.9375rem;
        line-height: 1.45;
      }
      .reads.outside {
        background: var(--notice);
        color: var(--notice-ink);
      }
      .reads.outside .label {
        color: inherit;
      }
      .theirs {
        grid-template-columns: 1fr auto;
        align-items: center;
      }
      fieldset {
        display: grid;
        gap: 0.35rem;
      }
      legend {
        padding: 0;
        margin-bottom: 0.3rem;
      }
      .scope {
        display: flex;
        gap: 0.7rem;
        padding: 0.6rem 0.85rem;
        border: 1px solid var(--line);
        border-radius: 0.75rem;
        cursor: pointer;
        background: var(--raised);
      }
      .scope:has(:checked) {
        border-color: var(--accent);
        box-shadow: inset 0 0 0 1px var(--accent);
      }
      .scope input {
        flex: none;
        width: 1.1rem;
        height: 1.1rem;
        margin: 0.25rem 0 0;
        accent-color: var(--accent);
      }
      .scope span {
        display: grid;
        line-height: 1.45;
      }
      .answers {
        position: sticky;
        bottom: 0;
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 0.6rem;
        margin: 0 -1.25rem -1.35rem;
        padding: 0.6rem 1.25rem 1.1rem;
        background: var(--surface);
      }
    `,
  ];
}

customElements.define("doran-consent", DoranConsent);

declare global {
  interface HTMLElementTagNameMap {
    "doran-consent": DoranConsent;
  }
}
