/** Which rows are on the page, and what they say about their neighbours. */

import { describe, expect, test } from "vitest";
import { lastVisible, rows, visible } from "../../app/lib/rows.ts";
import { around, down, following, MOST, newest, PAGE, up } from "../../app/lib/span.ts";
import type { Thread, Waiting } from "../../client/index.ts";
import { JUNHO, message, MINJI } from "../client/fake.ts";

const at = (seq: number, sender_id: string, created_at: string) => message(seq, { sender_id, created_at });
const waiting = (createdAt: number): Waiting => ({ clientMessageId: `w${createdAt}`, userId: MINJI, conversationId: "talk", content: "말", messageType: "text", replyTo: null, createdAt, problem: null });

describe("rows", () => {
  test("a run of one person within one minute opens and closes once", () => {
    const said = [at(1, JUNHO, "2026-11-23T01:00:01Z"), at(2, JUNHO, "2026-11-23T01:00:30Z"), at(3, JUNHO, "2026-11-23T01:01:00Z"), at(4, MINJI, "2026-11-23T01:01:10Z")];
    const made = rows(said, 0, 4, [], null);
    expect(made.map((row) => row.kind === "message" && [row.opens, row.closes])).toEqual([[true, false], [false, true], [true, true], [true, true]]);
  });

  test("each day is named once, also where the window begins inside it", () => {
    const said = [at(1, JUNHO, "2026-11-22T03:00:00Z"), at(2, JUNHO, "2026-11-23T03:00:00Z"), at(3, JUNHO, "2026-11-23T03:05:00Z")];
    expect(rows(said, 0, 3, [], null).map(({ day }) => day)).toEqual([true, true, false]);
    expect(rows(said, 2, 3, [], null).map(({ day }) => day)).toEqual([false]);
  });

  test("the divider stands before the first message after the mark, once", () => {
    const said = [1, 2, 3, 4].map((seq) => message(seq));
    expect(rows(said, 0, 4, [], 2).map((row) => row.kind === "message" && row.divider)).toEqual([false, false, true, false]);
    expect(rows(said, 0, 4, [], null).some((row) => row.kind === "message" && row.divider)).toBe(false);
  });

  test("no divider where the first unread message is not held", () => {
    const said = [7, 8].map((seq) => message(seq));
    expect(rows(said, 0, 2, [], 4).some((row) => row.kind === "message" && row.divider)).toBe(false);
    expect(rows(said, 0, 2, [], 6).map((row) => row.kind === "message" && row.divider)).toEqual([true, false]);
  });

  test("the divider passes what was deleted, and stands nowhere if all of it was", () => {
    const gone = (seq: number) => message(seq, { is_deleted: true, content: "" });
    const divided = (messages: ReturnType<typeof message>[]) => rows(messages, 0, messages.length, [], 1).map((row) => row.kind === "message" && row.divider);
    expect(divided([message(1), gone(2), gone(3), message(4), gone(5)])).toEqual([false, false, false, true, false]);
    expect(divided([message(1), gone(2), gone(3)])).toEqual([false, false, false]);
    expect(divided([gone(2), message(3)])).toEqual([false, true]);
    expect(divided([gone(3), message(4)])).toEqual([false, false]);
  });

  test("what waits comes last, and only where the end is in sight", () => {
    const said = [message(1), message(2)];
    expect(rows(said, 0, 2, [waiting(5)], null).map(({ kind }) => kind)).toEqual(["message", "message", "waiting"]);
    expect(rows(said, 0, 1, [waiting(5)], null).map(({ kind }) => kind)).toEqual(["message"]);
  });

  test("a message keeps its row from waiting to stored", () => {
    const entry = waiting(5);
    const [before] = rows([], 0, 0, [entry], null);
    const [after] = rows([message(1, { client_message_id: entry.clientMessageId })], 0, 1, [], null);
    expect(after!.key).toBe(before!.key);
  });

  test("what a restore emptied is one line, however long, and keeps its row while more of it is read", () => {
    const lost = (seq: number) => message(seq, { sender_id: "", is_deleted: true, content: "" });
    const held = [message(1), ...[2, 3, 4, 5].map(lost), message(6), lost(7), message(8)];
    const shown = (messages: typeof held) => {
      const thread = { timeline: { messages }, me: { hidden_before_seq: 0 } } as unknown as Thread;
      const seen = visible(thread);
      return rows(seen, 0, seen.length, [], null);
    };
    expect(shown(held).map(({ kind }) => kind)).toEqual(["message", "lost", "message", "lost", "message"]);
    expect(shown(held.slice(3))[0]!.key).toBe(shown(held)[1]!.key);
    expect(shown(held).map((row) => row.kind === "message" && [row.opens, row.closes])).toEqual([[true, true], false, [true, true], false, [true, true]]);
  });

  test("a deleted message is a message of somebody's, and stays one row each; the last one with words stands for its run", () => {
    const gone = [1, 2].map((seq) => message(seq, { is_deleted: true, content: "" }));
    expect(rows(gone, 0, 2, [], null).map(({ kind }) => kind)).toEqual(["message", "message"]);
    const run = [1, 2, 3].map((seq) => at(seq, MINJI, "2026-11-23T01:00:01Z"));
    const next = (messages: typeof run) => rows(messages, 0, messages.length, [], null).map((row) => row.kind === "message" && row.next?.seq);
    expect(next(run)).toEqual([2, 3, undefined]);
    expect(next([run[0]!, run[1]!, { ...run[2]!, is_deleted: true }])).toEqual([2, undefined, undefined]);
    expect(next([run[0]!, { ...run[1]!, is_deleted: true }, run[2]!])).toEqual([3, 3, undefined]);
    expect(next([...run, at(4, JUNHO, "2026-11-23T01:00:02Z")])).toEqual([2, 3, undefined, undefined]);
  });

  test("what I deleted for myself is not shown, and is nobody's last word", () => {
    const messages = [message(1), message(2, { is_deleted: true }), message(3, { is_deleted: true, hidden: true })];
    const thread = { timeline: { messages }, me: { hidden_before_seq: 0 }, lastMessage: messages[2] } as unknown as Thread;
    expect(visible(thread).map(({ seq }) => seq)).toEqual([1, 2]);
    expect(lastVisible(thread)?.seq).toBe(2);
    const alone = { timeline: { messages: [] }, me: { hidden_before_seq: 0 }, lastMessage: messages[2] } as unknown as Thread;
    expect(lastVisible(alone)).toBeNull();
  });

  test("what I cleared is not shown", () => {
    const thread = { timeline: { messages: [1, 2, 3].map((seq) => message(seq)) }, me: { hidden_before_seq: 3 } } as unknown as Thread;
    expect(visible(thread).map(({ seq }) => seq)).toEqual([3]);
  });
});

describe("the window over a long conversation", () => {
  test("scrolling to the beginning of 10,000 and back never holds more than a few pages, and reaches every row", () => {
    const count = 10_000;
    let span = newest(count);
    const seen = new Set<number>();
    const look = () => {
      expect(span.to - span.from).toBeLessThanOrEqual(MOST);
      for (let row = span.from; row < span.to; row++) seen.add(row);
    };
    look();
    while (span.from > 0) {
      span = up(span);
      look();
    }
    expect(seen.size).toBe(count);
    while (span.to < count) {
      span = down(span, count);
      look();
    }
    expect(span.to).toBe(count);
  });

  test("a step overlaps what was seen, so that the eye can follow", () => {
    const span = { from: 500, to: 500 + MOST };
    expect(up(span).to).toBeGreaterThan(span.from + PAGE);
    expect(down(span, 10_000).from).toBeLessThan(span.to - PAGE);
  });

  test("short conversations are shown whole", () => {
    expect(newest(3)).toEqual({ from: 0, to: 3 });
    expect(around(1, 3)).toEqual({ from: 0, to: 3 });
  });

  test("at the end, new rows push old ones out", () => {
    expect(following({ from: 100, to: 400 })).toEqual({ from: 400 - MOST, to: 400 });
    expect(following({ from: 390, to: 400 })).toEqual({ from: 390, to: 400 });
  });
});
