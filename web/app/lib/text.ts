/** What a message's text is made of: words and links. Never HTML. */

export type Token = { readonly kind: "text"; readonly text: string } | { readonly kind: "link"; readonly text: string; readonly href: string };

/** Stops at blanks, quotes, angle brackets, and at the invisible characters that could make a link look like another. */
const CANDIDATE = /(?:https?:\/\/|mailto:)[^\s<>"'`\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\u3164\ufeff\uffa0]+/giu;
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

export function tokens(text: string): Token[] {
  const found: Token[] = [];
  let done = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    const link = trimmed(match[0]);
    const href = safeHref(link);
    if (!href) continue;
    if (match.index > done) found.push({ kind: "text", text: text.slice(done, match.index) });
    found.push({ kind: "link", text: link, href });
    done = match.index + link.length;
  }
  if (done < text.length) found.push({ kind: "text", text: text.slice(done) });
  return found;
}

/** The address if it is of a kind that is safe to follow, else null. */
export function safeHref(link: string): string | null {
  try {
    const url = new URL(link);
    return SCHEMES.has(url.protocol) && (url.hostname || url.protocol === "mailto:") ? url.href : null;
  } catch {
    return null;
  }
}

/** Without what belongs to the sentence: closing punctuation, and a Korean particle right after a Latin host. */
function trimmed(candidate: string): string {
  const host = candidate.match(/^https?:\/\/[\x21-\x7e]+?(?=[\u3131-\u318e\uac00-\ud7a3]+[.,!?…]*$)/iu);
  let link = host && !/^https?:\/\/[^/?#]*[/?#]/iu.test(host[0]) ? host[0] : candidate;
  for (let last = link.at(-1); last && isLeftover(link, last); last = link.at(-1)) link = link.slice(0, -1);
  return link;
}

function isLeftover(link: string, last: string): boolean {
  if (".,!?;:…。、~*".includes(last)) return true;
  const opening = { ")": "(", "]": "[", "}": "{", "」": "「", "』": "『", "”": "“", "’": "‘" }[last];
  return opening !== undefined && link.split(opening).length < link.split(last).length;
}

const FEW_EMOJI = emojiPattern();

/** One to three emoji and nothing else are shown large. */
export function isOnlyEmoji(text: string): boolean {
  return FEW_EMOJI?.test(text) ?? false;
}

/** Built at run time: a browser without the `v` flag would refuse the whole module. */
function emojiPattern(): RegExp | null {
  try {
    return new RegExp("^(?:\\p{RGI_Emoji}\\s*){1,3}$", "v");
  } catch {
    return null;
  }
}

/** The server counts code points; so does the counter below the box. */
export function lengthOf(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Nothing that anybody could see: blanks, zero-width characters, Hangul fillers. */
export function isBlank(text: string): boolean {
  return /^[\s\p{Cf}\p{Cc}\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5]*$/u.test(text);
}

/** Composed syllables, without control characters (the server refuses them) and outer blank lines. */
export function cleaned(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly the characters that must not be sent
  return text.replace(/\r\n?/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "").normalize("NFC").trim();
}

/** One line for lists and quotes. */
export function snippet(text: string, length = 120): string {
  return [...text.replace(/\s+/g, " ").trim()].slice(0, length).join("");
}

/** The first visible characters of a name for its avatar: 준호 → 준, Minji → M. */
export function initial(name: string): string {
  const [first] = new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(name.trim());
  return (first?.segment ?? "?").toUpperCase();
}

/** A stable number below `count` for an id: which of the avatar's colours a person gets. */
export function hue(id: string, count: number): number {
  let hash = 7;
  for (const char of id) hash = (hash * 31 + char.codePointAt(0)!) >>> 0;
  return hash % count;
}
