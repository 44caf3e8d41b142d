/** A list is drawn a few times while much happens at once, never once for each thing that happens. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { calm } from "../../app/lib/calm.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("what happens alone is drawn at once", () => {
  const drawn = vi.fn();
  const say = calm(drawn);
  say();
  expect(drawn).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(1_000);
  expect(drawn).toHaveBeenCalledTimes(1);
  say();
  expect(drawn).toHaveBeenCalledTimes(2);
});

test("1,700 people who become known at once are drawn twice", () => {
  const drawn = vi.fn();
  const say = calm(drawn);
  for (let person = 0; person < 1_700; person++) say();
  expect(drawn).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(1_000);
  expect(drawn).toHaveBeenCalledTimes(2);
});

test("while things go on happening it is drawn once in each gap, and the last of them is drawn", () => {
  let happened = 0;
  let shown = 0;
  const drawn = vi.fn(() => {
    shown = happened;
  });
  const say = calm(drawn, 100);
  for (let at = 0; at < 1_000; at++) {
    happened++;
    say();
    vi.advanceTimersByTime(1);
  }
  vi.advanceTimersByTime(100);
  expect(shown).toBe(1_000);
  expect(drawn.mock.calls.length).toBeLessThanOrEqual(12);
});

test("what is off the page draws no more", () => {
  const drawn = vi.fn();
  const say = calm(drawn);
  say();
  say();
  say.end();
  vi.advanceTimersByTime(1_000);
  expect(drawn).toHaveBeenCalledTimes(1);
});
