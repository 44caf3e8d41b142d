/** The page: a welcome or the two panes, where the address says so, and a place for passing words. */

import { css, html, nothing, type TemplateResult } from "lit";
import { keyed } from "lit/directives/keyed.js";
import "../ai/history.ts";
import { forgetTranslations } from "../ai/translation.ts";
import { calm } from "../lib/calm.ts";
import { hiding } from "../lib/hiding.ts";
import { icons } from "../lib/icons.ts";
import { calling } from "../lib/mute.ts";
import { Piece } from "../lib/piece.ts";
import { forgetVisits, type Spot, visit } from "../lib/visited.ts";
import { common } from "../styles/common.ts";
import "./chat.ts";
import "./connection.ts";
import "./list.ts";
import "./me.ts";
import "./welcome.ts";

/** Where one is: `#/`, `#/c/<conversation>`, `#/c/<conversation>/<seq of a message>`, `#/ask`, `#/me`. */
type Place = { readonly pane: "list" } | { readonly pane: "chat"; readonly id: string; readonly at: number } | { readonly pane: "ask" } | { readonly pane: "me" };

export function placeOf(hash: string): Place {
  const [, pane, id, seq] = hash.replace(/^#/, "").split("/");
  if (pane === "c" && id) return { pane: "chat", id: decode(id), at: /^[1-9]\d{0,15}$/.test(seq ?? "") ? Number(seq) : 0 };
  return { pane: pane === "me" || pane === "ask" ? pane : "list" };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const TOAST_MS = 4_000;

export class DoranApp extends Piece {
  static override properties = { session: { state: true }, place: { state: true }, reason: { state: true }, toast: { state: true } };

  declare session: "restoring" | "in" | "out";
  declare place: Place;
  declare reason: string;
  declare toast: string;
  /** How many passing words there were: said twice, the same words are another element, and heard twice. */
  #said = 0;
  #resume: Spot | null = null;
  readonly #phone = matchMedia("(max-width: 759px)");
  #toastTimer: ReturnType<typeof setTimeout> | undefined;
  /** One has been where one asks one's history: what was found there stays while one looks at it. */
  #asked = false;

  constructor() {
    super();
    this.session = "restoring";
    this.place = placeOf(location.hash);
    this.reason = "";
    this.toast = "";
  }

  protected override attend(): void {
    this.follow("session", ({ userId, reason }) => this.#sessionChanged(userId, reason));
    const count = calm(() => this.#showTitle());
    this.until(() => count.end());
    this.follow("conversations", count);
    this.until(hiding.onChange(() => this.requestUpdate()));
    this.listen("keydown", (event) => this.#key(event));
    this.listen("hashchange", () => this.#moved());
    const turned = () => this.requestUpdate();
    this.#phone.addEventListener("change", turned);
    this.until(() => this.#phone.removeEventListener("change", turned));
    visit(null);
    this.addEventListener("notify", (event) => this.say((event as CustomEvent<string>).detail));
    const minute = setInterval(() => this.#showTitle(), 60_000);
    this.until(() => clearInterval(minute));
    void this.#restore();
  }

  protected override updated(): void {
    this.#showTitle();
  }

  override render(): TemplateResult {
    return html`
      ${this.session === "in" ? keyed(this.client.sessionId, this.#panes()) : this.session === "out" ? html`<doran-welcome .reason=${this.reason}></doran-welcome>` : html`<div class="blank" role="status"><span class="unseen">${this.words.loading}</span></div>`}
      <div class="toasts" role="status" aria-live="polite">
        ${hiding.undoable ? this.#undo() : nothing}
        ${this.toast ? keyed(this.#said, html`<p class="toast">${this.toast}</p>`) : nothing}</div>
    `;
  }

  #undo(): TemplateResult {
    return html`<p class="toast act" @pointerenter=${() => hiding.hold()} @pointerleave=${() => hiding.release()} @focusin=${() => hiding.hold()} @focusout=${() => hiding.release()}><span>${this.words.deletedForMe(hiding.undoable)}</span><button aria-keyshortcuts="Control+Z" @click=${() => hiding.undo()}>${this.words.undo}</button></p>`;
  }

  /** As everywhere: but where somebody writes, it is what was written that is undone. */
  #key(event: KeyboardEvent): void {
    if ((event.key.toLowerCase() !== "z" && event.code !== "KeyZ") || !(event.ctrlKey || event.metaKey) || event.shiftKey || !hiding.undoable) return;
    const target = event.composedPath()[0];
    if ((target instanceof HTMLTextAreaElement || target instanceof HTMLInputElement) && target.value) return;
    event.preventDefault();
    hiding.undo();
  }

  #panes(): TemplateResult {
    const { place } = this;
    this.#asked ||= place.pane === "ask";
    return html`
      <button class="skip" @click=${this.#skip}>${this.words.skipToChat}</button>
      <doran-connection></doran-connection>
      <div class="panes" data-pane=${place.pane}>
        <doran-list class="side" role=${this.#phone.matches && place.pane === "list" ? "main" : "complementary"} aria-label=${this.words.conversations} .current=${place.pane === "chat" ? place.id : ""}></doran-list>
        <main tabindex="-1">
          ${place.pane === "chat" ? html`<h1 class="unseen">${this.words.name}</h1>` : nothing}
          ${this.#asked ? html`<doran-history ?hidden=${place.pane !== "ask"}></doran-history>` : nothing}
          ${place.pane === "ask" ? nothing : place.pane === "chat" ? html`<doran-chat .conversationId=${place.id} .at=${place.at} .resume=${this.#resume}></doran-chat>` : place.pane === "me" ? html`<doran-me></doran-me>` : this.#choose()}
        </main>
      </div>
    `;
  }

  #choose(): TemplateResult {
    return html`<div class="empty choose">${icons.chats}<strong>${this.words.chooseOne}</strong><p>${this.words.chooseOneHint}</p></div>`;
  }

  async #restore(): Promise<void> {
    const restored = await this.client.restore().catch(() => false);
    if (!restored && this.session === "restoring") this.session = "out";
  }

  #sessionChanged(userId: string | null, reason: string): void {
    forgetVisits();
    this.session = userId ? "in" : "out";
    this.reason = reason;
    if (!userId) {
      this.#asked = false;
      forgetTranslations();
      history.replaceState(history.state, "", "#/");
      this.place = { pane: "list" };
    }
    this.#showTitle();
  }

  /** Go there with the focus, too: where one writes, or to the place left in the list. */
  #moved(): void {
    const before = this.place;
    this.#resume = visit(this.renderRoot.querySelector("doran-chat")?.visited ?? null);
    this.place = placeOf(location.hash);
    void this.updateComplete.then(() => {
      if (this.place.pane === "chat" && this.place.at) return;
      if (this.place.pane === "ask") this.renderRoot.querySelector("doran-history")?.enter();
      else if (this.place.pane === "list") this.renderRoot.querySelector("doran-list")?.focusOn(before.pane === "chat" ? before.id : "");
      else this.#skip();
    });
  }

  /** Where one writes; but on a phone that would call up the keyboard over what one came to read. */
  #skip(): void {
    const main = this.renderRoot.querySelector("main");
    const chat = main?.querySelector("doran-chat");
    if (chat && !matchMedia("(pointer: coarse)").matches) void chat.updateComplete.then(() => chat.enter());
    else main?.focus({ preventScroll: true });
  }

  #showTitle(): void {
    const unread = this.session === "in" ? calling(this.client.conversations) : 0;
    document.title = unread ? `(${unread}) ${this.words.name}` : this.words.name;
  }

  /** Say something in passing. */
  say(text: string): void {
    this.toast = text;
    this.#said++;
    this.requestUpdate();
    clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => {
      this.toast = "";
    }, TOAST_MS);
  }

  static override styles = [
    common,
    css`
      :host {
        display: flex;
        flex-direction: column;
        height: 100dvh;
        background: var(--paper);
      }
      .blank,
      doran-welcome {
        flex: 1;
        min-height: 0;
      }
      .panes {
        flex: 1;
        min-height: 0;
        display: grid;
        grid-template-columns: minmax(18rem, 23rem) minmax(0, 1fr);
      }
      .side {
        min-height: 0;
        border-inline-end: 1px solid var(--line);
        background: var(--surface);
      }
      main {
        min-width: 0;
        min-height: 0;
        display: grid;
        outline: none;
      }
      .choose {
        height: 100%;
      }
      .skip {
        position: fixed;
        inset-block-start: 0.5rem;
        inset-inline-start: 0.5rem;
        z-index: 30;
        padding: 0.6rem 1rem;
        border-radius: 0.625rem;
        background: var(--accent);
        color: var(--on-accent);
        font-weight: 600;
        transform: translateY(-200%);
      }
      .skip:focus {
        transform: none;
      }
      .toasts {
        position: fixed;
        inset-inline: 0;
        inset-block-start: calc(4.25rem + env(safe-area-inset-top));
        display: grid;
        justify-items: center;
        gap: 0.4rem;
        pointer-events: none;
        z-index: 40;
        padding: 0 1rem;
      }
      .toast {
        background: var(--ink);
        color: var(--paper);
        padding: 0.65rem 1.1rem;
        border-radius: 0.875rem;
        box-shadow: var(--shadow);
        max-width: 30rem;
        font-size: 0.9375rem;
        animation: rise 160ms ease-out;
      }
      .act {
        display: flex;
        align-items: center;
        gap: 0.9rem;
        padding-block: 0.2rem;
        padding-inline-end: 0.4rem;
        pointer-events: auto;
      }
      .act button {
        min-height: 2.5rem;
        padding: 0 0.75rem;
        border-radius: 0.625rem;
        font-weight: 700;
        text-decoration: underline;
        text-underline-offset: 3px;
      }
      @keyframes rise {
        from {
          opacity: 0;
          transform: translateY(-0.5rem);
        }
      }
      @media (max-width: 759px) {
        .panes {
          grid-template-columns: minmax(0, 1fr);
        }
        .panes[data-pane="list"] main,
        .panes:not([data-pane="list"]) .side {
          display: none;
        }
        .side {
          border: 0;
        }
      }
    `,
  ];
}

customElements.define("doran-app", DoranApp);

declare global {
  interface HTMLElementTagNameMap {
    "doran-app": DoranApp;
  }
}
