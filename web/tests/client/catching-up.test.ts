/** Catching up: sync, changes, holes, another epoch; and the marks that follow. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Message } from "../../client/frames.ts";
import { answerSync, comeOnline, FakeServer, JUNHO, line, message, minji, MINJI, online, pass, ready, TALK, talk } from "./fake.ts";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => {
  vi.useRealTimers();
});

const live = (one: Message) => ({ type: "chat_message", conversation_id: TALK, message: one });
const seqs = (messages: readonly Message[]) => messages.map(({ seq }) => seq);

describe("sync", () => {
  test("asks with what it knows, again until nothing is left", async () => {
    const client = minji(server);
    await client.logIn("minji", "조용한 바다");
    await pass();
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    expect(server.socket.last("sync")).toMatchObject({ known: {}, epoch: "epoch-1", state_since: 0 });
    await answerSync(server, [line([message(1), message(2)])], { has_more: true, state_seq: 7 });
    expect(server.socket.last("sync")).toMatchObject({ known: { [TALK]: 2 }, state_since: 7 });
    await answerSync(server, [{ ...line([]), id: "another" }]);
    expect(server.socket.all("sync")).toHaveLength(2);
    expect(client.conversations.map(({ id }) => id).sort()).toEqual(["another", TALK]);
    expect(client.synced).toBe(true);
  });

  test("who knows 1,700 conversations asks part by part, and keeps the state that all parts have heard", async () => {
    const client = minji(server);
    const id = (number: number) => `talk-${String(number).padStart(4, "0")}`;
    const lines = Array.from({ length: 1_700 }, (_, number) => ({ ...line([]), id: id(number) }));
    (await online(server, client, lines)).drop(1006);
    await pass(1_000);
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    const said = () => {
      const { known, after, until, state_since } = server.socket.last("sync");
      return { count: Object.keys(known as object).length, after, until, state_since };
    };
    const state_since = said().state_since;
    expect(said()).toEqual({ count: 1_000, after: undefined, until: id(999), state_since });
    expect(JSON.stringify(server.socket.last("sync")).length).toBeLessThan(65_536);
    await answerSync(server, [{ ...line([]), id: "talk-0500-new" }], { has_more: true, state_seq: 21 });
    expect(said()).toEqual({ count: 1_000, after: undefined, until: id(998), state_since: 21 });
    await answerSync(server, [], { state_seq: 22 });
    expect(said()).toEqual({ count: 701, after: id(998), until: undefined, state_since });
    expect(client.synced).toBe(false);
    await answerSync(server, [], { state_seq: 30 });
    expect([client.synced, client.conversations.length]).toEqual([true, 1_701]);
    server.socket.drop(1006);
    await pass(2_000);
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    expect(said().state_since).toBe(22);
    await answerSync(server, [{ ...line([]), id: "only" }], { reset: true, state_seq: 3 });
    expect(said()).toEqual({ count: 1, after: undefined, until: undefined, state_since: 3 });
    await answerSync(server, [], { state_seq: 3 });
    expect(client.conversations.map((one) => one.id)).toEqual(["only"]);
  });

  test("a conversation of which nothing is held yet, with more than fits, is read as a whole", async () => {
    const client = minji(server);
    const socket = await online(server, client, []);
    server.routes.set(`GET /api/chat/conversations/${TALK}/`, () => "no network");
    socket.hear({ type: "conversation_created", conversation: talk(3) });
    await pass();
    socket.drop(1006);
    await pass(1_000);
    server.routes.set(`GET /api/chat/conversations/${TALK}/`, () => ({ body: talk(3, { messages: [message(2), message(3)] }) }));
    await comeOnline(server, [line([], { last_seq: 3, change_seq: 3, changes: { results: [message(1)], next_since: 1, has_more: true } })]);
    await pass();
    expect(seqs(client.conversation(TALK)!.timeline.messages)).toEqual([2, 3]);
  });

  test("after a cut only the difference is asked for and applied", async () => {
    const client = minji(server);
    (await online(server, client, [line([message(1), message(2)])])).drop(1006);
    await pass(1_000);
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    expect(server.socket.last("sync")["known"]).toEqual({ [TALK]: 2 });
    const edited = message(1, { change_seq: 4, content: "고친 말", edited_at: "2026-11-23T02:00:00Z" });
    await answerSync(server, [line([message(3), edited], { last_seq: 3, change_seq: 4, changes: { results: [message(3), edited], next_since: 4, has_more: false } })]);
    const { timeline } = client.conversation(TALK)!;
    expect(timeline.messages.map(({ content }) => content)).toEqual(["고친 말", "말 2", "말 3"]);
    expect(timeline.mark).toBe(4);
  });

  test("positions that a restore emptied are asked for like any hole, and are never unread", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1), message(2)], { me: { ...talk(2).me, last_read_seq: 1, last_delivered_seq: 2 } })]);
    const thread = client.conversation(TALK)!;
    expect(thread.unread).toBe(1);
    socket.hear(live(message(6)));
    socket.hear({ type: "conversation_updated", conversation_id: TALK, conversation: talk(6, { lost: [{ first_seq: 3, last_seq: 5 }] }) });
    expect(thread.unread).toBe(2);
    await pass(1_000);
    expect(socket.last("changes")).toMatchObject({ since: 2, epoch: "epoch-1" });
    const lost = [3, 4, 5].map((seq) => message(seq, { sender_id: "", is_deleted: true, content: "" }));
    socket.hear({ type: "changes", ref: socket.last("changes")["ref"], conversation_id: TALK, results: [...lost, message(6)], next_since: 6, has_more: false });
    await pass();
    expect([thread.timeline.high, thread.unread, thread.lastMessage!.seq]).toEqual([6, 2, 6]);
    client.markRead(TALK, 4);
    expect(thread.unread).toBe(1);
    client.markRead(TALK, 6);
    expect(thread.unread).toBe(0);
  });

  test("what was deleted is not unread, heard live or missed", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1), message(2), message(3)])]);
    const thread = client.conversation(TALK)!;
    expect(thread.unread).toBe(3);
    const gone = (seq: number, change_seq: number) => message(seq, { change_seq, content: "", is_deleted: true });
    socket.hear({ type: "message_deleted", conversation_id: TALK, message: gone(2, 4) });
    expect(thread.unread).toBe(2);
    socket.hear({ type: "conversation_updated", conversation_id: TALK, conversation: talk(3, { change_seq: 4, unread_count: 2 }) });
    socket.hear(live(message(4, { change_seq: 5 })));
    expect(thread.unread).toBe(3);
    socket.hear({ type: "message_deleted", conversation_id: TALK, message: gone(4, 6) });
    expect(thread.unread).toBe(2);
    client.markRead(TALK, 1);
    expect(thread.unread).toBe(1);
    client.markRead(TALK, 3);
    expect(thread.unread).toBe(0);
  });

  test("what was deleted further back than anything held is told by the summary", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(29), message(30)], { unread_count: 27 })]);
    const thread = client.conversation(TALK)!;
    expect(thread.unread).toBe(27);
    socket.hear({ type: "message_deleted", conversation_id: TALK, message: message(2, { change_seq: 31, content: "", is_deleted: true }) });
    socket.hear({ type: "conversation_updated", conversation_id: TALK, conversation: talk(30, { change_seq: 31, unread_count: 26 }) });
    expect(thread.unread).toBe(26);
    socket.hear(live(message(31, { change_seq: 32 })));
    expect(thread.unread).toBe(27);
    client.markRead(TALK, 28);
    expect(thread.unread).toBe(3);
  });

  test("more changes than fit in the answer are asked for", async () => {
    const client = minji(server);
    (await online(server, client, [line([message(1)])])).drop(1006);
    await pass(1_000);
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    await answerSync(server, [line([], { last_seq: 3, change_seq: 3, changes: { results: [message(2)], next_since: 2, has_more: true } })]);
    const { socket } = server;
    expect(socket.last("changes")).toMatchObject({ conversation_id: TALK, since: 2 });
    socket.hear({ type: "changes", ref: socket.last("changes")["ref"], conversation_id: TALK, results: [message(3)], next_since: 3, has_more: false });
    await pass();
    expect(seqs(client.conversation(TALK)!.timeline.messages)).toEqual([1, 2, 3]);
  });

  test("another epoch: what was held is thrown away and read anew, what waits is kept", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1), message(2), message(3)])]);
    client.send(TALK, "아직");
    socket.drop(1012);
    await pass(5_000);
    server.epoch = "epoch-2";
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    expect(server.socket.last("sync")).toMatchObject({ known: {}, epoch: "epoch-2" });
    await answerSync(server, [line([message(1, { content: "되살린 말" })])]);
    const thread = client.conversation(TALK)!;
    expect(thread.timeline.messages.map(({ content }) => content)).toEqual(["되살린 말"]);
    expect(thread.waiting.map(({ content }) => content)).toEqual(["아직"]);
  });

  test("a walk of changes names the epoch of its marks, on every page", async () => {
    const client = minji(server);
    (await online(server, client, [line([message(1)])])).drop(1012);
    await pass(5_000);
    server.epoch = "epoch-2";
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    await answerSync(server, [line([message(1)])]);
    const { socket } = server;
    socket.hear(live(message(4)));
    await pass(1_000);
    expect(socket.last("changes")).toMatchObject({ since: 1, epoch: "epoch-2" });
    socket.hear({ type: "changes", ref: socket.last("changes")["ref"], conversation_id: TALK, results: [message(2)], next_since: 2, has_more: true });
    await pass();
    expect(socket.last("changes")).toMatchObject({ since: 2, epoch: "epoch-2" });
    socket.hear({ type: "changes", ref: socket.last("changes")["ref"], conversation_id: TALK, results: [message(3), message(4)], next_since: 4, has_more: false });
    await pass();
    expect(seqs(client.conversation(TALK)!.timeline.messages)).toEqual([1, 2, 3, 4]);
  });

  test("reset in the answer does the same", async () => {
    const client = minji(server);
    (await online(server, client, [line([message(1), message(2)])])).drop(1006);
    await pass(1_000);
    server.socket.accept();
    server.socket.hear(ready(server));
    await pass();
    await answerSync(server, [line([message(1, { content: "새 말" })])], { reset: true });
    expect(client.conversation(TALK)!.timeline.messages.map(({ content }) => content)).toEqual(["새 말"]);
  });

  test("a mark the store never issued: that conversation is read as a whole", async () => {
    const client = minji(server);
    (await online(server, client, [line([message(1), message(2), message(3)])])).drop(1006);
    await pass(1_000);
    server.routes.set(`GET /api/chat/conversations/${TALK}/`, () => ({ body: talk(1, { messages: [message(1, { content: "남은 말" })] }) }));
    await comeOnline(server, [line([], { last_seq: 1, change_seq: 1, changes: { reset: true } })]);
    await pass();
    expect(client.conversation(TALK)!.timeline.messages.map(({ content }) => content)).toEqual(["남은 말"]);
  });
});

describe("live", () => {
  test("messages out of turn end up in order, each once", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    for (const seq of [3, 2, 3, 1]) socket.hear(live(message(seq)));
    await pass(300);
    expect(seqs(client.conversation(TALK)!.timeline.messages)).toEqual([1, 2, 3]);
    expect(socket.all("changes")).toEqual([]);
  });

  test("a hole is asked for, and nothing past it is claimed", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    await pass(100);
    socket.hear(live(message(3)));
    await pass(100);
    expect(socket.all("changes")).toEqual([]);
    await pass(200);
    expect(socket.last("changes")).toMatchObject({ conversation_id: TALK, since: 1 });
    expect(socket.all("mark_as_delivered").map((frame) => frame["up_to_seq"])).toEqual([1]);

    socket.hear({ type: "changes", ref: socket.last("changes")["ref"], conversation_id: TALK, results: [message(2), message(3)], next_since: 3, has_more: false });
    await pass(100);
    expect(seqs(client.conversation(TALK)!.timeline.messages)).toEqual([1, 2, 3]);
    expect(socket.last("mark_as_delivered")["up_to_seq"]).toBe(3);
  });

  test("a hole that the server cannot fill is asked for ever more rarely", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    socket.hear(live(message(3, { change_seq: 2 })));
    for (let second = 0; second < 300; second++) {
      await pass(100);
      const asked = socket.all("changes").at(-1);
      if (asked) socket.hear({ type: "changes", ref: asked["ref"], conversation_id: TALK, results: [], next_since: 2, has_more: false, reset: false });
      if (second % 50 === 0) socket.hear({ type: "pong" });
    }
    expect(socket.all("changes").length).toBeLessThan(9);
    expect(socket.last("mark_as_delivered")["up_to_seq"]).toBe(1);
  });

  test("a conversation I cleared has no hole where the cleared messages were", async () => {
    const client = minji(server);
    const cleared = { ...talk(0).me, hidden_before_seq: 6, last_read_seq: 5, last_delivered_seq: 5 };
    const socket = await online(server, client, [line([], { last_seq: 5, change_seq: 9, me: cleared, changes: { results: [], next_since: 9, has_more: false } })]);
    await pass(10_000);
    const thread = client.conversation(TALK)!;
    expect(thread.complete).toBe(true);
    expect(thread.unread).toBe(0);
    socket.hear(live(message(6, { change_seq: 10 })));
    await pass(1_000);
    expect(thread.unread).toBe(1);
    expect(socket.all("changes")).toEqual([]);
    expect(socket.last("mark_as_delivered")["up_to_seq"]).toBe(6);
  });

  test("a missed edit shows as a hole in the changes, and is asked for", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    socket.hear(live(message(2, { change_seq: 3 })));
    await pass(4_200);
    expect(socket.last("changes")).toMatchObject({ since: 1 });
    const edited = message(1, { change_seq: 2, content: "고친 말" });
    socket.hear({ type: "changes", ref: socket.last("changes")["ref"], conversation_id: TALK, results: [edited], next_since: 3, has_more: false });
    await pass(10_000);
    expect(client.conversation(TALK)!.timeline.get(1)!.content).toBe("고친 말");
    expect(socket.all("changes")).toHaveLength(1);
  });

  test("an older state never replaces a newer one, and a deletion is final", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    const { timeline } = client.conversation(TALK)!;
    socket.hear({ type: "message_updated", conversation_id: TALK, message: message(1, { change_seq: 3, content: "둘째 판" }) });
    socket.hear({ type: "message_updated", conversation_id: TALK, message: message(1, { change_seq: 2, content: "첫째 판" }) });
    expect(timeline.get(1)!.content).toBe("둘째 판");
    socket.hear({ type: "message_deleted", conversation_id: TALK, message: message(1, { change_seq: 3, content: "", is_deleted: true }) });
    socket.hear({ type: "message_updated", conversation_id: TALK, message: message(1, { change_seq: 4, content: "되살아난 말" }) });
    expect(timeline.get(1)).toMatchObject({ content: "", is_deleted: true });
  });

  test("a message of a conversation never seen brings the conversation", async () => {
    const client = minji(server);
    const socket = await online(server, client);
    server.routes.set(`GET /api/chat/conversations/${TALK}/`, () => ({ body: talk(1, { messages: [message(1)] }) }));
    socket.hear(live(message(1)));
    await pass(100);
    expect(client.conversation(TALK)!.unread).toBe(1);
    expect(socket.last("mark_as_delivered")).toMatchObject({ conversation_id: TALK, up_to_seq: 1 });
  });
});

describe("marks", () => {
  test("what arrived is delivered at once, and only once said", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1), message(2)])]);
    await pass(100);
    socket.hear(live(message(3)));
    socket.hear(live(message(4)));
    await pass(100);
    expect(socket.all("mark_as_delivered").map((frame) => frame["up_to_seq"])).toEqual([2, 4]);
    expect(socket.all("mark_as_read")).toEqual([]);
    expect(client.conversation(TALK)!.unread).toBe(4);
  });

  test("read is what the page says was seen; it implies delivered and never goes back", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1), message(2)])]);
    client.markRead(TALK, 2);
    client.markRead(TALK, 1);
    await pass(100);
    expect(socket.said.filter((frame) => String(frame["type"]).startsWith("mark_")).map(({ type, up_to_seq }) => [type, up_to_seq])).toEqual([["mark_as_read", 2]]);
    expect(client.conversation(TALK)!.unread).toBe(0);
  });

  test("a mark that was said, but that the server never heard, is said again", async () => {
    const client = minji(server);
    const first = await online(server, client, [line([message(1), message(2)])]);
    client.markRead(TALK, 2);
    await pass(100);
    expect(first.last("mark_as_read")["up_to_seq"]).toBe(2);
    first.drop(1006);
    await pass(1_000);
    const second = await comeOnline(server, []);
    await pass(100);
    expect(second.last("mark_as_read")["up_to_seq"]).toBe(2);
  });

  test("an older summary takes no mark back", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    socket.hear({ type: "message_read", conversation_id: TALK, user_id: JUNHO, up_to_seq: 1, message_id: null, timestamp: "" });
    socket.hear({ type: "message_read", conversation_id: TALK, user_id: MINJI, up_to_seq: 1, message_id: null, timestamp: "" });
    socket.hear({ type: "conversation_updated", conversation_id: TALK, conversation: talk(1, { is_active: false }) });
    const thread = client.conversation(TALK)!;
    expect(thread.isActive).toBe(false);
    expect(thread.peer.last_read_seq).toBe(1);
    expect(thread.unread).toBe(0);
  });

  test("a mark made without a line is said when it is back", async () => {
    const client = minji(server);
    const first = await online(server, client, [line([message(1), message(2)])]);
    first.drop(1006);
    client.markRead(TALK, 2);
    await pass(1_000);
    const second = await comeOnline(server, []);
    await pass(100);
    expect(second.last("mark_as_read")).toMatchObject({ conversation_id: TALK, up_to_seq: 2 });
  });

  test("준호's marks move forward only", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1)])]);
    const mark = (type: string, up_to_seq: number) => socket.hear({ type, conversation_id: TALK, user_id: JUNHO, up_to_seq, message_id: null, timestamp: "" });
    mark("message_read", 5);
    mark("message_delivered", 3);
    mark("message_read", 4);
    expect(client.conversation(TALK)!.peer).toMatchObject({ last_delivered_seq: 5, last_read_seq: 5 });
  });

  test("민지's own reading on another device clears the badge here", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(1), message(2)])]);
    expect(client.conversation(TALK)!.unread).toBe(2);
    socket.hear({ type: "message_read", conversation_id: TALK, user_id: MINJI, up_to_seq: 2, message_id: null, timestamp: "" });
    expect(client.conversation(TALK)!.unread).toBe(0);
  });
});

describe("history", () => {
  test("pages back until the beginning, even when two screens ask at once", async () => {
    const client = minji(server);
    await online(server, client, [line([message(3), message(4)])]);
    server.routes.set(`GET /api/chat/conversations/${TALK}/messages/`, () => ({ body: { count: 4, next: null, previous: null, results: [message(2), message(1)] } }));
    const thread = client.conversation(TALK)!;
    expect(thread.complete).toBe(false);
    await Promise.all([client.loadOlder(TALK), client.loadOlder(TALK)]);
    expect(seqs(thread.timeline.messages)).toEqual([1, 2, 3, 4]);
    expect(thread.complete).toBe(true);
    expect(await client.loadOlder(TALK)).toBe(false);
  });

  test("a page asked for before everything was read anew is not mixed in", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(3), message(4)])]);
    let answer: (body: unknown) => void = () => undefined;
    const slow = new Promise((resolve) => {
      answer = resolve;
    });
    vi.spyOn(client.rest, "messages").mockReturnValue(slow as ReturnType<typeof client.rest.messages>);
    const asked = client.loadOlder(TALK);
    server.routes.set(`GET /api/chat/conversations/${TALK}/`, () => ({ body: talk(9, { messages: [message(9)] }) }));
    socket.hear(live(message(6)));
    await pass(300);
    socket.hear({ type: "changes", ref: socket.last("changes")["ref"], conversation_id: TALK, results: [], next_since: 0, has_more: false, reset: true });
    await pass();
    answer({ results: [message(2), message(1)], next: null, previous: null });
    await asked;
    expect(seqs(client.conversation(TALK)!.timeline.messages)).toEqual([9]);
  });

  test("a change of a row not held is left for when one scrolls there", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([message(30), message(31)])]);
    socket.hear({ type: "message_updated", conversation_id: TALK, message: message(2, { change_seq: 32 }) });
    expect(seqs(client.conversation(TALK)!.timeline.messages)).toEqual([30, 31]);
    expect(client.conversation(TALK)!.timeline.mark).toBe(32);
  });
});

describe("typing", () => {
  test("is said once in four seconds, ended by rest, and silently by a message", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    for (let key = 0; key < 30; key++) {
      client.typing(TALK);
      await pass(100);
    }
    expect(socket.all("typing").map((frame) => frame["is_typing"])).toEqual([true]);
    await pass(5_100);
    expect(socket.all("typing").map((frame) => frame["is_typing"])).toEqual([true, false]);
    client.typing(TALK);
    client.send(TALK, "다 썼다");
    await pass(10_000);
    expect(socket.all("typing").map((frame) => frame["is_typing"])).toEqual([true, false, true]);
  });

  test("준호's typing is forgotten by itself, and ends with his message", async () => {
    const client = minji(server);
    const socket = await online(server, client, [line([])]);
    const typing = { type: "typing", conversation_id: TALK, user_id: JUNHO, is_typing: true };
    const thread = client.conversation(TALK)!;
    socket.hear(typing);
    expect(thread.peerIsTyping).toBe(true);
    await pass(12_100);
    expect(thread.peerIsTyping).toBe(false);
    socket.hear(typing);
    socket.hear(live(message(1)));
    expect(thread.peerIsTyping).toBe(false);
  });
});
