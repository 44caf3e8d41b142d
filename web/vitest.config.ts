/** Tests of the client (fake socket, fake clock) and of the page's own logic. */

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    environment: "node",
    sequence: { shuffle: true },
    restoreMocks: true,
  },
});
