/** What calls: the title counts exactly what carries a loud badge in the list. */

import { expect, test } from "vitest";
import type { MyState, Thread } from "../../client/index.ts";
import { calling, FOREVER, isQuiet, isWaiting } from "../../app/lib/mute.ts";

const thread = (unread: number, me: Partial<MyState> = {}) => ({ unread, isActive: true, me: { muted_until: null, archived: false, marked_unread: false, ...me } }) as Thread;
const past = "2020-01-01T00:00:00Z";

test.each([
  ["nothing new", thread(0), false, false],
  ["something new", thread(3), true, true],
  ["marked as unread", thread(0, { marked_unread: true }), true, true],
  ["archived", thread(3, { archived: true }), true, false],
  ["archived and marked", thread(0, { archived: true, marked_unread: true }), true, false],
  ["muted", thread(3, { muted_until: FOREVER }), true, false],
  ["muted until a while ago", thread(3, { muted_until: past }), true, true],
  ["under a block", { ...thread(2), isActive: false } as Thread, true, true],
])("%s", (_, one, waits, calls) => {
  expect([isWaiting(one), isWaiting(one) && !isQuiet(one)]).toEqual([waits, calls]);
  expect(calling([one, thread(0), thread(1)])).toBe(calls ? 2 : 1);
});
