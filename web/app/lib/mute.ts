/** Mute as the contract has it: until a time. "For good" is a time nobody will see. */

export const FOREVER = "2999-12-31T00:00:00Z";

export function isMuted(until: string | null, now = Date.now()): boolean {
  return until !== null && Date.parse(until) > now;
}
