// Reads an AsyncAPI document from standard input and prints what the official parser has against it.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;
const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
for (const one of diagnostics.filter((found) => found.severity === ERROR)) {
  console.log(`${one.path.join(".")}: ${one.message}`);
}
console.log(document ? `parsed ${document.version()}` : "refused");
