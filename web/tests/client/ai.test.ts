/** The AI as the client tells it: what is offered, an answer that grows piece by piece, and what both allow. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { DoranClient } from "../../client/client.ts";
import type { Consent, Job } from "../../client/frames.ts";
import { comeOnline, type FakeSocket, FakeServer, line, message, minji, online, pass, TALK } from "./fake.ts";

const OFFER = { kinds: ["reply", "summarize", "translate"], assistant: { user_id: "doran", display_name: "도란" }, provider: { name: "local", is_outside: false } };
const AGREED: Consent = { conversation_id: TALK, mine: "on_demand", theirs: "on_demand", agreed: "on_demand", provider: "local", is_outside: false };

let server: FakeServer;
let client: DoranClient;
let socket: FakeSocket;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});
afterEach(() => {
  vi.useRealTimers();
});

function job(more: Partial<Job> = {}): Job {
  return { id: "job", kind: "summarize", state: "running", conversation_id: TALK, message_id: null, attempt: 1, partial: "", partial_seq: 0, result: null, failure_code: "", created_at: "2026-11-23T01:00:00Z", updated_at: "2026-11-23T01:00:00Z", ...more };
}

const done = (text: string, more: Partial<Job> = {}) => job({ state: "succeeded", result: { text }, ...more });
const delta = (seq: number, text: string, attempt = 1) => ({ type: "ai.delta", job_id: "job", kind: "summarize", conversation_id: TALK, attempt, seq, text });
const reads = () => server.called("GET", "/api/ai/jobs/job/");
const text = () => client.ai.job("job")?.partial;

/** 민지 is online with a server that offers this, and has these jobs. */
async function meets(offer: object | null = OFFER, jobs: readonly Job[] = []): Promise<void> {
  if (offer) server.routes.set("GET /api/ai/", () => ({ body: offer }));
  server.routes.set("GET /api/ai/jobs/", () => ({ body: { results: jobs, next: null } }));
  server.routes.set("POST /api/ai/jobs/", () => ({ status: 202, body: job({ state: "queued", attempt: 0 }) }));
  server.routes.set("GET /api/ai/jobs/job/", () => ({ body: job() }));
  client = minji(server);
  socket = await online(server, client, [line([message(1)])]);
  await pass();
}

describe("what is offered", () => {
  test("is asked for once connected, and told", async () => {
    await meets();
    expect(client.ai.offers("translate")).toBe(true);
    expect(client.ai.offers("ask")).toBe(false);
    expect(client.ai.assistant?.user_id).toBe("doran");
  });

  test("is nothing where there is no AI, and no job is asked for", async () => {
    await meets(null);
    expect(client.ai.offer.kinds).toEqual([]);
    expect(client.ai.isThere).toBe(false);
    expect(client.ai.assistant).toBeNull();
    expect(server.called("GET", "/api/ai/jobs/")).toBe(0);
    await pass(60_000);
    expect(server.called("GET", "/api/ai/")).toBe(1);
  });

  test("is looked at again while ai is away, and when a question finds it switched off", async () => {
    await meets(null);
    server.routes.set("GET /api/ai/", () => ({ status: 503, body: { code: "unavailable" } }));
    await client.ai.look();
    server.routes.set("GET /api/ai/", () => ({ body: OFFER }));
    await pass(15_000);
    expect(client.ai.offers("reply")).toBe(true);

    server.routes.set("POST /api/ai/jobs/", () => ({ status: 503, body: { code: "ai_off" } }));
    server.routes.set("GET /api/ai/", () => ({ body: { kinds: [], assistant: OFFER.assistant, provider: null, is_off: true } }));
    await expect(client.ai.ask({ kind: "reply", conversation_id: TALK })).rejects.toMatchObject({ code: "ai_off" });
    await pass();
    expect(client.ai.assistant).toBeNull();
    expect(client.ai.isThere, "one can still see and take back what was allowed").toBe(true);
  });
});

describe("the operator's switch", () => {
  const OFF = { kinds: [], assistant: null, provider: OFFER.provider, translation_engines: [], is_off: true };

  test("is told by a frame: nothing is asked for, and everything comes back the same way", async () => {
    await meets();
    const asked = server.called("GET", "/api/ai/");
    socket.hear({ type: "ai.offer", offer: OFF });
    expect(client.ai.assistant).toBeNull();
    expect(client.ai.offers("summarize")).toBe(false);
    expect(client.ai.isThere).toBe(true);
    socket.hear({ type: "ai.offer", offer: { ...OFFER, is_off: false } });
    expect(client.ai.assistant?.user_id).toBe("doran");
    await pass(60_000);
    expect(server.called("GET", "/api/ai/")).toBe(asked);
  });

  test("is newer than an answer that is still on its way", async () => {
    await meets();
    const looked = client.ai.look();
    socket.hear({ type: "ai.offer", offer: OFF });
    await looked;
    expect(client.ai.offers("summarize")).toBe(false);
  });
});

describe("asking", () => {
  test("a question whose answer was lost is asked again under the same key", async () => {
    await meets();
    let calls = 0;
    server.routes.set("POST /api/ai/jobs/", () => (++calls < 3 ? "no network" : { status: 202, body: job() }));
    const asked = client.ai.ask({ kind: "summarize", conversation_id: TALK });
    await pass(5_000);
    expect((await asked).id).toBe("job");
    const keys = server.calls.filter(({ method, path }) => method === "POST" && path === "/api/ai/jobs/").map(({ body }) => (body as { idempotency_key: string }).idempotency_key);
    expect(new Set(keys).size).toBe(1);
    expect(keys).toHaveLength(3);
  });

  test("a refusal is not asked again", async () => {
    await meets();
    server.routes.set("POST /api/ai/jobs/", () => ({ status: 403, body: { code: "consent_needed" } }));
    await expect(client.ai.ask({ kind: "summarize", conversation_id: TALK })).rejects.toMatchObject({ code: "consent_needed" });
    expect(server.called("POST", "/api/ai/jobs/")).toBe(1);
  });

  test("cancelled is cancelled; what ended a moment before keeps its end", async () => {
    await meets();
    await client.ai.ask({ kind: "summarize", conversation_id: TALK });
    server.routes.set("POST /api/ai/jobs/job/cancel/", () => ({ status: 409, body: { code: "conflict" } }));
    server.routes.set("GET /api/ai/jobs/job/", () => ({ body: done("다 됐다") }));
    await client.ai.cancel("job");
    expect(client.ai.job("job")).toMatchObject({ state: "succeeded", result: { text: "다 됐다" } });
  });
});

describe("an answer grows", () => {
  beforeEach(() => meets());

  test("piece by piece, each once and in its place, and ends with the job", async () => {
    await client.ai.ask({ kind: "summarize", conversation_id: TALK });
    const ended = client.ai.ended("job");
    for (const piece of [delta(1, "가"), delta(1, "가"), delta(3, "다"), delta(2, "나")]) socket.hear(piece);
    expect(text()).toBe("가나다");
    socket.hear({ type: "ai.job", job: done("가나다라") });
    expect((await ended).result?.text).toBe("가나다라");
    socket.hear(delta(4, "늦은 조각"));
    expect(client.ai.job("job")?.result?.text).toBe("가나다라");
    await pass(60_000);
    expect(reads()).toBe(0);
  });

  test("from the start with a new attempt; pieces of the old one are nothing", () => {
    for (const piece of [delta(1, "헛"), delta(1, "새", 2), delta(2, "말"), delta(2, "글", 2)]) socket.hear(piece);
    expect(text()).toBe("새글");
  });

  test("a hole reads the job, once, and goes on from there", async () => {
    socket.hear(delta(1, "가"));
    socket.hear(delta(4, "라"));
    server.routes.set("GET /api/ai/jobs/job/", () => ({ body: job({ partial: "가나다", partial_seq: 3 }) }));
    await pass(200);
    expect(reads()).toBe(1);
    expect(text()).toBe("가나다라");
  });

  test("a job first heard of in its middle is read", async () => {
    server.routes.set("GET /api/ai/jobs/job/", () => ({ body: job({ partial: "가나", partial_seq: 2 }) }));
    socket.hear(delta(3, "다"));
    await pass(200);
    expect(text()).toBe("가나다");
  });

  test("a read that was overtaken takes nothing back", async () => {
    socket.hear(delta(1, "가"));
    socket.hear(delta(2, "나"));
    socket.hear({ type: "ai.job", job: job({ partial: "가", partial_seq: 1 }) });
    expect(text()).toBe("가나");
    socket.hear({ type: "ai.job", job: done("가나다") });
    socket.hear({ type: "ai.job", job: job() });
    expect(client.ai.job("job")?.state).toBe("succeeded");
  });

  test("frames are hints: a silent job is read, ever less often, until it has ended", async () => {
    await client.ai.ask({ kind: "summarize", conversation_id: TALK });
    await pass(60_000);
    const silent = reads();
    expect(silent).toBeGreaterThan(3);
    expect(silent).toBeLessThan(8);
    server.routes.set("GET /api/ai/jobs/job/", () => ({ body: done("끝") }));
    await pass(15_000);
    expect(client.ai.job("job")?.state).toBe("succeeded");
    const all = reads();
    await pass(60_000);
    expect(reads()).toBe(all);
  });

  test("a job that is gone has failed", async () => {
    await client.ai.ask({ kind: "summarize", conversation_id: TALK });
    const ended = client.ai.ended("job");
    server.routes.set("GET /api/ai/jobs/job/", () => ({ status: 404, body: { code: "not_found" } }));
    await pass(4_000);
    expect(await ended).toMatchObject({ state: "failed", failure_code: "not_found" });
  });

  test("after a cut, running jobs are read again, and those of elsewhere are found", async () => {
    socket.hear(delta(1, "가"));
    socket.drop(1006);
    server.routes.set("GET /api/ai/jobs/job/", () => ({ body: done("가나다") }));
    server.routes.set("GET /api/ai/jobs/", () => ({ body: { results: [job({ id: "other", kind: "reply" })], next: null } }));
    await pass(1_000);
    socket = await comeOnline(server, []);
    await pass();
    expect(client.ai.job("job")?.result?.text).toBe("가나다");
    expect(client.ai.newest(TALK, "reply")?.id).toBe("other");
  });

  test("whoever logs out leaves nothing behind", async () => {
    socket.hear(delta(1, "비밀"));
    await client.logOut();
    expect(client.ai.job("job")).toBeUndefined();
    expect(client.ai.offer.kinds).toEqual([]);
    await pass(60_000);
    expect(reads()).toBe(0);
  });
});

test("what comes after one has left is nobody's", async () => {
  await meets();
  const late = [client.ai.look(), client.ai.ask({ kind: "summarize", conversation_id: TALK })];
  await Promise.all([client.logOut(), Promise.allSettled(late), pass()]);
  expect(client.ai.offer.kinds).toEqual([]);
  expect(client.ai.job("job")).toBeUndefined();
  await pass(60_000);
  expect(reads()).toBe(0);
});

test("consent is what the server says, and a frame is effective at once", async () => {
  await meets();
  server.routes.set(`GET /api/ai/consents/${TALK}/`, () => ({ body: AGREED }));
  server.routes.set(`PUT /api/ai/consents/${TALK}/`, (body) => ({ body: { ...AGREED, mine: (body as { scope: string }).scope } }));
  expect(client.ai.consent(TALK)).toBeUndefined();
  await client.ai.lookUpConsent(TALK);
  expect(client.ai.consent(TALK)).toEqual(AGREED);
  await client.ai.allow(TALK, "history");
  expect(client.ai.consent(TALK)?.mine).toBe("history");
  const heard: Consent[] = [];
  client.on("consent", ({ consent }) => heard.push(consent));
  socket.hear({ type: "ai.consent", consent: { ...AGREED, theirs: "off", agreed: "off" } });
  expect(heard).toHaveLength(1);
  expect(client.ai.consent(TALK)?.agreed).toBe("off");
});

test("frames nobody knows yet are harmless", async () => {
  await meets();
  socket.hear({ type: "ai.tomorrow", anything: [1, 2] });
  socket.hear(delta(1, "가"));
  expect(text()).toBe("가");
  expect(client.status.connection).toBe("online");
});
