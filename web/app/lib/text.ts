/** What a message's text is made of: words and links. Never HTML. */

export type Token = { readonly kind: "text"; readonly text: string } | { readonly kind: "link"; readonly text: string; readonly href: string };

/** Stops at blanks, quotes, brackets and punctuation of full width, and at the invisible characters that could make a link look like another. */
const CANDIDATE = /(?:https?:\/\/|mailto:)[^\s<>"'`\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2018-\u201f\u2026\u202a-\u202e\u2060-\u2069\u3001-\u3003\u3008-\u3011\u3014-\u301f\u3164\ufeff\uff01\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\uff3b\uff3d\uff5b-\uff65\uffa0]+/giu;
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

export function tokens(text: string): Token[] {
  const found: Token[] = [];
  let done = 0;
  for (const [at, candidate] of candidates(text)) {
    const link = linkOf(candidate);
    const href = safeHref(link);
    if (!href) continue;
    if (at > done) found.push({ kind: "text", text: text.slice(done, at) });
    found.push({ kind: "link", text: link, href });
    done = at + link.length;
  }
  if (done < text.length) found.push({ kind: "text", text: text.slice(done) });
  return found;
}

/** What may be an address, and where it begins. Only a particle or a bracket may part two: an address inside an address is left alone. */
function* candidates(text: string): Generator<[number, string]> {
  for (const { 0: whole, index } of text.matchAll(CANDIDATE)) {
    let from = 0;
    for (const next of whole.matchAll(/[\u1161-\u11ff\uac00-\ud7a3()[\]{},;](?=https?:\/\/)/giu)) {
      yield [index + from, whole.slice(from, next.index + 1)];
      from = next.index + 1;
    }
    yield [index + from, whole.slice(from)];
  }
}

/** The address in what may be one. Syllables typed in parts (NFD) are judged whole, and the address stays as it was typed. */
function linkOf(candidate: string): string {
  const composed = candidate.normalize("NFC");
  if (composed === candidate || candidate !== candidate.normalize("NFD")) return trimmed(candidate);
  return candidate.slice(0, trimmed(composed).normalize("NFD").length);
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

/**
 * Without what belongs to the sentence. Where Hangul follows an address without a blank, this decides:
 *
 * - In a host it ends the address after a Latin label (`https://example.com에서`), unless more of the host follows.
 *   A Hangul host (`한글.com`, `도메인.한국`) is one.
 * - Later it ends the address only if it is nothing but a particle and directly follows a letter, digit or closing
 *   bracket: `/docs에서`, `?q=a를`, `_(b)은`. Other Hangul is part of it: `/wiki/C언어`, `/길`, `?q=서울`.
 * - A particle behind Hangul cannot be told from a title (`/wiki/서울역에서`): nothing is cut.
 */
function trimmed(candidate: string): string {
  const link = withoutPunctuation(untilStrayBracket(candidate));
  const [, before = "", host = "", after = ""] = /^(https?:\/\/|mailto:[^@]*@?)([^/?#]*)(.*)$/isu.exec(link) ?? [];
  const ownHost = hostOnly(host);
  return ownHost === host ? before + host + withoutParticle(after) : before + ownHost;
}

const HANGUL_ENDINGS = /^(?:한국|삼성|닷컴|닷넷)/u;

function hostOnly(host: string): string {
  const at = host.lastIndexOf(".") + 1;
  const label = host.slice(at);
  const kept = HANGUL_ENDINGS.exec(label) ?? /^[\x21-\x7e]+(?=[\u3131-\u318e\uac00-\ud7a3])/u.exec(label);
  return kept ? host.slice(0, at) + kept[0] : host;
}

const PARTICLE =
  "(?:에서|에게서?|에|한테서?|께서?|으?로서|으?로써|으?로|까지|부터|이?랑|하고|와|과|을|를|이|가|은|는|의|도|만|마다|밖에|조차|마저|보다|처럼|같은|같이|만큼|대로|이?나|이?든|이?라도|이?라고|이?라는|이?란|이?라서|이?라|이?고|이?며|인데|인지|이?면|인|이에요|예요|이?야|이?요|입니다|입니까|이?죠|이?지|뿐|쯤|이?다)(?:는|은|도|만|의|요|서|로|나|부터|까지)?(?:는|은|도|요)?";
/** `a를`, `)은`: up to the end of the candidate, but for closing punctuation, or up to an opening bracket. */
const ATTACHED = new RegExp(`([a-z0-9)\\]])${PARTICLE}(?=[.,!?;:)\\]}~*]*$|[(\\[{])`, "iu");

/** The kana that follow a Latin letter are a particle or an ending, too: `/docsを`. */
const KANA = /([a-z0-9)\]])[\u3041-\u309f]+[.,!?;:)\]}~*]*$/iu;

function withoutParticle(path: string): string {
  const found = ATTACHED.exec(path) ?? KANA.exec(path);
  return found ? path.slice(0, found.index + 1) : path;
}

const OPENING: Readonly<Record<string, string>> = { ")": "(", "]": "[", "}": "{" };

/** A closing bracket that nothing in the address opens belongs to the sentence, and what follows it as well. */
function untilStrayBracket(link: string): string {
  const open: string[] = [];
  for (let at = 0; at < link.length; at++) {
    const sign = link[at]!;
    if ("([{".includes(sign)) open.push(sign);
    else if (OPENING[sign] && open.pop() !== OPENING[sign]) return link.slice(0, at);
  }
  return link;
}

function withoutPunctuation(link: string): string {
  let end = link.length;
  while (end > 0 && ".,!?;:~*([{".includes(link[end - 1]!)) end--;
  return link.slice(0, end);
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

/** As the server counts: code points of the composed form, whichever form the keyboard types. */
export function lengthOf(text: string): number {
  let count = 0;
  for (const _ of text.normalize("NFC")) count++;
  return count;
}

/** What draws nothing by itself, as in the server's text policy (src/doran/text/policy.py). */
const BLANK =
  /^[\s\p{Cc}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]*$/u;

/** Nothing that anybody could see: blanks, zero-width characters, Hangul fillers. */
export function isBlank(text: string): boolean {
  return BLANK.test(text);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are exactly the characters that the server refuses
const REFUSED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ud800-\udfff]/gu;

/** What is sent: exactly what was typed, but for blank lines at both ends, blanks behind, and characters the server refuses. */
export function cleaned(text: string): string {
  return text.replace(/\r\n?/g, "\n").replace(REFUSED, "").replace(/^(?:[^\S\n]*\n)+/, "").trimEnd();
}

/** One line for lists and quotes. */
export function snippet(text: string, length = 120): string {
  return [...text.replace(/\s+/g, " ").trim()].slice(0, length).join("");
}

/** The first visible character of a name for its avatar, without what could be piled on it: 준호 → 준, Minji → M. */
export function initial(name: string): string {
  for (const { segment } of new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(name.trim())) {
    const base = segment.normalize("NFC").replace(PILED, "");
    if (!isBlank(base)) return base.toUpperCase();
  }
  return "?";
}

/** Marks on a letter, but not the sign that makes ❤️ an emoji. */
const PILED = /(?!\ufe0f)\p{M}/gu;
/** No script writes more than these on one letter; what is piled higher paints over its neighbours. */
const TOO_MANY = /(\p{M}{4})\p{M}+/gu;

/** A name as it may stand among others. */
export function levelled(name: string): string {
  return name.normalize("NFC").replace(TOO_MANY, "$1");
}

/** A stable number below `count` for an id: which of the avatar's colours a person gets. */
export function hue(id: string, count: number): number {
  let hash = 7;
  for (const char of id) hash = (hash * 31 + char.codePointAt(0)!) >>> 0;
  return hash % count;
}
