/** 민지 sends: shown at once, kept, sent again under the same id, in order, until answered or refused for good. */

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DoranError } from "../../client/errors.ts";
import { MemoryStorage } from "../../client/storage.ts";
import { comeOnline, FakeServer, type FakeSocket, line, message, minji, MINJI, online, pass, TALK } from "./fake.ts";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => {
  vi.useRealTimers();
});

function stored(clientMessageId: unknown, seq: number) {
  return message(seq, { sender_id: MINJI, client_message_id: clientMessageId as string });
}

describe("while connected", () => {
  test("민지 sees her message at once, and once after the ack", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    const id = client.send(TALK, "안녕");
    expect(client.conversation(TALK)!.waiting.map(({ content }) => content)).toEqual(["안녕"]);

    const frame = socket.last("chat_message");
    expect(frame).toMatchObject({ conversation_id: TALK, content: "안녕", client_message_id: id });
    socket.hear({ type: "ack", ref: frame["ref"], client_message_id: id, message: stored(id, 2) });
    await pass();

    const thread = client.conversation(TALK)!;
    expect(thread.waiting).toEqual([]);
    expect(thread.timeline.messages.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(thread.unread).toBe(0);
  });

  test("two messages leave in the order they were written, the second after the first is answered", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    const first = client.send(TALK, "하나");
    const second = client.send(TALK, "둘");
    await pass();
    expect(socket.all("chat_message").map((frame) => frame["content"])).toEqual(["하나"]);

    socket.hear({ type: "ack", ref: socket.last("chat_message")["ref"], client_message_id: first, message: stored(first, 1) });
    await pass();
    expect(socket.last("chat_message")).toMatchObject({ content: "둘", client_message_id: second });
  });

  test("a refusal for good keeps the text, and does not hold up the next message", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    const refused = vi.fn();
    client.on("refused", refused);
    client.send(TALK, "하나");
    client.send(TALK, "둘");
    socket.hear({ type: "error", ref: socket.last("chat_message")["ref"], code: "recipient_unavailable", detail: "" });
    await pass();

    expect(refused).toHaveBeenCalledOnce();
    expect(client.conversation(TALK)!.waiting.map(({ problem }) => problem)).toEqual(["recipient_unavailable", null]);
    expect(socket.last("chat_message")["content"]).toBe("둘");
  });

  test("a refused message tried again keeps its id", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    const id = client.send(TALK, "하나");
    socket.hear({ type: "error", ref: socket.last("chat_message")["ref"], code: "recipient_unavailable", detail: "" });
    await pass();
    client.retry(id);
    await pass();
    expect(socket.all("chat_message").map((frame) => frame["client_message_id"])).toEqual([id, id]);
  });

  test("too fast: waits as long as the server asks, then sends the same id", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    const id = client.send(TALK, "하나");
    socket.hear({ type: "error", ref: socket.last("chat_message")["ref"], code: "too_many_requests", detail: "", retry_after_ms: 3_000 });
    await pass(2_900);
    expect(socket.all("chat_message")).toHaveLength(1);
    await pass(700);
    expect(socket.all("chat_message").map((frame) => frame["client_message_id"])).toEqual([id, id]);
  });

  test("no answer at all: the same id again on the same socket", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    const id = client.send(TALK, "하나");
    for (let second = 0; second < 17; second++) {
      await pass(1_000);
      socket.hear({ type: "pong" });
    }
    expect(socket.all("chat_message").map((frame) => frame["client_message_id"])).toEqual([id, id]);
  });

  test("the longest text there can be fits into a frame", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    client.send(TALK, "🫶".repeat(20_000));
    client.send(TALK, '"\\'.repeat(10_000));
    await pass();
    expect(new TextEncoder().encode(JSON.stringify(socket.last("chat_message"))).length).toBeLessThan(262_144);
    expect(client.waitingCount).toBe(2);
  });
});

describe("without a connection", () => {
  test("what 민지 writes waits, and goes out under the same id when the line is back", async () => {
    const client = minji(server);
    const first = await online(server, client, [line([message(1)])]);
    const id = client.send(TALK, "하나");
    first.drop(1006);
    await pass();
    expect(client.conversation(TALK)!.waiting).toHaveLength(1);
    expect(client.isSending(id)).toBe(false);

    await pass(1_000);
    const second = await comeOnline(server, []);
    await pass(1_000);
    expect(second).not.toBe(first);
    expect(second.last("chat_message")).toMatchObject({ client_message_id: id, content: "하나" });
  });

  test("the ack was lost but the message arrived: sync brings it, and nothing is shown twice", async () => {
    const client = minji(server);
    const first = await online(server, client, [line([message(1)])]);
    const id = client.send(TALK, "하나");
    first.drop(1006);
    await pass(1_000);
    await comeOnline(server, [line([stored(id, 2)], { last_seq: 2, change_seq: 2 })]);
    const thread = client.conversation(TALK)!;
    expect(thread.waiting).toEqual([]);
    expect(thread.timeline.messages.map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test("a closed tab: the next page finds what waited and sends it", async () => {
    const storage = new MemoryStorage();
    const before = minji(server, { storage });
    const socket = await online(server, before, [line([])]);
    socket.drop(1006);
    const id = before.send(TALK, "하나");
    await pass();
    before.disconnect();

    const after = minji(server, { storage });
    expect(await after.restore()).toBe(true);
    await pass();
    const next = await comeOnline(server, [line([])]);
    await pass();
    expect(next.last("chat_message")).toMatchObject({ client_message_id: id, content: "하나" });
    next.hear({ type: "ack", ref: next.last("chat_message")["ref"] as string, client_message_id: id, message: stored(id, 1) });
    await pass();
    expect(await storage.waiting(MINJI)).toEqual([]);
  });

  test("logging out forgets what waited", async () => {
    const storage = new MemoryStorage();
    const client = minji(server, { storage });
    const socket = await online(server, client, [line([])]);
    socket.drop(1006);
    client.send(TALK, "하나");
    await pass();
    await client.logOut();
    expect(await storage.waiting(MINJI)).toEqual([]);
    expect(await storage.readSession()).toBeNull();
    expect(server.called("POST", "/api/core/tokens/revoke/")).toBe(1);
  });
});

describe("refused for good, and still not stuck", () => {
  /** All that the server has, and one that it will have some day. */
  const table = readFileSync(new URL("../../../src/doran/contracts/errors.py", import.meta.url), "utf-8");
  const every = [...table.matchAll(/\(\s*"(\w+)",\s*\d{3},/g)].map(([, code]) => code!);
  const codes = [...every.filter((code) => !new DoranError(code).passing), "a_code_of_tomorrow"];

  const waits = (client: ReturnType<typeof minji>) => client.conversation(TALK)!.waiting.map(({ content, problem }) => [content, problem]);

  async function refused(code: string, more: { replyTo?: string } = {}) {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    const id = client.send(TALK, "저녁 먹자", more);
    await refuse(socket, code);
    expect(waits(client)).toEqual([["저녁 먹자", code]]);
    return { client, socket, id };
  }

  async function refuse(socket: FakeSocket, code: string): Promise<void> {
    socket.hear({ type: "error", ref: socket.last("chat_message")["ref"], code, detail: "" });
    await pass();
  }

  test("an answer to something that cannot be answered goes without the quote", async () => {
    const { client, socket, id } = await refused("not_found", { replyTo: "message-1" });
    client.retryWithoutQuote(id);
    await pass();
    expect(socket.last("chat_message")).toMatchObject({ content: "저녁 먹자", client_message_id: id });
    expect(socket.last("chat_message")).not.toHaveProperty("reply_to");
  });

  test("an id that is taken is left alone: the words go under another", async () => {
    const { client, socket, id } = await refused("idempotency_conflict");
    client.retry(id);
    await pass();
    const frame = socket.last("chat_message");
    expect(frame["content"]).toBe("저녁 먹자");
    expect(frame["client_message_id"]).not.toBe(id);
    expect(waits(client)).toEqual([["저녁 먹자", null]]);
  });

  test.each(codes)("%s: back into the box, after what stands there", async (code) => {
    const { client, id } = await refused(code, { replyTo: "message-1" });
    client.write(TALK, { text: "그리고" });
    client.takeBack(id);
    expect(waits(client)).toEqual([]);
    expect(client.conversation(TALK)).toMatchObject({ draft: "그리고\n저녁 먹자", writing: { replyTo: code === "message_deleted" ? null : "message-1" } });
  });

  test("what the server breaks on again and again holds up nobody for ever", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    client.send(TALK, "깨지는 말");
    client.send(TALK, "다음 말");
    for (let time = 0; time < 5; time++) {
      await refuse(socket, "internal_error");
      await pass(8_500);
      socket.hear({ type: "pong" });
    }
    expect(waits(client)).toEqual([["깨지는 말", "internal_error"], ["다음 말", null]]);
    expect(socket.last("chat_message")["content"]).toBe("다음 말");
    expect(socket.all("chat_message")).toHaveLength(6);
  });

  test("what is being sent is not taken back", async () => {
    const client = minji(server);
    await online(server, client, [line([message(1)])]);
    client.takeBack(client.send(TALK, "가는 중"));
    expect(client.conversation(TALK)!.draft).toBe("");
    expect(waits(client)).toEqual([["가는 중", null]]);
  });
});
