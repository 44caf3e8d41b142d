/** Mute as the contract has it: until a time. "For good" is a time nobody will see. */

import type { Thread } from "../../client/index.ts";

export const FOREVER = "2999-12-31T00:00:00Z";

export function isMuted(until: string | null, now = Date.now()): boolean {
  return until !== null && Date.parse(until) > now;
}

/** What happens here calls nobody. */
export function isQuiet({ me }: Thread): boolean {
  return me.archived || isMuted(me.muted_until);
}

/** There is something unread, or marked so: what a badge shows. */
export function isWaiting(thread: Thread): boolean {
  return thread.unread > 0 || thread.me.marked_unread;
}

/** How many conversations call: the number in the title, and of loud badges in the list. */
export function calling(threads: readonly Thread[]): number {
  return threads.filter((thread) => isWaiting(thread) && !isQuiet(thread)).length;
}
