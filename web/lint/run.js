// Runs the linter of this machine's kind on web/. Install it first: npm --prefix lint ci
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const path = `node_modules/@biomejs/cli-${process.platform}-${process.arch}/biome`;
const biome = fileURLToPath(new URL(path, import.meta.url));
const { status, error } = spawnSync(biome, process.argv.slice(2), { stdio: "inherit" });
if (error) console.error(`${error.message}. Install the linter first: npm --prefix lint ci`);
process.exit(status ?? 1);
