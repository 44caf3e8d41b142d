/** Which rows of a long conversation are on the page: a few pages around what one looks at, however long it is. */

export const PAGE = 50;
export const MOST = 200;

/** Rows `from` (inclusive) to `to` (exclusive). */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** The newest page. */
export function newest(count: number): Span {
  return { from: Math.max(0, count - PAGE), to: count };
}

/** One page further up; what then is too much falls off below. */
export function up(span: Span): Span {
  const from = Math.max(0, span.from - PAGE);
  return { from, to: Math.min(span.to, from + MOST) };
}

/** One page further down; what then is too much falls off above. */
export function down(span: Span, count: number): Span {
  const to = Math.min(count, span.to + PAGE);
  return { from: Math.max(span.from, to - MOST), to };
}

/** A page around one row. */
export function around(index: number, count: number): Span {
  const from = Math.max(0, index - PAGE);
  return { from, to: Math.min(count, index + PAGE) };
}

/** Looking at the end while rows come in: what is too much falls off above. */
export function following(span: Span): Span {
  return { from: Math.max(span.from, span.to - MOST), to: span.to };
}
