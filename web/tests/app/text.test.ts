/** Text becomes words and links, never anything else. */

import { describe, expect, test } from "vitest";
import { cleaned, initial, isBlank, isOnlyEmoji, lengthOf, safeHref, snippet, tokens } from "../../app/lib/text.ts";

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
  ];
  for (const [text, expected] of CASES) test(JSON.stringify(text), () => expect(links(text)).toEqual(expected));

  test("nothing of the text is lost or doubled", () => {
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
    expect(cpuSeconds() - started).toBeLessThan(0.5);
  });
});

test("empty to the eye is empty", () => {
  for (const nothing of ["", " \n\t", "\u200b\u200d", "\u3164\u115f", "\u00ad", "\u2800", "\u202e"]) expect(isBlank(nothing)).toBe(true);
  for (const something of ["가", ".", "👍", "\u200b가"]) expect(isBlank(something)).toBe(false);
});

test("what is sent is composed, trimmed, and free of control characters", () => {
  expect(cleaned("\u0000한글\u0007\r\n둘\n\n".normalize("NFD"))).toBe("한글\n둘");
  expect(cleaned("a\tb")).toBe("a\tb");
});

test("length is counted as the server counts", () => {
  expect(lengthOf("가나다")).toBe(3);
  expect(lengthOf("👍🏽")).toBe(2);
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
  expect(snippet("하나\n\n둘   셋", 5)).toBe("하나 둘 ");
});
