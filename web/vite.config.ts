/** Builds the page into `dist/`: hashed names, a manifest, nothing inline, so that a strict CSP holds; compressed beside. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Smaller files save no packet. */
const WORTHWHILE = 1024;

/** `x.js.br` and `x.js.gz` beside each text: the server sends what the browser accepts, and compresses nothing itself. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  writeBundle({ dir = "" }) {
    for (const name of readdirSync(dir, { recursive: true, encoding: "utf-8" })) {
      if (!/\.(?:js|css|svg|html)$/.test(name)) continue;
      const file = `${dir}/${name}`;
      const body = readFileSync(file);
      if (body.length < WORTHWHILE) continue;
      writeFileSync(`${file}.br`, brotliCompressSync(body));
      writeFileSync(`${file}.gz`, gzipSync(body, { level: 9 }));
    }
  },
};

export default defineConfig({
  root: "app",
  base: "/",
  publicDir: false,
  plugins: [compressed],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    manifest: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    proxy: {
      "/api": "http://127.0.0.1:8000",
      "/ws": { target: "ws://127.0.0.1:8000", ws: true },
    },
  },
});
