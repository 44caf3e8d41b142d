/** Both languages say everything, and say dates as people there do. */

import { afterEach, describe, expect, test } from "vitest";
import { en } from "../../app/words/en.ts";
import { ago, brief, clock, day, daysBetween, preferred, problemText, speak, words } from "../../app/words/index.ts";
import { ko } from "../../app/words/ko.ts";

afterEach(() => speak("ko"));

const noon = new Date(2026, 10, 23, 14, 15);

test("Korean is spoken where it is preferred, and English to everybody else", () => {
  expect(preferred(["ko-KR", "en"])).toBe("ko");
  expect(preferred(["en-GB", "ko"])).toBe("en");
  expect(preferred(["ja", "en-US"])).toBe("en");
  for (const neither of [["fr-FR", "fr"], ["ja"], ["de-CH", "it"], ["kok-IN"], []]) expect(preferred(neither)).toBe("en");
  expect(preferred(["fr", "ko", "en"])).toBe("ko");
});

test("no word is missing or empty in either language", () => {
  const check = (left: object, right: object): void => {
    expect(Object.keys(right).sort()).toEqual(Object.keys(left).sort());
    for (const [key, value] of Object.entries(left)) {
      const other = (right as Record<string, unknown>)[key];
      if (typeof value === "object") check(value, other as object);
      else if (typeof value === "string") expect(String(other).length, key).toBeGreaterThan(0);
      else expect(typeof other, key).toBe("function");
    }
  };
  check(ko, en);
});

describe("Korean dates", () => {
  test("오후 2:15, 2026년 11월 23일 월요일", () => {
    expect(clock(noon)).toBe("오후 2:15");
    expect(clock(new Date(2026, 10, 23, 0, 5))).toBe("오전 12:05");
    expect(clock(new Date(2026, 10, 23, 12, 0))).toBe("오후 12:00");
    expect(day(noon)).toBe("2026년 11월 23일 월요일");
  });

  test("the list: a time today, 어제, a date, a year", () => {
    expect(brief(noon, noon)).toBe("오후 2:15");
    expect(brief(new Date(2026, 10, 22, 23, 59), noon)).toBe("어제");
    expect(brief(new Date(2026, 2, 1), noon)).toBe("3월 1일");
    expect(brief(new Date(2025, 2, 1), noon)).toBe("2025. 3. 1.");
  });

  test("how long ago", () => {
    expect(ago(new Date(noon.getTime() - 59_000), noon)).toBe("방금");
    expect(ago(new Date(noon.getTime() - 3 * 60_000), noon)).toBe("3분 전");
    expect(ago(new Date(noon.getTime() - 2 * 3_600_000), noon)).toBe("2시간 전");
    expect(ago(new Date(2026, 10, 21), noon)).toBe("그저께");
  });

  test("days are counted by the calendar, not by 24 hours", () => {
    expect(daysBetween(new Date(2026, 10, 22, 23, 59), new Date(2026, 10, 23, 0, 1))).toBe(1);
    expect(daysBetween(new Date(2026, 10, 23, 0, 1), new Date(2026, 10, 23, 23, 59))).toBe(0);
  });
});

test("English says it in English", () => {
  speak("en");
  expect(clock(noon)).toMatch(/^2:15\sPM$/);
  expect(day(noon)).toBe("Monday, November 23, 2026");
  expect(words().unread(1)).toBe("1 unread message");
  expect(words().unread(2)).toBe("2 unread messages");
});

test("an unknown refusal still has words", () => {
  expect(problemText("never_heard_of")).toBe(ko.problem.unknown);
  expect(problemText("username_taken")).toBe(ko.problem.username_taken);
});
