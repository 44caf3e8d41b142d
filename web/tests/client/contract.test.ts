/** The client's tables and types say what the server's say: read from the server's own source. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ko } from "../../app/words/ko.ts";
import { ASSISTANT_ID } from "../../client/ai.ts";
import { CLOSES, DoranError } from "../../client/errors.ts";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf-8");
const errors = read("../../../src/doran/contracts/errors.py");
const spoken = read("../../../src/doran/contracts/frames.py");
const ours = read("../../client/frames.ts");

const problems = [...errors.matchAll(/\(\s*"(\w+)",\s*(\d{3}),/g)].map(([, code]) => code!);

/** The fields of a struct of the server, without those it inherits. */
function struct(name: string, source = spoken): string[] {
  const body = source.match(new RegExp(`class ${name}\\(.*\\):\\n((?: {4}.*\\n|\\n)+?)\\n\\n`))![1]!;
  return [...body.matchAll(/^ {4}(\w+): /gm)].map(([, field]) => field!);
}

/** The fields of an interface of ours. */
function shape(name: string): string[] {
  const body = ours.match(new RegExp(`interface ${name}\\b[^{]*{([^}]*)}`))![1]!;
  return [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, field]) => field!);
}

test("close codes: each has its name, and the same answer to whether one comes back", () => {
  const theirs = [...errors.matchAll(/\(\s*(\d{4}),\s*"(\w+)",\s*(True|False),/g)].map(([, code, name, back]) => [code, name, back === "True"]);
  expect(theirs.length).toBeGreaterThan(8);
  expect(Object.entries(CLOSES).map(([code, { name, next }]) => [code, name, next !== "stop"])).toEqual(theirs);
});

test("every refusal that is treated by its code, or has words of its own, exists", () => {
  expect(problems.length).toBeGreaterThan(25);
  const own = ["network", "timeout", "disconnected", "unknown"];
  expect(Object.keys(ko.problem).filter((code) => !problems.includes(code) && !own.includes(code))).toEqual([]);
  expect(problems.filter((code) => new DoranError(code).passing)).toEqual(["not_authenticated", "request_timeout", "too_many_requests", "internal_error", "unavailable", "storage_full"]);
  expect(problems.filter((code) => new DoranError(code).sessionOver)).toEqual(["invalid_refresh_token", "refresh_token_reused"]);
});

test("every reason for which a job may fail has words, and no other", () => {
  const table = errors.slice(errors.indexOf("_JOB_FAILURES = ("), errors.indexOf("PROBLEMS: Final"));
  const reasons = [...table.matchAll(/\(\s*"(\w+)",\s*"/g)].map(([, code]) => code!);
  expect(reasons.length).toBeGreaterThan(10);
  expect(Object.keys(ko.ai.failure).sort()).toEqual(reasons.sort());
});

test("frames: the same kinds are known on both sides", () => {
  const theirs = new Set([...spoken.matchAll(/tag="([\w.]+)"/g)].map(([, tag]) => tag));
  const known = new Set([...ours.matchAll(/type: ((?:"[\w.]+"(?: \| )?)+)/g)].flatMap(([, tags]) => tags!.split(" | ").map((tag) => tag.slice(1, -1))));
  known.delete("Bearer");
  theirs.delete("conversation_history"); // said on the door of one conversation only, which this client does not use
  expect([...known].sort()).toEqual([...theirs].sort());
});

test("what ai offers, and what it says of words that went somewhere, is understood", () => {
  expect(shape("AiOffer").sort()).toEqual(struct("ShopWindow", read("../../../src/doran/contracts/frames.py")).sort());
  expect(shape("Disclosure").sort()).toEqual(struct("DisclosureView", read("../../../src/doran/ai/privacy/views.py")).sort());
  expect(read("../../../src/doran/contracts/people.py")).toContain(`"${ASSISTANT_ID}"`);
});

for (const [theirs, mine] of [["MessageView", "Message"], ["Marks", "Marks"], ["MyState", "MyState"], ["ConversationView", "Conversation"], ["ChangesPage", "ChangesPage"], ["ReceiptView", "Receipt"], ["JobView", "Job"], ["JobResult", "JobResult"], ["Citation", "Citation"], ["Verdict", "Verdict"], ["ConsentView", "Consent"], ["PublicProfile", "PublicProfile"]] as const) {
  test(`${mine} has the fields of the server's ${theirs}`, () => {
    expect(shape(mine).sort()).toEqual(struct(theirs).sort());
  });
}
