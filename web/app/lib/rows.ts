/** A conversation as rows on the page: days, the divider, messages, and what still waits. */

import type { Message, Thread, Waiting } from "../../client/index.ts";
import { hiding } from "./hiding.ts";

export type Row =
  | { readonly kind: "message"; readonly key: string; readonly message: Message; readonly opens: boolean; readonly closes: boolean; readonly next: Message | undefined; readonly day: boolean; readonly divider: boolean }
  | { readonly kind: "lost"; readonly key: string; readonly seq: number; readonly at: string; readonly day: boolean; readonly divider: boolean }
  | { readonly kind: "waiting"; readonly key: string; readonly entry: Waiting; readonly opens: boolean; readonly day: boolean };

/** The messages this person may still see. Of a run of positions that a restore emptied, the last one stands for all. */
export function visible(thread: Thread): readonly Message[] {
  const { messages } = thread.timeline;
  const from = thread.me.hidden_before_seq;
  const mine = from > 1 || messages.some(isHidden) ? messages.filter((message) => message.seq >= from && !isHidden(message)) : messages;
  return mine.some(isLost) ? mine.filter((message, at) => !isLost(message) || !isLost(mine[at + 1])) : mine;
}

/** The last of them, as far as is known here. */
export function lastVisible(thread: Thread): Message | null {
  const isVisible = (message: Message) => message.seq >= thread.me.hidden_before_seq && !isHidden(message);
  const last = thread.timeline.messages.findLast(isVisible) ?? thread.lastMessage;
  return last && isVisible(last) ? last : null;
}

/** I deleted it for myself, or am about to. */
export function isHidden(message: Message): boolean {
  return message.hidden === true || hiding.has(message.id);
}

/** Nobody sent it: the server was restored from an older copy, and what stood here is gone. */
function isLost(message: Message | undefined): boolean {
  return message?.sender_id === "";
}

/**
 * `opens` and `closes` say where a run of one person within one minute begins and ends, `next` what follows in it (the
 * last one with words stands for the run); `after` is where new messages begin.
 */
export function rows(messages: readonly Message[], from: number, to: number, waiting: readonly Waiting[], after: number | null): Row[] {
  const made: Row[] = [];
  const first = firstUnread(messages, after);
  for (let at = from; at < to; at++) {
    const message = messages[at]!;
    const before = messages[at - 1];
    const next = messages[at + 1];
    const divider = at === first;
    const newDay = !before || !sameDay(before.created_at, message.created_at);
    if (isLost(message)) {
      made.push({ kind: "lost", key: message.id, seq: message.seq, at: message.created_at, day: newDay, divider });
      continue;
    }
    made.push({
      kind: "message",
      key: message.client_message_id ?? message.id,
      message,
      opens: divider || !before || !together(before, message),
      closes: !next || at + 1 === first || !together(message, next),
      next: nextInRun(messages, at, first),
      day: newDay,
      divider,
    });
  }
  if (to < messages.length) return made;
  let lastDay: string | number | undefined = messages.at(-1)?.created_at;
  waiting.forEach((entry, at) => {
    made.push({ kind: "waiting", key: entry.clientMessageId, entry, opens: at === 0, day: lastDay === undefined || !sameDay(lastDay, entry.createdAt) });
    lastDay = entry.createdAt;
  });
  return made;
}

/** Where the first unread message stands: after the mark and not deleted. Nowhere (-1) if what comes right after the mark is not held. */
function firstUnread(messages: readonly Message[], after: number | null): number {
  if (after === null) return -1;
  const next = messages.findIndex(({ seq }) => seq > after);
  const isHeld = next > 0 || messages[next]?.seq === after + 1;
  return isHeld ? messages.findIndex(({ seq, is_deleted }) => seq > after && !is_deleted) : -1;
}

function nextInRun(messages: readonly Message[], at: number, firstUnread: number): Message | undefined {
  for (let next = at + 1; next < messages.length; next++) {
    const message = messages[next]!;
    if (next === firstUnread || !together(messages[next - 1]!, message)) return undefined;
    if (!message.is_deleted) return message;
  }
  return undefined;
}

function together(a: Message, b: Message): boolean {
  return a.sender_id === b.sender_id && a.created_at.slice(0, 16) === b.created_at.slice(0, 16) && sameDay(a.created_at, b.created_at);
}

function sameDay(a: string | number, b: string | number): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}
