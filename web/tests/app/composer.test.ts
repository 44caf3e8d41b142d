// @vitest-environment happy-dom
/** The box follows the store: other tabs, other devices, edits that the server refuses or that lost their message. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DoranError, type Message, type Thread, type Writing } from "../../client/index.ts";
import { use } from "../../app/lib/piece.ts";
import { DoranComposer } from "../../app/parts/composer.ts";

const NOTHING: Writing = { text: null, replyTo: null, edit: null };
const HELLO = { id: "one", sender_id: "minji", content: "안녕", is_deleted: false } as Message;

let composer: DoranComposer;
let thread: { id: string; draft: string; writing: Writing; timeline: { find: (id: string) => Message | undefined } };
let held: Message | undefined;
let hear: (event: { id: string }) => void;
const edit = vi.fn();
const send = vi.fn();
const notified = vi.fn();

/** A store of one conversation, as the client keeps it. */
const client = {
  userId: "minji",
  on: (name: string, listener: typeof hear) => {
    if (name === "conversation") hear = listener;
    return () => undefined;
  },
  ai: { offers: () => false },
  typing: vi.fn(),
  saveDraft: vi.fn(),
  edit,
  send,
  write: (id: string, change: Partial<Writing>) => {
    thread.writing = { ...thread.writing, ...change };
    thread.draft = thread.writing.text ?? thread.draft;
    hear({ id });
  },
  writeMore: (id: string, text: string) => client.write(id, { text: thread.draft ? `${thread.draft}\n${text}` : text }),
};

beforeEach(async () => {
  for (const mock of [edit, send, notified]) mock.mockReset();
  vi.stubGlobal("matchMedia", () => ({ matches: false }));
  held = HELLO;
  thread = { id: "talk", draft: "", writing: NOTHING, timeline: { find: () => held } };
  use(client as never);
  composer = new DoranComposer();
  composer.thread = thread as unknown as Thread;
  composer.addEventListener("notify", notified);
  document.body.append(composer);
  await composer.updateComplete;
});
afterEach(() => {
  composer.remove();
  vi.unstubAllGlobals();
});

const box = () => composer.renderRoot.querySelector("textarea")!;

async function type(text: string): Promise<void> {
  box().value = text;
  box().dispatchEvent(new InputEvent("input", { bubbles: true }));
  await composer.updateComplete;
}

async function enter(): Promise<void> {
  box().dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  await vi.waitFor(() => undefined);
  await composer.updateComplete;
}

async function edits(text: string): Promise<void> {
  client.write("talk", { edit: { messageId: "one", text: HELLO.content } });
  composer.editing = HELLO;
  await composer.updateComplete;
  await type(text);
}

test("what was written elsewhere is shown, unless a syllable is open here", async () => {
  client.write("talk", { text: "다른 탭" });
  await composer.updateComplete;
  expect(box().value).toBe("다른 탭");
  box().dispatchEvent(new CompositionEvent("compositionstart", { bubbles: true }));
  client.write("talk", { text: "" });
  await composer.updateComplete;
  expect(box().value).toBe("다른 탭");
});

test("an unfinished edit and the draft beside it are each kept", async () => {
  await type("쓰던 말");
  await edits("안녕하세요");
  expect(thread.writing).toEqual({ text: "쓰던 말", replyTo: null, edit: { messageId: "one", text: "안녕하세요" } });
  client.write("talk", { edit: null });
  await composer.updateComplete;
  expect(box().value).toBe("쓰던 말");
});

test.each(["too_late", "message_deleted", "not_found", "recipient_unavailable", "not_author"])("an edit refused with %s leaves its words in the box, to be sent with one press", async (code) => {
  await type("쓰던 말");
  edit.mockRejectedValue(new DoranError(code, { status: 403 }));
  await edits("안녕하세요");
  await enter();
  expect(thread.writing.edit).toBeNull();
  expect(box().value).toBe("쓰던 말\n안녕하세요");
  expect(notified).toHaveBeenCalledOnce();
  await enter();
  expect(send.mock.calls).toEqual([["talk", "쓰던 말\n안녕하세요", { replyTo: null }]]);
});

test.each(["network", "unavailable", "too_many_requests", "validation_failed", "payload_too_large"])("an edit refused with %s stays where it can be tried again or mended", async (code) => {
  edit.mockRejectedValue(new DoranError(code));
  await edits("안녕하세요");
  await enter();
  expect(thread.writing.edit).toEqual({ messageId: "one", text: "안녕하세요" });
  expect(box().value).toBe("안녕하세요");
  expect(notified).toHaveBeenCalledOnce();
});

test("an edit whose message is deleted meanwhile ends, and its words are kept", async () => {
  await edits("안녕하세요");
  held = { ...HELLO, content: "", is_deleted: true };
  hear({ id: "talk" });
  await composer.updateComplete;
  expect(thread.writing).toEqual({ text: "안녕하세요", replyTo: null, edit: null });
  expect(box().value).toBe("안녕하세요");
});

test("an edit in which nothing was changed leaves nothing behind when its message goes", async () => {
  await edits("안녕");
  held = { ...HELLO, content: "", is_deleted: true };
  hear({ id: "talk" });
  await composer.updateComplete;
  expect(thread.writing).toEqual(NOTHING);
  expect(notified).not.toHaveBeenCalled();
});
