/** Text becomes words and links, never anything else. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { cleaned, initial, isBlank, isOnlyEmoji, lengthOf, levelled, safeHref, snippet, tokens } from "../../app/lib/text.ts";

/** The same cases as in tests/text/test_policy.py: page and server agree. */
const CASES: { blank: string[]; seen: string[]; counts: [string, number][]; sent: [string, string][] } = JSON.parse(readFileSync(new URL("../../../tests/text/cases.json", import.meta.url), "utf-8"));

const links = (text: string) => tokens(text).flatMap((token) => (token.kind === "link" ? [token.text] : []));

/** Of this process: how busy the machine is with others does not count. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

describe("links", () => {
  const CASES: readonly [string, readonly string[]][] = [
    ["https://example.com", ["https://example.com"]],
    ["여기 봐: http://example.com/a?b=c#d 재밌어", ["http://example.com/a?b=c#d"]],
    ["https://example.com에서 만나", ["https://example.com"]],
    ["https://namu.wiki/w/도란도란", ["https://namu.wiki/w/도란도란"]],
    ["(https://example.com/a_(b)) 끝", ["https://example.com/a_(b)"]],
    ["https://example.com.", ["https://example.com"]],
    ["https://한국.kr/길", ["https://한국.kr/길"]],
    ["mailto:minji@example.com", ["mailto:minji@example.com"]],
    ["javascript:alert(1) data:text/html,x vbscript:x file:///etc/passwd", []],
    ["JAVASCRIPT:alert(1)//https://", []],
    ["https://", []],
    ["<img src=x onerror=alert(1)>", []],
    ["https://a.kr https://b.kr", ["https://a.kr", "https://b.kr"]],
    ["https://good.kr\u202emoc.live//:sptth", ["https://good.kr"]],
    ["https://go\u200bod.kr", ["https://go"]],
    // a particle is not part of an address
    ["https://example.com/docs에서 봐", ["https://example.com/docs"]],
    ["https://example.com/docs에서는요.", ["https://example.com/docs"]],
    ["https://example.com/a.html을 열어", ["https://example.com/a.html"]],
    ["https://example.com/?q=1&b=c를 봐", ["https://example.com/?q=1&b=c"]],
    ["https://example.com/a#part2부터 읽어", ["https://example.com/a#part2"]],
    ["https://example.com/%EB%8F%84%EB%9E%80이에요!", ["https://example.com/%EB%8F%84%EB%9E%80"]],
    ["https://example.com/a_(b)은 길다", ["https://example.com/a_(b)"]],
    ["(https://example.com/docs)에서", ["https://example.com/docs"]],
    ["https://example.com/docs를(꼭) 봐", ["https://example.com/docs"]],
    ["http://localhost:8000에서 돌아가", ["http://localhost:8000"]],
    ["https://example.com에서.", ["https://example.com"]],
    ["https://example.com과https://example.org/a는 같아", ["https://example.com", "https://example.org/a"]],
    ["https://example.com/a랑https://example.org", ["https://example.com/a", "https://example.org"]],
    ["mailto:minji@example.com으로 보내", ["mailto:minji@example.com"]],
    ["[https://a.kr](https://b.kr/c)", ["https://a.kr", "https://b.kr/c"]],
    ["https://example.com/docsを見て", ["https://example.com/docsを見て"]],
    ["https://example.com/docsから", ["https://example.com/docs"]],
    // Hangul that is part of it
    ["https://ko.wikipedia.org/wiki/C언어 봐", ["https://ko.wikipedia.org/wiki/C언어"]],
    ["https://ko.wikipedia.org/wiki/SK하이닉스", ["https://ko.wikipedia.org/wiki/SK하이닉스"]],
    ["https://ko.wikipedia.org/wiki/서울역에서", ["https://ko.wikipedia.org/wiki/서울역에서"]],
    ["https://ko.wikipedia.org/wiki/도란_(동음이의)", ["https://ko.wikipedia.org/wiki/도란_(동음이의)"]],
    ["https://search.example.kr/?q=서울&p=2", ["https://search.example.kr/?q=서울&p=2"]],
    ["https://example.kr/docs에서/길", ["https://example.kr/docs에서/길"]],
    ["https://my한글.com/a로 와", ["https://my한글.com/a"]],
    ["https://도란.한국에서 보자", ["https://도란.한국"]],
    ["https://도란.한국/길", ["https://도란.한국/길"]],
    ["https://web.archive.org/web/2020/https://example.com/", ["https://web.archive.org/web/2020/https://example.com/"]],
    // punctuation of full width
    ["https://example.com（링크）", ["https://example.com"]],
    ["https://example.com/a（링크）", ["https://example.com/a"]],
    ["「https://example.com/a」를", ["https://example.com/a"]],
    ["https://example.com/a，https://example.com/b。", ["https://example.com/a", "https://example.com/b"]],
    ["“https://example.com/a”라고", ["https://example.com/a"]],
    ["https://example.com/a…", ["https://example.com/a"]],
    ["https://example.com/a!?", ["https://example.com/a"]],
  ];
  for (const [text, expected] of CASES) test(JSON.stringify(text), () => expect(links(text)).toEqual(expected));

  test("links end where they do also in syllables typed in parts, and stay as they were typed", () => {
    for (const [text, expected] of CASES) expect(links(text.normalize("NFD")), text).toEqual(expected.map((link) => link.normalize("NFD")));
  });

  test("nothing of the text is lost or doubled", () => {
    for (const [text] of CASES) expect(tokens(text.normalize("NFD")).map((token) => token.text).join("")).toBe(text.normalize("NFD"));
    for (const [text] of CASES) expect(tokens(text).map((token) => token.text).join("")).toBe(text);
  });

  test("only http, https and mailto may be followed", () => {
    for (const bad of ["javascript:alert(1)", "data:text/html,x", "blob:https://a/b", "//a.kr", "/a", ""]) expect(safeHref(bad)).toBeNull();
  });

  test("a long text without an end is read in no time", () => {
    const started = cpuSeconds();
    tokens(`https://${"a.".repeat(50_000)}`);
    tokens(`${"https://a가".repeat(5_000)}`);
    tokens(`https://a${")".repeat(4_000)}`);
    tokens(`https://a.kr/${"b를".repeat(20_000)}`);
    tokens(`https://a.kr/${"(".repeat(20_000)}`);
    expect(cpuSeconds() - started).toBeLessThan(0.5);
  });
});

test("empty to the eye is empty", () => {
  for (const nothing of CASES.blank) expect(isBlank(nothing), JSON.stringify(nothing)).toBe(true);
  for (const something of CASES.seen) expect(isBlank(something), JSON.stringify(something)).toBe(false);
});

test("what is sent is what was typed, but for blank lines at both ends and control characters", () => {
  for (const [typed, sent] of CASES.sent) expect(cleaned(typed), JSON.stringify(typed)).toBe(sent);
});

test("length is counted as the server counts", () => {
  for (const [text, count] of CASES.counts) expect(lengthOf(text), JSON.stringify(text)).toBe(count);
  expect(lengthOf("각".repeat(1_500).normalize("NFD"))).toBe(1_500);
  expect(lengthOf(cleaned(`${"가".repeat(3_990)}${" ".repeat(500)}\n\n`))).toBe(3_990);
});

test("one to three emoji are shown large", () => {
  for (const few of ["👍", "👨‍👩‍👧 ❤️", "🇰🇷🇰🇷🇰🇷"]) expect(isOnlyEmoji(few)).toBe(true);
  for (const not of ["", "ㅋㅋ", "1", "👍 좋아", "👍👍👍👍"]) expect(isOnlyEmoji(not)).toBe(false);
});

test("a face and a line", () => {
  expect(initial("민지")).toBe("민");
  expect(initial(" junho")).toBe("J");
  expect(initial("👩‍💻 소라")).toBe("👩‍💻");
  expect(initial("")).toBe("?");
  expect(initial("\u0301\u0301")).toBe("?");
  expect(initial(`Z${"\u0301\u0336".repeat(30)}oe`)).toBe("Ź");
  expect(initial("e\u0301clair")).toBe("É");
  expect(initial("준호".normalize("NFD"))).toBe("준");
  expect(initial("❤️ 하늘")).toBe("❤️");
  expect([...levelled(`민${"\u0336".repeat(60)}지`)].length).toBe(6);
  for (const name of ["민지", "Việt", "สุทธิ", "שָׁלוֹם", "👩‍💻 소라", "❤️"]) expect(levelled(name)).toBe(name.normalize("NFC"));
  expect(snippet("하나\n\n둘   셋", 5)).toBe("하나 둘 ");
});
