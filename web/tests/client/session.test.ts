/** One rotation at a time, in one tab and in many; what an answer lost on the way does; the end of a session. */

import "fake-indexeddb/auto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BrowserStorage, MemoryStorage } from "../../client/storage.ts";
import { FakeServer, minji, MINJI, pass, tabs } from "./fake.ts";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"] });
  server = new FakeServer();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A server that knows which refresh token is the newest, and ends the session when an older one comes. */
function strict(): { current: string; reused: number } {
  const state = { current: "refresh-1", reused: 0 };
  const give = server.routes.get("POST /api/core/tokens/refresh/")!;
  server.routes.set("POST /api/core/tokens/refresh/", (body) => {
    if ((body as { refresh_token: string }).refresh_token !== state.current) {
      state.reused++;
      return { status: 401, body: { code: "refresh_token_reused" } };
    }
    const answer = give(body) as { body: { refresh_token: string } };
    state.current = answer.body.refresh_token;
    return answer;
  });
  return state;
}

test("the cookie of the device goes with log-ins and with nothing else", async () => {
  const client = minji(server);
  await client.logIn("minji", "조용한 바다");
  server.routes.set("GET /api/core/users/me/", () => ({ body: { id: MINJI } }));
  await client.rest.me();
  vi.setSystemTime(Date.now() + 3_600_000);
  await client.rest.me();
  expect(server.called("POST", "/api/core/tokens/refresh/")).toBe(1);
  const withCookie = server.calls.filter((call) => call.credentials !== "omit");
  expect(withCookie.map((call) => [call.path, call.credentials])).toEqual([["/api/core/tokens/", "same-origin"]]);
});

test("ten calls with a stale token make one rotation", async () => {
  const client = minji(server);
  await client.logIn("minji", "조용한 바다");
  server.routes.set("GET /api/core/users/me/", () => ({ body: { id: MINJI } }));
  const state = strict();
  vi.setSystemTime(Date.now() + 3_600_000);
  await Promise.all(Array.from({ length: 10 }, () => client.rest.me()));
  expect(server.called("POST", "/api/core/tokens/refresh/")).toBe(1);
  expect(state.reused).toBe(0);
});

test("two tabs that renew at the same time share one rotation", async () => {
  const storage = new MemoryStorage();
  const [left, right] = tabs(2);
  const one = minji(server, { storage, channel: left! });
  await one.logIn("minji", "조용한 바다");
  const two = minji(server, { storage, channel: right! });
  await two.restore();
  server.routes.set("GET /api/core/users/me/", () => ({ body: { id: MINJI } }));
  const state = strict();
  vi.setSystemTime(Date.now() + 3_600_000);
  await Promise.all([one.rest.me(), two.rest.me(), one.rest.me(), two.rest.me()]);
  expect(state.reused).toBe(0);
  expect(server.called("POST", "/api/core/tokens/refresh/")).toBe(1);
});

test("tabs that cannot talk still never use a token twice", async () => {
  const storage = new BrowserStorage("deaf-tabs");
  const one = minji(server, { storage });
  await one.logIn("minji", "조용한 바다");
  const two = minji(server, { storage: new BrowserStorage("deaf-tabs") });
  await two.restore();
  server.routes.set("GET /api/core/users/me/", () => ({ body: { id: MINJI } }));
  const state = strict();
  vi.setSystemTime(Date.now() + 3_600_000);
  const asked = Promise.all([one.rest.me(), two.rest.me()]);
  for (let turn = 0; turn < 40; turn++) {
    await pass(50);
    await new Promise((wake) => setImmediate(wake));
  }
  await asked;
  expect(state.reused).toBe(0);
  expect(server.called("POST", "/api/core/tokens/refresh/")).toBe(2);
});

test("an access token the server refuses is renewed once, and the call made again", async () => {
  const client = minji(server);
  await client.logIn("minji", "조용한 바다");
  server.routes.set("GET /api/core/users/me/", () => (server.calls.at(-1)!.authorization === "Bearer access-1" ? { status: 401, body: { code: "not_authenticated" } } : { body: { id: MINJI } }));
  expect((await client.rest.me()).id).toBe(MINJI);
  expect(server.called("GET", "/api/core/users/me/")).toBe(2);
});

test("an answer lost on the way is asked for again under the same key", async () => {
  const client = minji(server);
  await client.logIn("minji", "조용한 바다");
  const give = server.routes.get("POST /api/core/tokens/refresh/")!;
  let lost = 1;
  server.routes.set("POST /api/core/tokens/refresh/", (body) => (lost-- > 0 ? "no network" : give(body)));
  server.routes.set("GET /api/core/users/me/", () => ({ body: { id: MINJI } }));
  vi.setSystemTime(Date.now() + 3_600_000);
  const asked = client.rest.me();
  await pass(1_000);
  await asked;
  const keys = server.calls.filter(({ path }) => path.includes("refresh")).map(({ key }) => key);
  expect(keys).toHaveLength(2);
  expect(keys[0]).toBeTruthy();
  expect(keys[1]).toBe(keys[0]);
});

test("without a network ten calls wait for the same three tries", async () => {
  const client = minji(server);
  await client.logIn("minji", "조용한 바다");
  server.routes.set("POST /api/core/tokens/refresh/", () => "no network");
  vi.setSystemTime(Date.now() + 3_600_000);
  const asked = Promise.allSettled(Array.from({ length: 10 }, () => client.rest.me()));
  await pass(3_000);
  expect((await asked).every(({ status }) => status === "rejected")).toBe(true);
  expect(server.called("POST", "/api/core/tokens/refresh/")).toBe(3);
});

test("without a network the session is kept, and tried again later", async () => {
  const storage = new MemoryStorage();
  const client = minji(server, { storage });
  await client.logIn("minji", "조용한 바다");
  server.routes.set("POST /api/core/tokens/refresh/", () => "no network");
  vi.setSystemTime(Date.now() + 3_600_000);
  const asked = expect(client.rest.me()).rejects.toMatchObject({ code: "network" });
  await pass(3_000);
  await asked;
  expect((await storage.readSession())?.refreshToken).toBe("refresh-1");
  expect(client.userId).toBe(MINJI);
});

test("a reused refresh token ends the session here, and what waits stays for the next log-in", async () => {
  const storage = new MemoryStorage();
  const client = minji(server, { storage });
  await client.logIn("minji", "조용한 바다");
  client.send("talk", "아직");
  await pass();
  const ended = vi.fn();
  client.on("session", ended);
  server.routes.set("POST /api/core/tokens/refresh/", () => ({ status: 401, body: { code: "refresh_token_reused" } }));
  vi.setSystemTime(Date.now() + 3_600_000);
  await expect(client.rest.me()).rejects.toMatchObject({ status: 401 });
  expect(ended).toHaveBeenCalledWith({ userId: null, reason: "refresh_token_reused" });
  expect(await storage.readSession()).toBeNull();
  expect(await storage.waiting(MINJI)).toHaveLength(1);
});

test("logging out in one tab logs out the others", async () => {
  const storage = new MemoryStorage();
  const [left, right] = tabs(2);
  const one = minji(server, { storage, channel: left! });
  await one.logIn("minji", "조용한 바다");
  const two = minji(server, { storage, channel: right! });
  await two.restore();
  const ended = vi.fn();
  two.on("session", ended);
  await one.logOut();
  expect(ended).toHaveBeenCalledWith({ userId: null, reason: "logged_out_elsewhere" });
  expect(two.userId).toBeNull();
});

/** A server that answers lost at these tries, counted from one, and gives the same successor to the same key. */
function losing(...lost: number[]): { tries: number; reused: number } {
  const state = { tries: 0, reused: 0 };
  let [current, key, successor] = ["refresh-1", "", ""];
  server.routes.set("POST /api/core/tokens/refresh/", (body) => {
    const asked = { token: (body as { refresh_token: string }).refresh_token, key: server.calls.at(-1)!.key ?? "" };
    state.tries++;
    if (asked.token === current) [current, key, successor] = [`${current}+`, asked.key, `${current}+`];
    else if (`${asked.token}+` !== current || asked.key !== key) {
      state.reused++;
      return { status: 401, body: { code: "refresh_token_reused" } };
    }
    if (lost.includes(state.tries)) return "no network";
    return { body: { access_token: `access-${state.tries}`, refresh_token: successor, token_type: "Bearer", expires_in: 600, user_id: MINJI, session_id: "session-1" } };
  });
  server.routes.set("GET /api/core/users/me/", () => ({ body: { id: MINJI } }));
  return state;
}

test("a tab closed while it renewed, opened again the next day, is still logged in", async () => {
  const storage = new MemoryStorage();
  const client = minji(server, { storage });
  await client.logIn("minji", "조용한 바다");
  const state = losing(1, 2, 3);
  vi.setSystemTime(Date.now() + 3_600_000);
  const asked = expect(client.rest.me()).rejects.toMatchObject({ code: "network" });
  await pass(3_000);
  await asked;
  client.disconnect();
  vi.setSystemTime(Date.now() + 86_400_000);
  const opened = minji(server, { storage });
  expect(await opened.restore()).toBe(true);
  expect((await opened.rest.me()).id).toBe(MINJI);
  expect(state).toEqual({ tries: 4, reused: 0 });
  expect((await storage.readSession())?.renewalKey).toBeUndefined();
});

test("a tab closed while it renewed leaves its renewal to another one that is open", async () => {
  const storage = new MemoryStorage();
  const [left, right] = tabs(2);
  const closing = minji(server, { storage, channel: left! });
  await closing.logIn("minji", "조용한 바다");
  const staying = minji(server, { storage, channel: right! });
  await staying.restore();
  const state = losing(1, 2, 3);
  vi.setSystemTime(Date.now() + 3_600_000);
  const both = Promise.allSettled([closing.rest.me(), staying.rest.me()]);
  await pass(3_000);
  await both;
  expect(state).toMatchObject({ tries: 4, reused: 0 });
  expect(staying.userId).toBe(MINJI);
});

test("answers lost at many renewals in a row cost nothing", async () => {
  const client = minji(server);
  await client.logIn("minji", "조용한 바다");
  const state = losing(1, 3, 4, 6);
  for (let hour = 1; hour <= 4; hour++) {
    vi.setSystemTime(Date.now() + 3_600_000);
    const asked = client.rest.me();
    await pass(3_000);
    expect((await asked).id).toBe(MINJI);
  }
  expect(state).toEqual({ tries: 8, reused: 0 });
});
