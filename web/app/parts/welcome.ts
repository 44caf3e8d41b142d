/** Signing up and logging in. */

import { css, html, nothing, type TemplateResult } from "lit";
import { refusal } from "../../client/errors.ts";
import { DoranError } from "../../client/index.ts";
import { Piece } from "../lib/piece.ts";
import { choose } from "../lib/prefs.ts";
import { lengthOf } from "../lib/text.ts";
import { common } from "../styles/common.ts";
import { LANGUAGES, language, problemText } from "../words/index.ts";
import "./avatar.ts";

export class DoranWelcome extends Piece {
  static override properties = { reason: {}, mode: { state: true }, busy: { state: true }, problem: { state: true }, fields: { state: true }, invite: { state: true }, shown: { state: true } };

  declare reason: string;
  declare mode: "logIn" | "signUp";
  declare busy: boolean;
  declare problem: string;
  declare fields: Readonly<Record<string, string>>;
  declare invite: boolean;
  declare shown: boolean;
  #weakness: Weakness = "password";

  constructor() {
    super();
    this.reason = "";
    this.mode = "logIn";
    this.busy = false;
    this.problem = "";
    this.fields = {};
    this.invite = false;
    this.shown = false;
  }

  override render(): TemplateResult {
    const { words } = this;
    const signingUp = this.mode === "signUp";
    return html`
      <main>
        <header>
          <span class="mark" aria-hidden="true">${mark}</span>
          <h1>${words.name}</h1>
          <p>${words.tagline}</p>
        </header>
        ${this.#demo()}
        <form @submit=${this.#submit} novalidate aria-busy=${this.busy}>
          ${this.reason && !this.problem ? this.#ended() : nothing}
          ${this.#field("username", words.handle, signingUp ? words.handleHint : "", html`<input id="username" name="username" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" required maxlength="128" aria-describedby="username-note" aria-invalid=${"username" in this.fields} />`)}
          ${signingUp ? this.#field("display_name", words.displayName, words.displayNameHint, html`<input id="display_name" name="display_name" autocomplete="nickname" aria-describedby="display_name-note" aria-invalid=${"display_name" in this.fields} />`) : nothing}
          ${this.#field("password", words.password, signingUp ? words.passwordHint : "", html`<input id="password" name="password" type=${this.shown ? "text" : "password"} autocomplete=${signingUp ? "new-password" : "current-password"} required aria-describedby="password-note" aria-invalid=${"password" in this.fields} />`)}
          ${signingUp && this.invite ? this.#field("invite_code", words.inviteCode, "", html`<input id="invite_code" name="invite_code" autocomplete="off" aria-describedby="invite_code-note" aria-invalid=${"invite_code" in this.fields} />`) : nothing}
          <label class="check"><input type="checkbox" .checked=${this.shown} @change=${this.#show} />${words.showPassword}</label>
          <p class="wrong" role="alert">${this.problem}</p>
          <button class="button main" ?disabled=${this.busy}>${this.busy ? words.working : signingUp ? words.signUp : words.logIn}</button>
          <button type="button" class="link" @click=${this.#other}>${signingUp ? words.toLogIn : words.toSignUp}</button>
        </form>
        <footer>
          ${LANGUAGES.map(({ code, name }) => html`<button class="tongue" lang=${code} aria-pressed=${language() === code} @click=${() => choose({ language: code })}>${name}</button>`)}
        </footer>
      </main>
    `;
  }

  /** The cast of a demo on this machine: one press logs in. Everywhere else nobody is there. */
  #demo(): TemplateResult | typeof nothing {
    const { words } = this;
    if (!cast.length) return nothing;
    return html`
      <section class="demo" aria-labelledby="demo">
        <h2 id="demo">${words.demoTitle}</h2>
        <p class="hint">${words.demoHint}</p>
        <div>${cast.map((one) => html`<button class="button plain" ?disabled=${this.busy} @click=${() => this.#enter(one.username)}><doran-avatar .userId=${one.username} .name=${one.display_name}></doran-avatar>${words.demoEnter(one.display_name)}</button>`)}</div>
      </section>
    `;
  }

  async #enter(username: string): Promise<void> {
    this.busy = true;
    this.problem = "";
    try {
      const login = await demoLogin(username);
      await this.client.logIn(login.username, login.password, deviceName());
    } catch (error) {
      this.problem = problemText(error instanceof DoranError ? error.code : "unknown");
    } finally {
      this.busy = false;
    }
  }

  #field(name: string, label: string, hint: string, input: TemplateResult): TemplateResult {
    const wrong = name in this.fields;
    return html`<div class="field"><label for=${name}>${label}</label>${input}<span id="${name}-note" class=${wrong ? "wrong" : "hint"}>${wrong ? this.#rule(name) : hint}</span></div>`;
  }

  /** What the field must be; the server says so in its own language only, and of passwords the reason differs. */
  #rule(name: string): string | undefined {
    const rules: Readonly<Record<string, string>> = this.words.wrong;
    return rules[name === "password" ? this.#weakness : name] ?? this.fields[name];
  }

  #ended(): TemplateResult | typeof nothing {
    if (this.reason === "logged_out" || this.reason === "logged_out_elsewhere") return nothing;
    return html`<p class="notice" role="status">${this.reason === "refresh_token_reused" ? this.words.sessionReused : this.words.sessionEnded}</p>`;
  }

  #show(event: Event): void {
    this.shown = (event.target as HTMLInputElement).checked;
  }

  #other(): void {
    this.mode = this.mode === "logIn" ? "signUp" : "logIn";
    this.problem = "";
    this.fields = {};
    void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLInputElement>("#username")?.focus());
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const given = new FormData(event.target as HTMLFormElement);
    const said = (name: string) => String(given.get(name) ?? "").normalize("NFC");
    const missing = ["username", "password"].find((name) => !said(name));
    if (missing) return this.renderRoot.querySelector<HTMLInputElement>(`#${missing}`)?.focus();
    this.busy = true;
    this.problem = "";
    this.fields = {};
    try {
      if (this.mode === "signUp") await this.#signUp(said);
      await this.client.logIn(said("username").trim(), said("password"), deviceName());
    } catch (error) {
      this.#refused(error, { username: said("username").trim(), password: said("password") });
    } finally {
      this.busy = false;
    }
  }

  async #signUp(said: (name: string) => string): Promise<void> {
    const display_name = said("display_name").trim();
    const invite_code = said("invite_code").trim();
    await this.client.signUp({
      username: said("username").trim(),
      password: said("password"),
      ...(display_name ? { display_name } : {}),
      ...(invite_code ? { invite_code } : {}),
    });
  }

  #refused(error: unknown, given: { username: string; password: string }): void {
    if (!(error instanceof DoranError)) throw error;
    this.problem = problemText(error.code);
    this.fields = error.fields;
    this.#weakness = weakness(given.password, given.username);
    this.invite ||= error.code === "invite_required";
    const first = Object.keys(error.fields)[0];
    void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLInputElement>(first ? `#${CSS.escape(first)}` : "#password")?.focus());
  }

  static override styles = [
    common,
    css`
      :host {
        display: block;
        height: 100%;
        overflow: auto;
      }
      main {
        min-height: 100%;
        display: grid;
        align-content: center;
        justify-items: center;
        gap: 1.75rem;
        padding: 2rem 1.25rem;
      }
      header {
        text-align: center;
        display: grid;
        justify-items: center;
        gap: 0.3rem;
      }
      header p {
        color: var(--ink-soft);
      }
      h1 {
        font-size: 1.9rem;
        letter-spacing: -0.03em;
      }
      .mark svg {
        width: 4rem;
        height: 4rem;
        display: block;
        color: var(--accent);
      }
      form {
        width: min(24rem, 100%);
        display: grid;
        gap: 0.9rem;
        background: var(--surface);
        border: 1px solid var(--line);
        border-radius: 1.25rem;
        padding: 1.6rem 1.4rem 1.25rem;
      }
      .field .hint:empty,
      .wrong:empty {
        display: none;
      }
      .check {
        display: inline-flex;
        align-items: center;
        gap: 0.5rem;
        font-size: 0.875rem;
        color: var(--ink-soft);
      }
      .check input {
        width: 1.05rem;
        height: 1.05rem;
        accent-color: var(--accent);
        margin: 0;
      }
      .button.main {
        min-height: 3rem;
        margin-top: 0.2rem;
      }
      .link {
        justify-self: center;
        padding: 0.5rem;
        font-size: 0.9375rem;
      }
      .notice {
        background: var(--notice);
        color: var(--notice-ink);
        padding: 0.7rem 0.9rem;
        border-radius: 0.75rem;
        font-size: 0.9375rem;
      }
      .demo {
        width: min(24rem, 100%);
        display: grid;
        gap: 0.5rem;
        text-align: center;
      }
      .demo div {
        display: grid;
        grid-template-columns: 1fr 1fr;
        gap: 0.6rem;
        --size: 1.75rem;
      }
      .demo .button {
        padding-inline: 0.6rem;
        white-space: normal;
      }
      footer {
        display: flex;
        gap: 0.25rem;
      }
      .tongue {
        padding: 0.5rem 0.8rem;
        border-radius: 0.5rem;
        font-size: 0.875rem;
        color: var(--ink-faint);
      }
      .tongue[aria-pressed="true"] {
        color: var(--ink);
        font-weight: 600;
      }
    `,
  ];
}

interface Guest {
  readonly username: string;
  readonly display_name: string;
}

/** `bin/up --demo` names its people in the page's head, where only this machine can open it. */
const cast = JSON.parse(document.querySelector<HTMLMetaElement>('meta[name="doran-demo"]')?.content ?? "[]") as readonly Guest[];

async function demoLogin(username: string): Promise<{ readonly username: string; readonly password: string }> {
  const response = await fetch("/demo/", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ username }) }).catch(() => null);
  if (!response) throw new DoranError("network");
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as { username: string; password: string };
}

type Weakness = "password" | "password_is_handle" | "password_guessable";

/** Why a password was refused: its length, or what it is. */
export function weakness(password: string, username: string): Weakness {
  const length = lengthOf(password);
  if (length < 8 || length > 256) return "password";
  return password.toLocaleLowerCase() === username.toLocaleLowerCase() ? "password_is_handle" : "password_guessable";
}

const mark = html`<svg viewBox="0 0 64 64" fill="none" stroke="currentColor" stroke-width="4" stroke-linejoin="round" stroke-linecap="round"><path fill="currentColor" d="M9 27c0-9 8-15 18-15s18 6 18 15-8 15-18 15c-2.2 0-4.3-.3-6.2-.9L11 44l2-8a14 14 0 0 1-4-9Z"/><path d="M50 27c3 2.6 4.5 5.9 4.5 9.5 0 3.3-1.3 6.3-3.5 8.7L52.5 52 45 49.5c-1.8.6-3.8.9-5.9.9-4.5 0-8.6-1.5-11.4-4" opacity=".55"/></svg>`;

/** What the list of sessions calls this browser; a guess that helps one recognise it. */
function deviceName(): string {
  const agent = navigator.userAgent;
  const browser = [["Edg/", "Edge"], ["Firefox/", "Firefox"], ["Whale/", "Whale"], ["SamsungBrowser/", "Samsung Internet"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]].find(([sign]) => agent.includes(sign!))?.[1];
  const system = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Mac OS X", "macOS"], ["Windows", "Windows"], ["Linux", "Linux"]].find(([sign]) => agent.includes(sign!))?.[1];
  return [browser, system].filter(Boolean).join(" · ");
}

customElements.define("doran-welcome", DoranWelcome);
