/** Me: profile, looks, the devices I am logged in on, whom I blocked, and the way out. */

import { css, html, nothing, type TemplateResult } from "lit";
import { type BlockInfo, DoranError, type SessionInfo, type User } from "../../client/index.ts";
import "../ai/disclosures.ts";
import { hiding } from "../lib/hiding.ts";
import { icons } from "../lib/icons.ts";
import { Piece } from "../lib/piece.ts";
import { choose, type Theme, theme } from "../lib/prefs.ts";
import { common } from "../styles/common.ts";
import { sheet } from "../styles/sheet.ts";
import { LANGUAGES, language, problemText, shortly, type Language } from "../words/index.ts";
import "./ask.ts";
import "./avatar.ts";

/** Where no reconnect says that the server is back: the socket may have stood all the time. */
const AGAIN_MS = 4_000;

export class DoranMe extends Piece {
  static override properties = { me: { state: true }, failed: { state: true }, sessions: { state: true }, busy: { state: true } };

  declare me: User | null;
  declare sessions: readonly SessionInfo[];
  declare busy: boolean;
  /** It could not be read; as soon as the server is back it is read again. */
  declare failed: boolean;
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    this.me = null;
    this.sessions = [];
    this.busy = this.failed = false;
  }

  protected override attend(): void {
    this.follow("person", ({ userId }) => this.#hear(userId));
    this.follow("blocks", () => this.requestUpdate());
    this.follow("offer", () => this.requestUpdate());
    this.follow("synced", () => void this.#read());
    this.until(() => clearTimeout(this.#again));
    void this.#read();
  }

  override render(): TemplateResult {
    const { words, me } = this;
    return html`
      <div class="page">
        <header><a class="round" href="#/" aria-label=${words.back}>${icons.back}</a><h1>${words.settings}</h1></header>
        ${me ? this.#profile(me) : this.#notYet()}
        ${this.#looks()} ${me ? this.#devices() : nothing} ${this.#blocked()}
        ${this.client.ai.isThere ? html`<doran-disclosures ?quiet=${this.client.ai.offer.kinds.length === 0}></doran-disclosures>` : nothing}
        <button class="button danger out" @click=${this.#logOut}>${words.logOut}</button>
      </div>
      <doran-ask></doran-ask>
    `;
  }

  #notYet(): TemplateResult {
    const { words } = this;
    if (!this.failed) return html`<p class="hint" role="status">${words.loading}</p>`;
    return html`<p class="wrong" role="alert">${words.loadFailed} <button class="link" @click=${this.#read}>${words.again}</button></p>`;
  }

  #profile(me: User): TemplateResult {
    const { words } = this;
    return html`
      <section aria-labelledby="profile">
        <h2 id="profile">${words.profile}</h2>
        <div class="self"><doran-avatar .userId=${me.id} .name=${this.nameOf(me)}></doran-avatar><p><strong><bdi>${this.nameOf(me)}</bdi></strong><span class="hint">${words.myHandle(me.username)}</span></p></div>
        <form @submit=${this.#save}>
          <div class="field"><label for="display_name">${words.displayName}</label><input id="display_name" name="display_name" autocomplete="nickname" .value=${me.profile.display_name} /></div>
          <div class="field"><label for="status_message">${words.statusMessage}</label><input id="status_message" name="status_message" autocomplete="off" placeholder=${words.statusHint} .value=${me.profile.status_message} /></div>
          <button class="button main slim" ?disabled=${this.busy}>${words.save}</button>
        </form>
      </section>
    `;
  }

  #looks(): TemplateResult {
    const { words } = this;
    const themes: readonly (readonly [Theme, string])[] = [["system", words.themeSystem], ["light", words.themeLight], ["dark", words.themeDark]];
    return html`
      <section aria-labelledby="looks">
        <h2 id="looks">${words.appearance}</h2>
        <fieldset><legend class="label">${words.language}</legend><div class="choices">${LANGUAGES.map(({ code, name }) => this.#choice("language", name, language() === code, () => this.#chooseLanguage(code), code))}</div></fieldset>
        <fieldset><legend class="label">${words.theme}</legend><div class="choices">${themes.map(([code, name]) => this.#choice("theme", name, theme() === code, () => this.#chooseTheme(code)))}</div></fieldset>
      </section>
    `;
  }

  #choice(group: string, name: string, chosen: boolean, act: () => void, lang?: string): TemplateResult {
    return html`<label class="choice" lang=${lang ?? nothing}><input type="radio" name=${group} .checked=${chosen} @change=${act} /><span>${name}</span></label>`;
  }

  #devices(): TemplateResult {
    const { words } = this;
    return html`
      <section aria-labelledby="devices">
        <h2 id="devices">${words.devices}</h2>
        <ul class="rows">${this.sessions.map((session) => this.#device(session))}</ul>
      </section>
    `;
  }

  #device(session: SessionInfo): TemplateResult {
    const { words } = this;
    const current = session.id === this.client.sessionId;
    const when = session.last_used_at ? words.lastUsed(shortly(new Date(session.last_used_at))) : words.loggedInAt(shortly(new Date(session.created_at)));
    return html`
      <li>
        <span class="sign">${icons.device}</span>
        <p><strong><bdi>${session.device_name || words.unknownDevice}</bdi></strong><span class="hint">${when}</span></p>
        ${current ? html`<span class="tag">${words.thisDevice}</span>` : html`<button class="button plain slim" @click=${() => this.#end(session)}>${words.endSession}<span class="unseen">: ${session.device_name}</span></button>`}
      </li>
    `;
  }

  #blocked(): TemplateResult | typeof nothing {
    const { words } = this;
    const blocks = this.client.blocks.list;
    if (!blocks) return nothing;
    return html`
      <section aria-labelledby="blocked">
        <h2 id="blocked">${words.blockedPeople}</h2>
        ${blocks.length ? html`<ul class="rows">${blocks.map((block) => this.#blockedPerson(block))}</ul>` : html`<p class="hint">${words.nobodyBlocked}</p>`}
      </section>
    `;
  }

  #blockedPerson({ user_id }: BlockInfo): TemplateResult {
    const name = this.nameOf(this.client.people.get(user_id));
    return html`<li><doran-avatar .userId=${user_id} .name=${name}></doran-avatar><p><strong><bdi>${name}</bdi></strong></p><button class="button plain slim" @click=${() => this.#unblock(user_id, name)}>${this.words.unblock}</button></li>`;
  }

  /** Changed on another screen of mine, or somebody whom I block. */
  #hear(userId: string): void {
    const profile = this.me?.id === userId ? this.client.people.get(userId)?.profile : undefined;
    if (this.me && profile) this.me = { ...this.me, profile: { ...this.me.profile, ...profile } };
    this.requestUpdate();
  }

  // -- acting

  async #read(): Promise<void> {
    const { rest, blocks } = this.client;
    clearTimeout(this.#again);
    try {
      const [me, sessions] = await Promise.all([rest.me(), rest.sessions(), blocks.read()]);
      this.me = me;
      this.sessions = [...sessions].sort((a) => (a.id === this.client.sessionId ? -1 : 1));
      this.failed = false;
    } catch {
      this.failed = true;
      if (this.isConnected) this.#again = setTimeout(() => void this.#read(), AGAIN_MS);
    }
  }

  async #save(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const given = new FormData(event.target as HTMLFormElement);
    const said = (name: string) => String(given.get(name) ?? "").normalize("NFC").trim();
    this.busy = true;
    await this.#trying(async () => {
      this.me = await this.client.changeProfile({ display_name: said("display_name"), status_message: said("status_message") });
      this.notify(this.words.saved);
    });
    this.busy = false;
  }

  #chooseLanguage(code: Language): void {
    choose({ language: code });
    void this.client.changeProfile({ locale: code }).catch(() => undefined);
  }

  #chooseTheme(code: Theme): void {
    choose({ theme: code });
    this.requestUpdate();
  }

  #end(session: SessionInfo): Promise<void> {
    return this.#trying(async () => {
      await this.client.rest.endSession(session.id);
      this.sessions = this.sessions.filter(({ id }) => id !== session.id);
      this.notify(this.words.sessionClosed);
    });
  }

  #unblock(userId: string, name: string): Promise<void> {
    return this.#trying(async () => {
      await this.client.blocks.remove(userId);
      this.notify(this.words.unblocked(name));
    });
  }

  async #logOut(): Promise<void> {
    const { words } = this;
    const waiting = this.client.waitingCount;
    const ask = this.renderRoot.querySelector("doran-ask")!;
    if (waiting && !(await ask.ask({ title: words.confirmLogOutTitle, text: words.confirmLogOut(waiting), yes: words.logOut }))) return;
    await hiding.finish();
    await this.client.logOut();
  }

  async #trying(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.notify(this.#refusal(error));
    }
  }

  /** What a field must be, or what went wrong. */
  #refusal(error: unknown): string {
    if (!(error instanceof DoranError)) return problemText("unknown");
    const rules: Readonly<Record<string, string>> = this.words.wrong;
    return rules[Object.keys(error.fields)[0] ?? ""] ?? problemText(error.code);
  }

  static override styles = [
    common,
    sheet,
    css`
      section {
        display: grid;
        gap: 0.9rem;
        padding: 1.25rem;
        border: 1px solid var(--line);
        border-radius: 1.25rem;
        background: var(--surface);
        --ring: var(--surface);
      }
      .self,
      .rows li {
        display: flex;
        align-items: center;
        gap: 0.85rem;
      }
      .self {
        --size: 3.5rem;
      }
      .rows {
        display: grid;
        gap: 0.9rem;
      }
      .rows p,
      .self p {
        flex: 1;
        min-width: 0;
        display: grid;
        line-height: 1.45;
      }
      .sign {
        display: grid;
        place-items: center;
        width: 2.5rem;
        height: 2.5rem;
        border-radius: 0.85rem;
        background: var(--sunken);
        color: var(--ink-soft);
      }
      .rows {
        --size: 2.5rem;
      }
      .tag {
        padding: 0.25rem 0.7rem;
        border-radius: 1rem;
        background: var(--accent-soft);
        color: var(--accent-strong);
        font-size: 0.8125rem;
        font-weight: 600;
        white-space: nowrap;
      }
      form {
        display: grid;
        gap: 0.9rem;
      }
      form .button {
        justify-self: end;
      }
      legend {
        padding: 0;
        margin-bottom: 0.4rem;
      }
      .choices {
        display: flex;
        gap: 0.25rem;
        padding: 0.25rem;
        border-radius: 0.875rem;
        background: var(--sunken);
      }
      .choice {
        flex: 1;
        position: relative;
        text-align: center;
        cursor: pointer;
      }
      .choice input {
        position: absolute;
        inset: 0;
        width: 100%;
        height: 100%;
        margin: 0;
        opacity: 0;
        cursor: pointer;
      }
      .choice span {
        display: block;
        padding: 0.5rem 0.4rem;
        border-radius: 0.65rem;
        font-size: 0.9375rem;
        color: var(--ink-soft);
      }
      .choice input:checked + span {
        background: var(--raised);
        color: var(--ink);
        font-weight: 600;
        box-shadow: var(--shadow-bubble);
      }
      .choice input:focus-visible + span {
        outline: 2px solid var(--focus);
      }
      @media (forced-colors: active) {
        .choice input:checked + span {
          outline: 2px solid Highlight;
          outline-offset: -2px;
        }
      }
      .out {
        justify-self: start;
      }
      @media (min-width: 760px) {
        header .round {
          display: none;
        }
        header {
          margin-inline-start: 0;
        }
      }
    `,
  ];
}

customElements.define("doran-me", DoranMe);
