/** How long to wait before coming back: full jitter, so that a thousand clients do not return at once. */

export interface Backoff {
  /** Milliseconds until the next attempt, never less than `atLeast`. */
  next(atLeast?: number): number;
  reset(): void;
}

/**
 * Doubles a ceiling from `base` to `cap` and draws uniformly below it ("full jitter"). The cap keeps the promise that
 * all screens agree within ten seconds after the last fault has healed.
 */
export function fullJitter({ base = 500, cap = 8_000, random = Math.random } = {}): Backoff {
  let attempt = 0;
  return {
    next(atLeast = 0) {
      const ceiling = Math.min(cap, base * 2 ** attempt);
      attempt = Math.min(attempt + 1, 30);
      return atLeast + Math.round(random() * ceiling);
    },
    reset() {
      attempt = 0;
    },
  };
}
