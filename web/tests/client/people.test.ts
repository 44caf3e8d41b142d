/** Names and faces follow what the server says of them, also where an answer or the line was slower. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { User } from "../../client/frames.ts";
import { answerSync, FakeServer, JUNHO, line, message, MINJI, minji, online, pass, ready, TALK } from "./fake.ts";

let server: FakeServer;
let answers: (() => void)[];
let name: string;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  answers = [];
  name = "준호";
  for (const id of [JUNHO, MINJI]) {
    server.routes.set(`GET /api/core/users/${id}/`, () => {
      const answer = { body: person(id, name) };
      return new Promise((resolve) => answers.push(() => resolve(answer)));
    });
  }
});
afterEach(() => {
  vi.useRealTimers();
});

function person(id: string, display_name: string): User {
  return { id, username: "junho", profile: { display_name, avatar_url: null, status_message: "" } };
}

async function answer(): Promise<void> {
  await pass();
  for (const give of answers.splice(0)) give();
  await pass();
}

const renamed = (display_name: string, user_id = JUNHO) => ({ type: "user_updated", user_id, profile: { display_name, avatar_url: null, status_message: "제주" } });

test("a new name is shown at once, and everybody who shows it hears of it", async () => {
  const client = minji(server);
  const socket = await online(server, client, [line([message(1)])]);
  client.people.get(JUNHO);
  await answer();
  const heard = vi.fn();
  client.on("person", heard);
  socket.hear(renamed("이준호"));
  expect(client.people.get(JUNHO)).toMatchObject({ username: "junho", profile: { display_name: "이준호", status_message: "제주" } });
  expect(heard).toHaveBeenCalledWith({ userId: JUNHO });
});

test("my own new name, given on another device, keeps what only I see", async () => {
  const client = minji(server);
  const socket = await online(server, client);
  client.people.learn({ ...person(MINJI, "민지"), profile: { ...person(MINJI, "민지").profile, locale: "ko" } });
  socket.hear(renamed("김민지", MINJI));
  expect(client.people.get(MINJI)?.profile).toMatchObject({ display_name: "김민지", locale: "ko" });
});

test("an answer that was on its way when the name changed does not bring the old one back", async () => {
  const client = minji(server);
  const socket = await online(server, client, [line([message(1)])]);
  client.people.get(JUNHO);
  await pass();
  name = "이준호";
  socket.hear(renamed("이준호"));
  await answer();
  await answer();
  expect(client.people.get(JUNHO)?.profile.display_name).toBe("이준호");
});

test("whose account was deleted is nobody with a name any more", async () => {
  const client = minji(server);
  const socket = await online(server, client, [line([message(1)])]);
  client.people.get(JUNHO);
  await answer();
  const heard = vi.fn();
  client.on("person", heard);
  socket.hear({ type: "user_updated", user_id: JUNHO, profile: null });
  expect(client.people.get(JUNHO)).toMatchObject({ kind: "erased", username: "", profile: { display_name: "" } });
  expect(heard).toHaveBeenCalledWith({ userId: JUNHO });
});

test("who was erased while nobody was there to hear is told from who is not known", async () => {
  const client = minji(server);
  await online(server, client, [line([message(1)])]);
  const gone = (code: string) => () => ({ status: 404, body: { type: "", title: "", status: 404, code } });
  server.routes.set(`GET /api/core/users/${JUNHO}/`, gone("user_erased"));
  server.routes.set("GET /api/core/users/foreign/", gone("not_found"));
  client.people.get(JUNHO);
  client.people.get("foreign");
  await pass();
  expect(client.people.get(JUNHO)?.kind).toBe("erased");
  expect(client.people.get("foreign")).toBeNull();
});

test("whoever was never asked for is not asked for now", async () => {
  const client = minji(server);
  const socket = await online(server, client, [line([message(1)])]);
  socket.hear(renamed("이준호"));
  await pass();
  expect(server.called("GET", "/api/core/users/")).toBe(0);
  expect(client.conversation(TALK)).toBeDefined();
});

test("what changed while the line was cut is asked for after it", async () => {
  const client = minji(server);
  const socket = await online(server, client, [line([message(1)])]);
  client.people.get(JUNHO);
  await answer();
  name = "이준호";
  socket.drop(1006);
  await pass(2_000);
  server.socket.accept();
  server.socket.hear(ready(server));
  await pass();
  await answerSync(server);
  await answer();
  expect(client.people.get(JUNHO)?.profile.display_name).toBe("이준호");
  const asked = server.called("GET", `/api/core/users/${JUNHO}/`);
  server.socket.hear({ type: "chat_message", message: message(2) });
  await pass();
  expect(server.called("GET", `/api/core/users/${JUNHO}/`)).toBe(asked);
});
