/** A conversation as rows on the page: days, the divider, messages, and what still waits. */

import type { Message, Thread, Waiting } from "../../client/index.ts";

export type Row =
  | { readonly kind: "message"; readonly key: string; readonly message: Message; readonly opens: boolean; readonly closes: boolean; readonly day: boolean; readonly divider: boolean }
  | { readonly kind: "lost"; readonly key: string; readonly seq: number; readonly at: string; readonly day: boolean; readonly divider: boolean }
  | { readonly kind: "waiting"; readonly key: string; readonly entry: Waiting; readonly opens: boolean; readonly day: boolean };

/** The messages this person may still see. Of a run of positions that a restore emptied, the last one stands for all. */
export function visible(thread: Thread): readonly Message[] {
  const { messages } = thread.timeline;
  const hidden = thread.me.hidden_before_seq;
  const mine = hidden > 1 ? messages.filter(({ seq }) => seq >= hidden) : messages;
  return mine.some(isLost) ? mine.filter((message, at) => !isLost(message) || !isLost(mine[at + 1])) : mine;
}

/** Nobody sent it: the server was restored from an older copy, and what stood here is gone. */
function isLost(message: Message | undefined): boolean {
  return message?.sender_id === "";
}

/** `opens` and `closes` say where a run of one person within one minute begins and ends; `after` is where new messages begin. */
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

function together(a: Message, b: Message): boolean {
  return a.sender_id === b.sender_id && a.created_at.slice(0, 16) === b.created_at.slice(0, 16) && sameDay(a.created_at, b.created_at);
}

function sameDay(a: string | number, b: string | number): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}
