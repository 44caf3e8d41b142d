/** Which language is spoken, and how it says dates and times. */

import { en } from "./en.ts";
import { ko, type Words } from "./ko.ts";

export type { Words };

export type Language = "ko" | "en";

const CATALOGUES: Record<Language, Words> = { ko, en };
export const LANGUAGES: readonly { readonly code: Language; readonly name: string }[] = [
  { code: "ko", name: "한국어" },
  { code: "en", name: "English" },
];

let spoken: Language = "ko";
const listeners = new Set<() => void>();

export function language(): Language {
  return spoken;
}

/** The catalogue now spoken. */
export function words(): Words {
  return CATALOGUES[spoken];
}

export function speak(chosen: Language): void {
  spoken = chosen;
  for (const listener of listeners) listener();
}

export function onLanguage(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Korean if the browser prefers it to English; English for who asks for neither. */
export function preferred(languages: readonly string[]): Language {
  const known = languages.map((tag) => tag.toLowerCase().split("-")[0]).find((tag) => tag === "ko" || tag === "en");
  return (known as Language | undefined) ?? "en";
}

/** What a refusal means, in words for the person who sees it. */
export function problemText(code: string): string {
  const texts: Record<string, string> = words().problem;
  return texts[code] ?? words().problem.unknown;
}

/** Why a job of the AI failed, or was refused, in words for the person who asked. */
export function failureText(code: string): string {
  const texts: Record<string, string> = words().ai.failure;
  return texts[code] ?? problemText(code);
}

/** What a language is called: 영어 for `en`; the tag itself where the browser knows no name. */
export function languageName(tag: string): string {
  try {
    return new Intl.DisplayNames(spoken, { type: "language" }).of(tag) ?? tag;
  } catch {
    return tag;
  }
}

// -- dates and times

const formats = new Map<string, Intl.DateTimeFormat>();

function format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = spoken + JSON.stringify(options);
  const made = formats.get(key) ?? new Intl.DateTimeFormat(spoken === "ko" ? "ko-KR" : "en", options);
  formats.set(key, made);
  return made;
}

/** 오후 2:15. Said by ourselves in Korean: browsers disagree between 오후 and PM. */
export function clock(date: Date): string {
  if (spoken !== "ko") return format({ hour: "numeric", minute: "2-digit", hour12: true }).format(date);
  const half = date.getHours() < 12 ? "오전" : "오후";
  return `${half} ${date.getHours() % 12 || 12}:${String(date.getMinutes()).padStart(2, "0")}`;
}

/** 2026년 11월 23일 월요일 */
export function day(date: Date): string {
  return format({ year: "numeric", month: "long", day: "numeric", weekday: "long" }).format(date);
}

export function dayAndClock(date: Date): string {
  return `${day(date)} ${clock(date)}`;
}

/** As short as a list needs it: a time today, else 어제, else a date. */
export function brief(date: Date, now = new Date()): string {
  const age = daysBetween(date, now);
  if (age <= 0) return clock(date);
  if (age === 1) return words().yesterday;
  if (date.getFullYear() === now.getFullYear()) return format({ month: "short", day: "numeric" }).format(date);
  return format({ year: "numeric", month: "numeric", day: "numeric" }).format(date);
}

/** A moment in a narrow place: 오전 3:01, 12월 1일 오전 3:01, 2025년 12월 1일. */
export function shortly(date: Date, now = new Date()): string {
  if (daysBetween(date, now) <= 0) return clock(date);
  if (date.getFullYear() !== now.getFullYear()) return format({ year: "numeric", month: "long", day: "numeric" }).format(date);
  return `${format({ month: "long", day: "numeric" }).format(date)} ${clock(date)}`;
}

/** 3분 전 */
export function ago(date: Date, now = new Date()): string {
  const seconds = Math.round((date.getTime() - now.getTime()) / 1000);
  const relative = new Intl.RelativeTimeFormat(spoken, { numeric: "auto" });
  if (seconds > -60) return words().justNow;
  if (seconds > -3600) return relative.format(Math.trunc(seconds / 60), "minute");
  if (seconds > -86_400) return relative.format(Math.trunc(seconds / 3600), "hour");
  return relative.format(Math.min(-1, -daysBetween(date, now)), "day");
}

/** Calendar days, as the person's own clock counts them. */
export function daysBetween(earlier: Date, later: Date): number {
  const midnight = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  return Math.round((midnight(later) - midnight(earlier)) / 86_400_000);
}
