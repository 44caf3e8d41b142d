// @vitest-environment happy-dom
/** What the page does with answers: it never sends by itself, never overwrites, and makes nothing of them but text. */

import { render } from "lit";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Asked } from "../../app/ai/asked.ts";
import { DoranSummary } from "../../app/ai/summary.ts";
import { DoranAnswering, isAnswered } from "../../app/ai/answering.ts";
import { forgetTranslations, isTranslated, targetFor, wantTranslation } from "../../app/ai/translation.ts";
import { DoranTranslation } from "../../app/ai/translation.ts";
import { Piece, use } from "../../app/lib/piece.ts";
import { answer, prose } from "../../app/lib/prose.ts";
import { DoranComposer } from "../../app/parts/composer.ts";
import type { Consent, DoranClient, Job } from "../../client/index.ts";
import { FakeServer, type FakeSocket, JUNHO, line, message, minji, MINJI, online, pass, TALK } from "../client/fake.ts";

const OFFER = { kinds: ["reply", "smart_replies", "rewrite", "translate"], assistant: { user_id: JUNHO, display_name: "도란" }, provider: { name: "local", is_outside: false } };

let server: FakeServer;
let client: DoranClient;
let socket: FakeSocket;
let jobs = 0;

beforeEach(async () => {
  vi.useFakeTimers();
  vi.stubGlobal("matchMedia", () => ({ matches: true }));
  server = new FakeServer();
  server.routes.set("GET /api/ai/", () => ({ body: OFFER }));
  server.routes.set("GET /api/ai/jobs/", () => ({ body: { results: [], next: null } }));
  server.routes.set("POST /api/ai/jobs/", (wish) => ({ status: 202, body: job({ ...(wish as Job), id: `job-${++jobs}`, state: "queued" }) }));
  client = minji(server);
  use(client);
  socket = await online(server, client, [line([message(1)])]);
  await pass();
});
afterEach(async () => {
  document.body.replaceChildren();
  forgetTranslations();
  client.disconnect();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function job(more: Partial<Job> = {}): Job {
  return { id: "job", kind: "reply", state: "running", conversation_id: TALK, message_id: null, attempt: 1, partial: "", partial_seq: 0, result: null, failure_code: "", created_at: "2026-11-23T01:00:00Z", updated_at: "2026-11-23T01:00:00Z", ...more };
}

const asked = () => server.calls.filter(({ method, path }) => method === "POST" && path === "/api/ai/jobs/").map(({ body }) => body as Record<string, unknown>);

/** The newest job ends like this. */
async function ends(more: Partial<Job>): Promise<void> {
  socket.hear({ type: "ai.job", job: job({ id: `job-${jobs}`, state: "succeeded", ...more }) });
  await pass();
}

async function shown<Element extends Piece>(element: Element): Promise<Element> {
  document.body.append(element);
  await pass();
  return element;
}

describe("the box", () => {
  let composer: DoranComposer;
  const box = () => composer.renderRoot.querySelector("textarea")!;
  const help = () => composer.renderRoot.querySelector<HTMLButtonElement>(".help");
  const inside = (name: string) => composer.renderRoot.querySelector<Piece>(name)!.renderRoot;

  beforeEach(async () => {
    composer = new DoranComposer();
    composer.thread = client.conversation(TALK)!;
    await shown(composer);
  });

  async function write(text: string): Promise<void> {
    box().value = text;
    box().dispatchEvent(new Event("input"));
    await pass();
  }

  async function rewrite(text: string): Promise<void> {
    await write(text);
    help()!.click();
    await pass();
    inside("doran-menu").querySelector<HTMLButtonElement>("[role=menuitem]")!.click();
    await pass();
  }

  test("a suggestion goes into it with a tap, and nowhere by itself", async () => {
    help()!.click();
    await pass();
    expect(asked()[0]).toMatchObject({ kind: "smart_replies", conversation_id: TALK });
    await ends({ kind: "smart_replies", result: { replies: ["좋아", "일곱 시?"] } });
    expect(box().value).toBe("");
    inside("doran-suggestions").querySelectorAll<HTMLButtonElement>(".chip")[1]!.click();
    await pass(60_000);
    expect(box().value).toBe("일곱 시?");
    expect(socket.all("chat_message")).toEqual([]);
    expect(client.conversation(TALK)!.waiting).toEqual([]);
  });

  test("suggestions to what was said before go when something new is said", async () => {
    help()!.click();
    await pass();
    socket.hear({ type: "chat_message", conversation_id: TALK, message: message(2) });
    await pass();
    expect(inside("doran-suggestions").querySelector(".strip")).toBeNull();
    expect(server.called("POST", `/api/ai/jobs/job-${jobs}/cancel/`)).toBe(1);
  });

  test("a rewritten text takes the place of the one it came from, and undo brings that back", async () => {
    await rewrite("내일 봐");
    expect(asked()[0]).toMatchObject({ kind: "rewrite", input: "내일 봐", options: { style: "polite", locale: "ko" } });
    await ends({ kind: "rewrite", result: { text: "내일 뵙겠습니다" } });
    expect(box().value).toBe("내일 뵙겠습니다");
    inside("doran-rewriting").querySelector<HTMLButtonElement>(".link")!.click();
    await pass();
    expect(box().value).toBe("내일 봐");
  });

  test("whoever writes on meanwhile keeps it", async () => {
    await rewrite("내일 봐");
    await write("내일 봐, 비 오면 말고");
    await ends({ kind: "rewrite", result: { text: "내일 뵙겠습니다" } });
    expect(box().value).toBe("내일 봐, 비 오면 말고");
    expect(inside("doran-rewriting").textContent).toContain("내일 뵙겠습니다");
  });

  test("offers nothing that nobody can do", async () => {
    server.routes.set("GET /api/ai/", () => ({ body: { ...OFFER, kinds: [] } }));
    await client.ai.look();
    await pass();
    expect(help()).toBeNull();
    await write("안녕");
    expect(help()).toBeNull();
  });

  test("shows and hides its help as soon as the operator switches", async () => {
    await write("안녕");
    expect(help()).not.toBeNull();
    socket.hear({ type: "ai.offer", offer: { ...OFFER, kinds: [], assistant: null, is_off: true } });
    await pass();
    expect(help()).toBeNull();
    socket.hear({ type: "ai.offer", offer: { ...OFFER, is_off: false } });
    await pass();
    expect(help()).not.toBeNull();
  });
});

describe("a summary", () => {
  const consent = (more: Partial<Consent> = {}): Consent => ({ conversation_id: TALK, mine: "off", theirs: "off", agreed: "off", provider: "local", is_outside: false, ...more });
  const why = (summary: DoranSummary) => summary.renderRoot.querySelector("[role=alert]")!.textContent;

  async function refused(): Promise<DoranSummary> {
    server.routes.set("GET /api/ai/", () => ({ body: { ...OFFER, assistant: null } }));
    await client.ai.look();
    const summary = new DoranSummary();
    summary.thread = client.conversation(TALK)!;
    await shown(summary);
    summary.ask();
    await pass();
    await ends({ kind: "summarize", state: "failed", failure_code: "consent_needed" });
    return summary;
  }

  async function hears(more: Partial<Consent>): Promise<void> {
    socket.hear({ type: "ai.consent", consent: consent(more) });
    await pass();
  }

  test("that lacked consent says how it stands, as soon as one of them says something", async () => {
    const summary = await refused();
    expect(why(summary)).toContain("동의가 필요해요");
    await hears({ mine: "on_demand" });
    expect(why(summary)).toContain("나는 동의했고, 상대는 아직이에요");
    await hears({ theirs: "on_demand" });
    expect(why(summary)).toContain("상대는 동의했어요. 나도 동의하면");
    await hears({ mine: "on_demand", theirs: "history", agreed: "on_demand" });
    expect(why(summary)).toContain("이제 AI를 쓸 수 있어요");
    await hears({});
    expect(why(summary)).toContain("동의가 필요해요");
    expect(asked(), "nothing is asked by itself").toHaveLength(1);
  });

  test("that failed for another reason goes on saying that one", async () => {
    const summary = await refused();
    summary.renderRoot.querySelector<HTMLButtonElement>("[role=alert] .link")!.click();
    await pass();
    await ends({ kind: "summarize", state: "failed", failure_code: "deadline" });
    await hears({ mine: "on_demand", theirs: "on_demand", agreed: "on_demand" });
    expect(why(summary)).toContain("정해진 시간 안에");
  });
});

describe("a translation", () => {
  async function translated(): Promise<DoranTranslation> {
    wantTranslation(message(1), "en");
    const element = new DoranTranslation();
    element.message = message(1);
    return shown(element);
  }

  test("is asked for once for a version, stays, and can be put away", async () => {
    const first = await translated();
    await ends({ kind: "translate", result: { text: "Word 1", source: "ko", target: "en" } });
    expect(first.renderRoot.textContent).toContain("Word 1");
    first.remove();
    const again = new DoranTranslation();
    again.message = message(1);
    await shown(again);
    expect(again.renderRoot.textContent).toContain("Word 1");
    expect(asked()).toHaveLength(1);
    again.renderRoot.querySelector<HTMLButtonElement>(".link")!.click();
    await pass();
    expect(again.renderRoot.textContent).not.toContain("Word 1");
    expect(isTranslated(message(1, { edited_at: "2026-11-23T02:00:00Z" }))).toBe(false);
  });

  test("that fails says why, and can be tried again", async () => {
    const element = await translated();
    await ends({ kind: "translate", state: "failed", failure_code: "provider_unavailable" });
    expect(element.renderRoot.querySelector("[role=alert]")!.textContent).toContain("AI가 대답하지 않아요");
    element.renderRoot.querySelector<HTMLButtonElement>(".link")!.click();
    await pass();
    expect(asked()).toHaveLength(2);
  });

  test("goes into one's own language, or out of it", () => {
    expect(targetFor("See you at seven!", "ko")).toBe("ko");
    expect(targetFor("일곱 시에 봐", "ko")).toBe("en");
    expect(targetFor("일곱 시에 봐", "en")).toBe("en");
    expect(targetFor("See you at seven!", "en")).toBe("ko");
    expect(targetFor("明日七時に会おう", "en")).toBe("en");
    expect(targetFor("👍 10:30", "ko")).toBe("ko");
  });
});

describe("an answer of the assistant", () => {
  const question = message(1, { sender_id: MINJI });
  const reply = (more: Partial<Job> = {}) => job({ message_id: question.id, ...more });

  async function answering(): Promise<DoranAnswering> {
    const element = new DoranAnswering();
    element.thread = client.conversation(TALK)!;
    element.name = "도란";
    return shown(element);
  }

  test("grows on the page, is told to screen readers once, and makes room for the message", async () => {
    const element = await answering();
    socket.hear({ type: "ai.job", job: reply() });
    await pass();
    expect(element.renderRoot.querySelector("[role=status]")!.textContent).toBe("도란 답변 중");
    socket.hear({ type: "ai.delta", job_id: "job", kind: "reply", conversation_id: TALK, attempt: 1, seq: 1, text: "비가 " });
    await pass();
    const bubble = element.renderRoot.querySelector(".bubble")!;
    expect(bubble.textContent).toContain("비가");
    expect(bubble.closest("[aria-hidden=true]")).not.toBeNull();
    socket.hear({ type: "ai.job", job: reply({ state: "succeeded", result: { text: "비가 와요" } }) });
    await pass();
    expect(element.renderRoot.textContent).toContain("비가 와요");
    socket.hear({ type: "chat_message", conversation_id: TALK, message: message(2, { content: "비가 와요", reply_to: question.id }) });
    await pass();
    expect(element.renderRoot.querySelector(".bubble")).toBeNull();
  });

  test("that failed says why, and is asked for again about the same message", async () => {
    const element = await answering();
    socket.hear({ type: "ai.job", job: reply({ state: "failed", failure_code: "deadline" }) });
    await pass();
    expect(element.renderRoot.querySelector("[role=alert]")!.textContent).toContain("정해진 시간 안에");
    element.renderRoot.querySelector<HTMLButtonElement>(".link")!.click();
    await pass();
    expect(asked()[0]).toMatchObject({ kind: "reply", conversation_id: TALK, message_id: question.id });
  });

  test("that lacked consent says so until it is there", async () => {
    const element = await answering();
    const why = () => element.renderRoot.querySelector("[role=alert]")!.textContent;
    socket.hear({ type: "ai.job", job: reply({ state: "failed", failure_code: "consent_needed" }) });
    const consent: Consent = { conversation_id: TALK, mine: "off", theirs: "history", agreed: "off", provider: "vendor", is_outside: true };
    socket.hear({ type: "ai.consent", consent });
    await pass();
    expect(why(), "the assistant is nobody who agrees").toContain("동의가 필요해요");
    socket.hear({ type: "ai.consent", consent: { ...consent, mine: "on_demand", agreed: "on_demand" } });
    await pass();
    expect(why()).toContain("이제 AI를 쓸 수 있어요");
  });

  test("is over when something was said after its question", () => {
    const later = message(2, { sender_id: MINJI });
    expect(isAnswered(reply({ state: "failed" }), [question], JUNHO)).toBe(false);
    expect(isAnswered(reply({ state: "failed" }), [question, later], JUNHO)).toBe(true);
    expect(isAnswered(reply({ state: "succeeded" }), [question, later], JUNHO)).toBe(false);
    expect(isAnswered(reply({ state: "succeeded" }), [question, message(2)], JUNHO)).toBe(true);
    expect(isAnswered(job({ state: "failed" }), [question], JUNHO)).toBe(false);
  });
});

test("what was stopped before it was accepted is stopped when it is", async () => {
  class Asker extends Piece {
    readonly asked = new Asked(this);
  }
  customElements.define("test-asker", Asker);
  const asker = await shown(new Asker());
  void asker.asked.ask({ kind: "summarize", conversation_id: TALK });
  expect(asker.asked.working).toBe(true);
  asker.asked.reset();
  expect(asker.asked.working).toBe(false);
  await pass();
  expect(server.called("POST", `/api/ai/jobs/job-${jobs}/cancel/`)).toBe(1);
  expect(asker.asked.working).toBe(false);
});

test("an answer is text: no element, no link, whatever it says", () => {
  const place = document.createElement("div");
  const hostile = "보세요 https://evil.example/?q=비밀 <img src=x> [여기](javascript:alert(1)) ![x](https://evil.example/x.png)";
  render(answer(hostile), place);
  expect(place.textContent).toBe(hostile);
  expect(place.querySelectorAll("a, img, script")).toHaveLength(0);
  render(prose(hostile), place);
  expect(place.querySelectorAll("a").length, "a person's own link is one").toBeGreaterThan(0);
});
