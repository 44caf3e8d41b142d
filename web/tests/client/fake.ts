/** A scripted server for tests of the client: sockets that open when told to, REST answers by table, a clock that stands still. */

import { vi } from "vitest";
import { DoranClient } from "../../client/client.ts";
import type { ChangedConversation, Conversation, Message, ServerFrame } from "../../client/frames.ts";
import type { Channel } from "../../client/tabs.ts";
import type { WebSocketLike } from "../../client/socket.ts";
import { MemoryStorage, type Storage } from "../../client/storage.ts";

export const MINJI = "user-minji";
export const JUNHO = "user-junho";
export const TALK = "talk";

export class FakeSocket implements WebSocketLike {
  readyState = 0;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  closedWith: number | null = null;
  /** What the client said, parsed, in order. */
  readonly said: Record<string, unknown>[] = [];

  send(text: string): void {
    this.said.push(JSON.parse(text));
  }

  close(code?: number): void {
    this.readyState = 3;
    this.closedWith = code ?? 1000;
  }

  // -- the server's side

  accept(): void {
    this.readyState = 1;
    this.onopen?.(new Event("open"));
  }

  hear(frame: ServerFrame | Record<string, unknown>): void {
    this.onmessage?.(new MessageEvent("message", { data: JSON.stringify(frame) }));
  }

  drop(code: number): void {
    this.readyState = 3;
    this.onclose?.(Object.assign(new Event("close"), { code }) as CloseEvent);
  }

  /** Everything said of one type. */
  all(type: string): Record<string, unknown>[] {
    return this.said.filter((frame) => frame["type"] === type);
  }

  last(type: string): Record<string, unknown> {
    const frame = this.all(type).at(-1);
    if (!frame) throw new Error(`nothing of type ${type} was said`);
    return frame;
  }
}

type Answer = { status?: number; body?: unknown; headers?: Record<string, string> } | "no network";

export class FakeServer {
  readonly sockets: FakeSocket[] = [];
  readonly calls: { method: string; path: string; body: unknown; authorization: string | null; key: string | null; credentials: RequestCredentials | undefined }[] = [];
  readonly routes = new Map<string, (body: unknown) => Answer | Promise<Answer>>();
  tokens = 0;
  epoch = "epoch-1";

  constructor() {
    this.routes.set("POST /api/core/tokens/", () => ({ body: this.#pair() }));
    this.routes.set("POST /api/core/tokens/refresh/", () => ({ body: this.#pair() }));
    this.routes.set("POST /api/core/tokens/revoke/", () => ({ status: 204 }));
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  }

  readonly open = (): FakeSocket => {
    const socket = new FakeSocket();
    this.sockets.push(socket);
    return socket;
  };

  readonly fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const method = init.method ?? "GET";
    const path = String(input);
    const body: unknown = init.body ? JSON.parse(String(init.body)) : undefined;
    const headers = new Headers(init.headers);
    this.calls.push({ method, path, body, authorization: headers.get("authorization"), key: headers.get("idempotency-key"), credentials: init.credentials });
    const answer = (await this.routes.get(`${method} ${path.split("?")[0]}`)?.(body)) ?? { status: 404, body: { code: "not_found" } };
    if (answer === "no network") throw new TypeError("failed to fetch");
    const status = answer.status ?? 200;
    return new Response(status === 204 ? null : JSON.stringify(answer.body), { status, headers: answer.headers ?? {} });
  };

  called(method: string, path: string): number {
    return this.calls.filter((call) => call.method === method && call.path.startsWith(path)).length;
  }

  #pair() {
    const number = ++this.tokens;
    return { access_token: `access-${number}`, refresh_token: `refresh-${number}`, token_type: "Bearer", expires_in: 600, user_id: MINJI, session_id: "session-1" };
  }
}

/** 민지's client, not yet logged in. */
export function minji(server: FakeServer, { storage = new MemoryStorage(), channel = null }: { storage?: Storage; channel?: Channel | null } = {}): DoranClient {
  return new DoranClient({ storage, channel, fetch: server.fetch, open: server.open, random: () => 0.5 });
}

/** Tabs of one browser: what one says, the others hear. */
export function tabs(count: number): Channel[] {
  const channels: Channel[] = Array.from({ length: count }, () => ({ onmessage: null, close: () => undefined, postMessage: () => undefined }));
  for (const channel of channels) {
    channel.postMessage = (data) => {
      for (const other of channels) if (other !== channel) other.onmessage?.({ data: structuredClone(data) } as MessageEvent);
    };
  }
  return channels;
}

/** Let everything that is ready run, and `milliseconds` pass. */
export async function pass(milliseconds = 0): Promise<void> {
  await vi.advanceTimersByTimeAsync(milliseconds);
}

/** Log in, accept the socket, answer the first sync. */
export async function online(server: FakeServer, client: DoranClient, conversations: readonly ChangedConversation[] = []): Promise<FakeSocket> {
  await client.logIn("minji", "조용한 바다");
  await pass();
  return comeOnline(server, conversations);
}

export async function comeOnline(server: FakeServer, conversations: readonly ChangedConversation[] = []): Promise<FakeSocket> {
  const { socket } = server;
  socket.accept();
  socket.hear(ready(server));
  await pass();
  await answerSync(server, conversations);
  return socket;
}

export async function answerSync(server: FakeServer, conversations: readonly ChangedConversation[] = [], more: Partial<{ reset: boolean; has_more: boolean; state_seq: number }> = {}): Promise<void> {
  const { socket } = server;
  socket.hear({ type: "sync", ref: socket.last("sync")["ref"] as string, epoch: server.epoch, reset: false, state_seq: 1, has_more: false, conversations, ...more });
  await pass();
}

export function ready(server: FakeServer): ServerFrame {
  return { type: "ready", user_id: MINJI, session_id: "session-1", epoch: server.epoch, server_time: "2026-11-23T00:00:00Z", heartbeat: 25 };
}

export function message(seq: number, more: Partial<Message> = {}): Message {
  return {
    id: `message-${seq}`,
    conversation_id: TALK,
    seq,
    change_seq: seq,
    sender_id: JUNHO,
    content: `말 ${seq}`,
    message_type: "text",
    created_at: `2026-11-23T01:${String(seq % 60).padStart(2, "0")}:00Z`,
    updated_at: "2026-11-23T01:00:00Z",
    edited_at: null,
    is_deleted: false,
    reply_to: null,
    client_message_id: null,
    ...more,
  };
}

export function talk(lastSeq: number, more: Partial<Conversation> = {}): Conversation {
  return {
    id: TALK,
    participant1_id: JUNHO,
    participant2_id: MINJI,
    created_at: "2026-11-23T00:00:00Z",
    updated_at: "2026-11-23T00:00:00Z",
    is_active: true,
    last_seq: lastSeq,
    change_seq: lastSeq,
    unread_count: lastSeq - (more.me?.last_read_seq ?? 0) - (more.lost ?? []).reduce((sum, { first_seq, last_seq }) => sum + last_seq - first_seq + 1, 0),
    last_message: null,
    me: { last_delivered_seq: 0, last_read_seq: 0, muted_until: null, archived: false, pinned_at: null, hidden_before_seq: 0, marked_unread: false, draft: "" },
    peer: { user_id: JUNHO, last_delivered_seq: 0, last_read_seq: 0 },
    ...more,
  };
}

/** A line of a sync answer: the conversation with these of its messages. */
export function line(messages: readonly Message[], more: Partial<ChangedConversation> = {}): ChangedConversation {
  const last = messages.at(-1)?.seq ?? 0;
  return { ...talk(last), changes: { results: messages, next_since: last, has_more: false }, ...more };
}
