/** The REST calls of the contract, each one function; a stale access token is renewed once. */

import { DoranError, refusal } from "./errors.ts";
import type {
  AiOffer,
  BlockInfo,
  ChangesPage,
  Consent,
  ConsentScope,
  Conversation,
  DeleteScope,
  Disclosure,
  Job,
  JobWish,
  Message,
  Page,
  ProfileChange,
  Receipt,
  SendBody,
  SessionInfo,
  StateChange,
  TokenAnswer,
  User,
} from "./frames.ts";

export interface RestOptions {
  readonly baseUrl: string;
  readonly fetch: typeof fetch;
  /** A usable access token; given the rejected one, a newer. */
  readonly token: (rejected?: string) => Promise<string>;
  /** Whose session it is now. A call that was begun in another one is not made, and its answer is not used. */
  readonly identity: () => string | null;
}

interface Call {
  readonly method?: "GET" | "POST" | "PATCH" | "PUT" | "DELETE";
  readonly body?: object;
  readonly anonymous?: boolean;
  readonly credentials?: RequestCredentials;
  /** Goes on when the page is closed. */
  readonly keepalive?: boolean;
}

const ANSWER_MS = 20_000;

export class Rest {
  readonly #options: RestOptions;

  constructor(options: RestOptions) {
    this.#options = options;
  }

  // -- people and sessions

  signUp(body: { username: string; password: string; display_name?: string; invite_code?: string }): Promise<User> {
    return this.#call("core/users/", { method: "POST", body, anonymous: true });
  }

  logIn(body: { username: string; password: string; device_name?: string }): Promise<TokenAnswer> {
    // The cookie by which the server knows a device it has seen before; it goes nowhere else.
    return this.#call("core/tokens/", { method: "POST", body, anonymous: true, credentials: "same-origin" });
  }

  me(): Promise<User> {
    return this.#call("core/users/me/");
  }

  changeProfile(body: ProfileChange): Promise<User> {
    return this.#call("core/users/me/", { method: "PATCH", body });
  }

  user(id: string): Promise<User> {
    return this.#call(`core/users/${encodeURIComponent(id)}/`);
  }

  async findPerson(username: string): Promise<User | null> {
    const page = await this.#call<Page<User>>(`core/users/?username=${encodeURIComponent(username)}`);
    return page.results[0] ?? null;
  }

  async sessions(): Promise<readonly SessionInfo[]> {
    return (await this.#call<Page<SessionInfo>>("core/sessions/")).results;
  }

  endSession(id: string): Promise<void> {
    return this.#call(`core/sessions/${encodeURIComponent(id)}/`, { method: "DELETE" });
  }

  async blocks(): Promise<readonly BlockInfo[]> {
    return (await this.#call<Page<BlockInfo>>("core/blocks/")).results;
  }

  block(userId: string): Promise<void> {
    return this.#call(`core/blocks/${encodeURIComponent(userId)}/`, { method: "PUT" });
  }

  unblock(userId: string): Promise<void> {
    return this.#call(`core/blocks/${encodeURIComponent(userId)}/`, { method: "DELETE" });
  }

  // -- conversations

  openConversation(participantId: string): Promise<Conversation> {
    return this.#call("chat/conversations/", { method: "POST", body: { participant_id: participantId } });
  }

  conversation(id: string): Promise<Conversation> {
    return this.#call(`chat/conversations/${encodeURIComponent(id)}/`);
  }

  changeState(id: string, body: StateChange): Promise<Conversation> {
    return this.#call(`chat/conversations/${encodeURIComponent(id)}/`, { method: "PATCH", body });
  }

  keepDraft(id: string, draft: string): Promise<Conversation> {
    return this.#call(`chat/conversations/${encodeURIComponent(id)}/`, { method: "PATCH", body: { draft }, keepalive: true });
  }

  messages(id: string, at: { beforeSeq?: number; afterSeq?: number; pageSize?: number } = {}): Promise<Page<Message>> {
    const query = new URLSearchParams({ page_size: String(at.pageSize ?? 50) });
    if (at.beforeSeq !== undefined) query.set("before_seq", String(at.beforeSeq));
    if (at.afterSeq !== undefined) query.set("after_seq", String(at.afterSeq));
    return this.#call(`chat/conversations/${encodeURIComponent(id)}/messages/?${query}`);
  }

  changes(id: string, since: number, epoch?: string): Promise<ChangesPage> {
    const query = new URLSearchParams({ since: String(since), ...(epoch && { epoch }) });
    return this.#call(`chat/conversations/${encodeURIComponent(id)}/changes/?${query}`);
  }

  send(id: string, body: SendBody): Promise<Message> {
    return this.#call(`chat/conversations/${encodeURIComponent(id)}/messages/send/`, { method: "POST", body });
  }

  edit(messageId: string, content: string): Promise<Message> {
    return this.#call(`chat/messages/${encodeURIComponent(messageId)}/`, { method: "PATCH", body: { content } });
  }

  delete(messageId: string, scope: DeleteScope): Promise<Message | undefined> {
    return this.#call(`chat/messages/${encodeURIComponent(messageId)}/?for=${scope}`, { method: "DELETE" });
  }

  message(messageId: string): Promise<Message> {
    return this.#call(`chat/messages/${encodeURIComponent(messageId)}/`);
  }

  markRead(messageId: string): Promise<Receipt> {
    return this.#call(`chat/messages/${encodeURIComponent(messageId)}/read/`, { method: "POST", body: {} });
  }

  markDelivered(messageId: string): Promise<Receipt> {
    return this.#call(`chat/messages/${encodeURIComponent(messageId)}/delivered/`, { method: "POST", body: {} });
  }

  // -- the AI

  aiOffer(): Promise<AiOffer> {
    return this.#call("ai/");
  }

  askAi(body: JobWish & { idempotency_key: string }): Promise<Job> {
    return this.#call("ai/jobs/", { method: "POST", body });
  }

  /** My newest jobs. */
  jobs(): Promise<Page<Job>> {
    return this.#call("ai/jobs/");
  }

  job(id: string): Promise<Job> {
    return this.#call(`ai/jobs/${encodeURIComponent(id)}/`);
  }

  cancelJob(id: string): Promise<Job> {
    return this.#call(`ai/jobs/${encodeURIComponent(id)}/cancel/`, { method: "POST" });
  }

  consent(conversationId: string): Promise<Consent> {
    return this.#call(`ai/consents/${encodeURIComponent(conversationId)}/`);
  }

  changeConsent(conversationId: string, scope: ConsentScope): Promise<Consent> {
    return this.#call(`ai/consents/${encodeURIComponent(conversationId)}/`, { method: "PUT", body: { scope } });
  }

  /** One page of what went where; `next` of the page before leads on. */
  disclosures(next?: string): Promise<Page<Disclosure>> {
    const query = next ? (next.split("?")[1] ?? "") : "";
    return this.#call(`ai/disclosures/${query && `?${query}`}`);
  }

  /** All that the AI keeps of me. */
  aiExport(): Promise<object> {
    return this.#call("ai/export/");
  }

  // -- the one door

  async #call<Answer>(path: string, call: Call = {}): Promise<Answer> {
    if (call.anonymous) return answerIn(await this.#fetch(path, call));
    const identity = this.#options.identity();
    const token = await this.#tokenOf(identity);
    let response = await this.#fetch(path, call, token);
    if (response.status === 401) response = await this.#fetch(path, call, await this.#tokenOf(identity, token));
    const answer = await answerIn<Answer>(response);
    this.#requireSame(identity);
    return answer;
  }

  /** What one person asked is never asked as another. */
  async #tokenOf(identity: string | null, rejected?: string): Promise<string> {
    this.#requireSame(identity);
    const token = await this.#options.token(rejected);
    this.#requireSame(identity);
    return token;
  }

  #requireSame(identity: string | null): void {
    if (this.#options.identity() !== identity) throw new DoranError("disconnected");
  }

  async #fetch(path: string, call: Call, token?: string): Promise<Response> {
    const { method = "GET", body, keepalive = false, credentials = "omit" } = call;
    const headers: Record<string, string> = { Accept: "application/json" };
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers["Authorization"] = `Bearer ${token}`;
    const { baseUrl, fetch } = this.#options;
    try {
      return await fetch(`${baseUrl}/api/${path}`, {
        method,
        headers,
        cache: "no-store",
        credentials,
        keepalive,
        signal: AbortSignal.timeout(ANSWER_MS),
        ...(body ? { body: JSON.stringify(body) } : {}),
      });
    } catch {
      throw new DoranError("network");
    }
  }
}

async function answerIn<Answer>(response: Response): Promise<Answer> {
  if (!response.ok) throw await refusal(response);
  return (response.status === 204 ? undefined : await response.json()) as Answer;
}
