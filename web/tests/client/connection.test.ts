/** The socket: first frame, heartbeat, renewal, and when to come back. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CLOSES } from "../../client/errors.ts";
import { comeOnline, FakeServer, minji, online, pass, ready } from "./fake.ts";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => {
  vi.useRealTimers();
});

test("the token is the first frame, never part of the address", async () => {
  const client = minji(server);
  const socket = await online(server, client);
  expect(socket.said[0]).toEqual({ type: "auth", token: "access-1" });
  expect(client.status.connection).toBe("online");
});

test("no ready within ten seconds: leaves and tries again", async () => {
  const client = minji(server);
  await client.logIn("minji", "조용한 바다");
  await pass();
  const first = server.socket;
  first.accept();
  await pass(10_100);
  expect(first.closedWith).not.toBeNull();
  expect(client.status.connection).toBe("offline");
  await pass(5_000);
  expect(server.sockets).toHaveLength(2);
});

test("it beats, and a line that stays silent after a ping is given up", async () => {
  const client = minji(server);
  const socket = await online(server, client);
  await pass(12_600);
  expect(socket.all("ping")).toHaveLength(1);
  socket.hear({ type: "pong" });
  await pass(25_000);
  expect(socket.all("ping")).toHaveLength(2);
  await pass(10_100);
  expect(client.status.connection).toBe("offline");
  await pass(5_000);
  expect(server.sockets).toHaveLength(2);
});

test("before the token ends it is renewed on the same socket, without a new sync", async () => {
  const client = minji(server);
  const socket = await online(server, client);
  const beating = setInterval(() => socket.hear({ type: "pong" }), 5_000);
  await pass(541_000);
  clearInterval(beating);
  expect(socket.all("auth").map((frame) => frame["token"])).toEqual(["access-1", "access-2"]);
  socket.hear(ready(server));
  await pass();
  expect(socket.all("sync")).toHaveLength(1);
  expect(server.sockets).toHaveLength(1);
});

test("4401: comes back with a new token, not with the refused one", async () => {
  const client = minji(server);
  const first = await online(server, client);
  first.drop(4401);
  await pass(2_000);
  expect(server.sockets).toHaveLength(2);
  server.socket.accept();
  expect(server.socket.said[0]).toEqual({ type: "auth", token: "access-2" });
});

test("4401 and the session is over: says so and stays away", async () => {
  const client = minji(server);
  const ended = vi.fn();
  client.on("session", ended);
  const socket = await online(server, client);
  server.routes.set("POST /api/core/tokens/refresh/", () => ({ status: 401, body: { code: "invalid_refresh_token" } }));
  socket.drop(4401);
  await pass(60_000);
  expect(ended).toHaveBeenLastCalledWith({ userId: null, reason: "invalid_refresh_token" });
  expect(client.status.connection).toBe("stopped");
  expect(server.sockets).toHaveLength(1);
});

describe("the table of close codes", () => {
  for (const [code, { next, name }] of Object.entries(CLOSES)) {
    test(`${code} ${name}: ${next}`, async () => {
      const client = minji(server);
      const socket = await online(server, client);
      socket.drop(Number(code));
      await pass(40_000);
      expect(server.sockets.length > 1).toBe(next !== "stop");
    });
  }

  test("a code nobody listed is a lost line: comes back", async () => {
    const client = minji(server);
    const socket = await online(server, client);
    socket.drop(1006);
    await pass(5_000);
    expect(server.sockets).toHaveLength(2);
  });
});

test("each failure waits longer, up to eight seconds; being online again starts over", async () => {
  const client = minji(server);
  (await online(server, client)).drop(1006);
  const waits: number[] = [];
  for (let round = 0; round < 9; round++) {
    await pass();
    waits.push(client.status.retryAt! - Date.now());
    await pass(waits.at(-1)!);
    server.socket.drop(1006);
  }
  expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000]);

  await pass(4_000);
  await comeOnline(server);
  await pass(4_000);
  server.socket.drop(1006);
  expect(client.status.retryAt! - Date.now()).toBe(250);
});

test("too fast (4429) stays away at least five seconds, and as long as the server asked", async () => {
  const client = minji(server);
  const socket = await online(server, client);
  socket.hear({ type: "error", ref: null, code: "too_many_requests", detail: "", retry_after_ms: 20_000 });
  socket.drop(4429);
  await pass(19_900);
  expect(server.sockets).toHaveLength(1);
  await pass(1_000);
  expect(server.sockets).toHaveLength(2);
});

test("a woken machine does not wait for its turn", async () => {
  const client = minji(server);
  const socket = await online(server, client);
  socket.drop(1012);
  client.check();
  await pass();
  expect(server.sockets).toHaveLength(2);
});

test("leaving is final", async () => {
  const client = minji(server);
  const socket = await online(server, client);
  client.disconnect();
  expect(socket.closedWith).toBe(1000);
  await pass(120_000);
  expect(server.sockets).toHaveLength(1);
});
