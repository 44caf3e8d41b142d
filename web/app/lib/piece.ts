/** What every element of the page has in common: it speaks the chosen language and follows the client. */

import { LitElement, type CSSResultGroup } from "lit";
import type { ClientEvents, DoranClient, User } from "../../client/index.ts";
import { onLanguage, words, type Words } from "../words/index.ts";
import { levelled } from "./text.ts";
import { common } from "../styles/common.ts";

let shared: DoranClient;

/** The one client of this page; set before the first element is made. */
export function use(client: DoranClient): void {
  shared = client;
}

export class Piece extends LitElement {
  static override styles: CSSResultGroup = common;

  readonly #ends: (() => void)[] = [];

  get client(): DoranClient {
    return shared;
  }

  get words(): Words {
    return words();
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#ends.push(onLanguage(() => this.requestUpdate()));
    this.attend();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const end of this.#ends.splice(0)) end();
  }

  /** Where an element says what it listens to. */
  protected attend(): void {}

  /** Listen for as long as the element is on the page. */
  protected follow<Name extends keyof ClientEvents & string>(name: Name, then: (detail: ClientEvents[Name]) => void): void {
    this.#ends.push(this.client.on(name, then));
  }

  protected until(end: () => void): void {
    this.#ends.push(end);
  }

  protected listen<Name extends keyof WindowEventMap>(name: Name, then: (event: WindowEventMap[Name]) => void): void {
    window.addEventListener(name, then);
    this.#ends.push(() => window.removeEventListener(name, then));
  }

  protected nameOf(user: User | null | undefined): string {
    if (user === undefined) return "…";
    if (user?.kind === "erased") return this.words.erasedPerson;
    return levelled(user?.profile.display_name || user?.username || this.words.unknownPerson);
  }

  /** Say something to the person in passing. */
  protected notify(text: string): void {
    this.dispatchEvent(new CustomEvent("notify", { detail: text, bubbles: true, composed: true }));
  }

  protected go(hash: string): void {
    location.hash = hash;
  }
}
