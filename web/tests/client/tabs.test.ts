/** Two tabs of one browser: one truth about who is logged in, what waits, and what stands in the box. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { DoranClient } from "../../client/client.ts";
import { MemoryStorage } from "../../client/storage.ts";
import { answerSync, type FakeSocket, FakeServer, JUNHO, line, message, minji, MINJI, pass, ready, tabs, talk, TALK } from "./fake.ts";

const SORA = "user-sora";

let server: FakeServer;
let storage: MemoryStorage;
let left: DoranClient;
let right: DoranClient;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  storage = new MemoryStorage();
  const [one, two] = tabs(2);
  left = minji(server, { storage, channel: one! });
  right = minji(server, { storage, channel: two! });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Who a log-in, or a renewal, is answered as. */
function logsInNext(userId: string, sessionId: string, path = "POST /api/core/tokens/"): void {
  server.routes.set(path, () => ({ body: { access_token: `access-${sessionId}`, refresh_token: `refresh-${sessionId}`, token_type: "Bearer", expires_in: 600, user_id: userId, session_id: sessionId } }));
}

/** Bring the newest socket online. */
async function comesOnline(): Promise<FakeSocket> {
  await pass();
  const { socket } = server;
  socket.accept();
  socket.hear(ready(server));
  await pass();
  await answerSync(server, [line([message(1)])]);
  return socket;
}

/** 민지 in both tabs, online in both. */
async function bothOnline(): Promise<[FakeSocket, FakeSocket]> {
  logsInNext(MINJI, "session-minji");
  await left.logIn("minji", "조용한 바다");
  const first = await comesOnline();
  await right.restore();
  return [first, await comesOnline()];
}

const said = (client: DoranClient) => client.conversation(TALK)!.waiting.map(({ content, problem }) => [content, problem]);

describe("who is logged in", () => {
  test("a log-in in one tab wakes the others that wait for one", async () => {
    expect(await right.restore()).toBe(false);
    const heard = vi.fn();
    right.on("session", heard);
    logsInNext(MINJI, "session-minji");
    await left.logIn("minji", "조용한 바다");
    await pass();
    expect(heard.mock.calls).toEqual([[{ userId: MINJI, reason: "" }]]);
    expect(server.called("POST", "/api/core/tokens/refresh/")).toBe(0);
    expect(server.sockets).toHaveLength(2);
  });

  test("소라 logs in in the right tab: the left one is hers, and 민지's session has ended on the server", async () => {
    await left.restore();
    await right.restore();
    logsInNext(MINJI, "session-minji");
    await left.logIn("minji", "조용한 바다");
    const socket = await comesOnline();
    left.write(TALK, { text: "소라에게는 말하지 마" });
    const heard = vi.fn();
    left.on("session", heard);

    logsInNext(SORA, "session-sora");
    await right.logIn("sora", "조용한 바다");
    await pass();
    expect(heard.mock.calls).toEqual([[{ userId: null, reason: "logged_in_elsewhere" }], [{ userId: SORA, reason: "" }]]);
    expect(socket.closedWith).not.toBeNull();
    expect(left.conversations).toEqual([]);
    expect(server.calls.filter(({ path }) => path.includes("revoke")).map(({ body }) => body)).toEqual([{ refresh_token: "refresh-session-minji" }]);
    await pass(60_000);
    const asked = server.calls.filter(({ method, path }) => method === "PATCH" && path.includes(TALK));
    expect(asked).toEqual([]);
  });

  test("the same person logs in again: the session before it is not left behind", async () => {
    logsInNext(MINJI, "session-1");
    await left.logIn("minji", "조용한 바다");
    logsInNext(MINJI, "session-2");
    await left.logIn("minji", "조용한 바다");
    await pass();
    expect(server.calls.filter(({ path }) => path.includes("revoke")).map(({ body }) => body)).toEqual([{ refresh_token: "refresh-session-1" }]);
    expect(left.sessionId).toBe("session-2");
  });

  test("a call on its way when another person comes is neither made nor believed", async () => {
    logsInNext(MINJI, "session-minji");
    await left.logIn("minji", "조용한 바다");
    let answer: (what: { body: unknown }) => void = () => undefined;
    server.routes.set("GET /api/core/users/me/", () => new Promise((resolve) => (answer = resolve)));
    server.routes.set("PATCH /api/core/users/me/", () => ({ body: { id: SORA } }));
    const asked = expect(left.rest.me()).rejects.toMatchObject({ code: "disconnected" });
    vi.setSystemTime(Date.now() + 3_600_000);
    server.routes.set("POST /api/core/tokens/refresh/", () => "no network");
    const changed = expect(left.changeProfile({ display_name: "민지" })).rejects.toBeTruthy();
    await pass(3_000);
    await changed;

    logsInNext(SORA, "session-sora");
    const entering = right.logIn("sora", "조용한 바다");
    await pass();
    await entering;
    answer({ body: { id: MINJI } });
    await asked;
    expect(server.called("PATCH", "/api/core/users/me/")).toBe(0);
  });

  test("a tab that heard nothing of it looks into the browser's store when it is shown again", async () => {
    logsInNext(MINJI, "session-minji");
    await left.logIn("minji", "조용한 바다");
    await storage.writeSession({ userId: SORA, sessionId: "session-sora", refreshToken: "refresh-sora" });
    logsInNext(SORA, "session-sora", "POST /api/core/tokens/refresh/");
    left.check();
    await pass();
    expect(left.userId).toBe(SORA);
    await storage.writeSession(null);
    left.check();
    await pass();
    expect(left.userId).toBeNull();
  });

  test("a renewal that finds another's session becomes that one's, and does not use the old token", async () => {
    logsInNext(MINJI, "session-minji");
    await left.logIn("minji", "조용한 바다");
    await storage.writeSession({ userId: SORA, sessionId: "session-sora", refreshToken: "refresh-sora" });
    server.routes.set("GET /api/core/users/me/", () => ({ body: { id: SORA } }));
    vi.setSystemTime(Date.now() + 3_600_000);
    await expect(left.rest.me()).rejects.toMatchObject({ status: 401 });
    expect(left.userId).toBe(SORA);
    expect(server.called("GET", "/api/core/users/me/")).toBe(0);
    await pass();
    const used = server.calls.filter(({ path }) => path.includes("refresh")).map(({ body }) => (body as { refresh_token: string }).refresh_token);
    expect(used.every((token) => token === "refresh-sora")).toBe(true);
  });
});

describe("what waits", () => {
  test("a refused message is shown in both tabs, and discarded in both", async () => {
    const [socket, other] = await bothOnline();
    const id = left.send(TALK, "안녕");
    expect(said(right)).toEqual([["안녕", null]]);
    socket.hear({ type: "error", ref: socket.last("chat_message")["ref"], code: "recipient_unavailable", detail: "" });
    await pass();
    expect(said(right)).toEqual([["안녕", "recipient_unavailable"]]);
    right.discard(id);
    expect([said(left), said(right)]).toEqual([[], []]);
    left.retry(id);
    right.retry(id);
    await pass(60_000);
    expect([...socket.all("chat_message"), ...other.all("chat_message")]).toHaveLength(1);
    expect(await storage.waiting(MINJI)).toEqual([]);
  });

  test("a tab that heard nothing does not send what was discarded", async () => {
    const [, socket] = await bothOnline();
    const deaf = minji(server, { storage, channel: null });
    await deaf.restore();
    const deafs = await comesOnline();
    socket.drop(1006);
    const id = right.send(TALK, "보내지 마");
    await pass();
    deafs.drop(1006);
    await pass(3_000);
    await comesOnline();
    server.socket.drop(1006);
    expect(said(deaf)).toEqual([["보내지 마", null]]);

    right.discard(id);
    await pass(9_000);
    const again = await comesOnline();
    expect(said(deaf)).toEqual([]);
    expect(again.all("chat_message")).toEqual([]);
  });

  test("what one tab has sent waits in no other", async () => {
    const [socket] = await bothOnline();
    const id = left.send(TALK, "안녕");
    socket.hear({ type: "ack", ref: socket.last("chat_message")["ref"], client_message_id: id, message: message(2, { sender_id: MINJI, client_message_id: id }) });
    await pass();
    expect(said(right)).toEqual([]);
  });

  test("a tab closed right after Enter leaves its message to the one that stays", async () => {
    const [, other] = await bothOnline();
    const id = left.send(TALK, "안녕");
    left.disconnect();
    await pass(9_000);
    expect(other.all("chat_message")).toEqual([]);
    await pass(2_000);
    expect(other.last("chat_message")).toMatchObject({ content: "안녕", client_message_id: id });
  });
});

describe("what stands in the box", () => {
  const box = (client: DoranClient) => client.conversation(TALK)!.draft;

  function savesDrafts(): string[] {
    const saved: string[] = [];
    server.routes.set(`PATCH /api/chat/conversations/${TALK}/`, (body) => {
      const { draft } = body as { draft: string };
      saved.push(draft);
      return { body: talk(1, { me: { ...talk(1).me, draft } }) };
    });
    return saved;
  }

  test("a tab closed 0.3 s after the last key has kept it, and the next page says it to the server", async () => {
    const saved = savesDrafts();
    await bothOnline();
    right.disconnect();
    left.write(TALK, { text: "내일" });
    left.write(TALK, { text: "내일 봐" });
    await pass(300);
    expect(await storage.drafts(MINJI)).toEqual([{ userId: MINJI, conversationId: TALK, text: "내일 봐", replyTo: null, edit: null, base: "" }]);
    left.disconnect();
    const next = minji(server, { storage });
    await next.restore();
    await comesOnline();
    expect(box(next)).toBe("내일 봐");
    await pass();
    expect(saved).toEqual(["내일 봐"]);
    expect(await storage.drafts(MINJI)).toEqual([]);
    expect(box(next)).toBe("내일 봐");
  });

  test("offline it is kept, and saved when the server is back", async () => {
    const [socket] = await bothOnline();
    server.routes.set(`PATCH /api/chat/conversations/${TALK}/`, () => "no network");
    socket.drop(1006);
    left.write(TALK, { text: "터널 안" });
    await pass(5_000);
    expect(await storage.drafts(MINJI)).toHaveLength(1);
    const saved = savesDrafts();
    server.sockets.at(-1)!.accept();
    server.sockets.at(-1)!.hear(ready(server));
    await pass();
    await answerSync(server);
    await pass();
    expect(saved).toEqual(["터널 안"]);
    expect(await storage.drafts(MINJI)).toEqual([]);
  });

  test("each key is in the other tab at once, a sent one is gone from both", async () => {
    const saved = savesDrafts();
    await bothOnline();
    left.write(TALK, { text: "안" });
    left.write(TALK, { text: "안녕" });
    expect(box(right)).toBe("안녕");
    await pass(2_000);
    expect([box(left), box(right), saved]).toEqual(["안녕", "안녕", ["안녕"]]);
    right.send(TALK, "안녕");
    expect([box(left), box(right)]).toEqual(["", ""]);
    await pass(30_000);
    expect([box(left), box(right), saved]).toEqual(["", "", ["안녕", ""]]);
    expect(await storage.drafts(MINJI)).toEqual([]);
  });

  test("what another device wrote or sent is shown, unless one writes here", async () => {
    const [socket] = await bothOnline();
    const says = (draft: string, seq: number) => socket.hear({ type: "conversation_updated", conversation: talk(1, { me: { ...talk(1).me, draft } }), state_seq: seq });
    says("전화기에서", 2);
    expect(box(left)).toBe("전화기에서");
    left.write(TALK, { text: "전화기에서 이어서" });
    says("", 3);
    expect(box(left)).toBe("전화기에서 이어서");
  });

  test("a key pressed while the server saves is not lost", async () => {
    await bothOnline();
    const answers: ((what: { body: unknown }) => void)[] = [];
    server.routes.set(`PATCH /api/chat/conversations/${TALK}/`, () => new Promise((resolve) => answers.push(resolve)));
    left.write(TALK, { text: "하나" });
    await pass(1_600);
    left.write(TALK, { text: "하나 둘" });
    answers[0]!({ body: talk(1, { me: { ...talk(1).me, draft: "하나" } }) });
    await pass();
    expect([box(left), box(right)]).toEqual(["하나 둘", "하나 둘"]);
    expect((await storage.drafts(MINJI)).map(({ text }) => text)).toEqual(["하나 둘"]);
    await pass(1_600);
    answers[1]!({ body: talk(1, { me: { ...talk(1).me, draft: "하나 둘" } }) });
    await pass();
    expect(await storage.drafts(MINJI)).toEqual([]);
  });

  test("a key draws neither the list nor the messages anew", async () => {
    await bothOnline();
    const drawn = vi.fn();
    left.on("conversations", drawn);
    left.on("conversation", drawn);
    const heard = vi.fn();
    left.on("draft", heard);
    for (let key = 1; key <= 20; key++) left.write(TALK, { text: "ㅋ".repeat(key) });
    expect(heard).toHaveBeenCalledTimes(20);
    expect(drawn).not.toHaveBeenCalled();
    await pass(1_000);
    expect(drawn).toHaveBeenCalledTimes(1);
  });

  test("two devices wrote while one had no line: both texts are kept", async () => {
    await bothOnline();
    right.disconnect();
    server.routes.set(`PATCH /api/chat/conversations/${TALK}/`, () => "no network");
    left.write(TALK, { text: "노트북에서" });
    await pass(300);
    left.disconnect();
    const saved = savesDrafts();
    const next = minji(server, { storage });
    await next.restore();
    await pass();
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    await answerSync(server, [line([message(1)], { me: { ...talk(1).me, draft: "전화기에서" } })]);
    await pass();
    expect(box(next)).toBe("전화기에서\n노트북에서");
    expect(saved).toEqual(["전화기에서\n노트북에서"]);
  });

  test("what another device went on with, or sent, is not doubled", async () => {
    const [socket] = await bothOnline();
    server.routes.set(`PATCH /api/chat/conversations/${TALK}/`, () => "no network");
    left.write(TALK, { text: "전화기에서 이어서 쓴 말" });
    for (const draft of ["전화기에서", ""]) {
      socket.hear({ type: "conversation_updated", conversation: talk(1, { me: { ...talk(1).me, draft } }), state_seq: 2 });
    }
    socket.drop(1006);
    await pass(2_000);
    const saved = savesDrafts();
    server.sockets.at(-1)!.accept();
    server.sockets.at(-1)!.hear(ready(server));
    await pass();
    await answerSync(server, [line([message(1)], { me: { ...talk(1).me, draft: "전화기에서" } })]);
    await pass();
    expect(saved).toEqual(["전화기에서 이어서 쓴 말"]);
    expect(box(left)).toBe("전화기에서 이어서 쓴 말");
  });

  test("a draft the server refuses stays in the browser", async () => {
    server.routes.set(`PATCH /api/chat/conversations/${TALK}/`, () => ({ status: 422, body: { code: "validation_failed" } }));
    await bothOnline();
    left.write(TALK, { text: "가".repeat(20_001) });
    await pass(60_000);
    expect(await storage.drafts(MINJI)).toHaveLength(1);
    expect(server.called("PATCH", `/api/chat/conversations/${TALK}/`)).toBeLessThan(5);
  });

  test("drafts of one person are not shown to the next", async () => {
    savesDrafts();
    await bothOnline();
    left.write(TALK, { text: "비밀" });
    logsInNext(SORA, "session-sora");
    await right.logIn("sora", "조용한 바다");
    await pass();
    for (const socket of server.sockets.slice(-2)) {
      socket.accept();
      socket.hear({ ...ready(server), user_id: SORA });
      await pass();
      socket.hear({ type: "sync", ref: socket.last("sync")["ref"], epoch: server.epoch, reset: false, state_seq: 1, has_more: false, conversations: [line([message(1)])] });
    }
    await pass(30_000);
    expect([box(left), box(right)]).toEqual(["", ""]);
    expect((await storage.drafts(MINJI)).map(({ text }) => text)).toEqual(["비밀"]);
  });
});

describe("whom one blocks", () => {
  test("a block in one tab, and its end, are seen in the other", async () => {
    const [socket, other] = await bothOnline();
    let blocked = [{ user_id: JUNHO, created_at: "" }];
    server.routes.set("GET /api/core/blocks/", () => ({ body: { results: blocked } }));
    server.routes.set(`PUT /api/core/blocks/${JUNHO}/`, () => ({ status: 204 }));
    await left.blocks.add(JUNHO);
    expect(left.blocks.has(JUNHO)).toBe(true);
    for (const one of [socket, other]) one.hear({ type: "conversation_updated", conversation: talk(1, { is_active: false }), state_seq: 2 });
    await pass();
    expect([left.blocks.has(JUNHO), right.blocks.has(JUNHO)]).toEqual([true, true]);
    blocked = [];
    for (const one of [socket, other]) one.hear({ type: "conversation_updated", conversation: talk(1), state_seq: 3 });
    await pass();
    expect([left.blocks.list, right.blocks.list]).toEqual([[], []]);
  });

  test("what the other one blocks is not known, and not mine", async () => {
    const [socket] = await bothOnline();
    server.routes.set("GET /api/core/blocks/", () => ({ body: { results: [] } }));
    socket.hear({ type: "conversation_updated", conversation: talk(1, { is_active: false }), state_seq: 2 });
    await pass();
    expect(left.blocks.has(JUNHO)).toBe(false);
  });
});
