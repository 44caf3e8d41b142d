/** Where one was in a conversation, by entry of the browser's history: going back returns there. */

/** The row at the upper edge, how far below it, and which messages were on the page. */
export interface Spot {
  readonly key: string;
  readonly top: number;
  readonly fromSeq: number;
  readonly toSeq: number;
}

const spots = new Map<string, Spot>();
let entry = "";

/** Keep where one was, then take up the entry one has come to; what is known of it, if one has been there before. */
export function visit(left: Spot | null): Spot | null {
  if (left) spots.set(entry, left);
  else spots.delete(entry);
  const known = (history.state as { readonly entry?: string } | null)?.entry;
  entry = known ?? Math.random().toString(36).slice(2);
  if (!known) history.replaceState({ entry }, "");
  return (known && spots.get(known)) || null;
}

export function forgetVisits(): void {
  spots.clear();
}
