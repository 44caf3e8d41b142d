// Reads a list of AsyncAPI documents from standard input; prints, for each, what the official parser
// has against it and whether it could be read.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;
const parser = new Parser();
const verdicts = [];
for (const one of JSON.parse(readFileSync(0, "utf8"))) {
  const { document, diagnostics } = await parser.parse(JSON.stringify(one));
  const errors = diagnostics.filter((found) => found.severity === ERROR);
  verdicts.push({ read: document !== undefined, errors: errors.map((found) => found.message) });
}
console.log(JSON.stringify(verdicts));
