/** The browser's storage: what was kept is there for the next page, in order, and each person's own. */

import "fake-indexeddb/auto";
import { describe, expect, test } from "vitest";
import { BrowserStorage, MemoryStorage, type Storage, type Waiting } from "../../client/storage.ts";

const entry = (clientMessageId: string, createdAt: number, userId = "minji"): Waiting => ({ clientMessageId, userId, conversationId: "talk", content: "말", messageType: "text", replyTo: null, createdAt, problem: null });

const KINDS: readonly [string, () => Storage][] = [
  ["memory", () => new MemoryStorage()],
  ["IndexedDB", () => new BrowserStorage(`storage-${Math.random()}`)],
];

for (const [name, make] of KINDS) {
  describe(name, () => {
    test("what waits comes back oldest first, without what was forgotten or is another's", async () => {
      const storage = make();
      for (const one of [entry("b", 2), entry("a", 1), entry("c", 3), entry("d", 0, "sora")]) await storage.keep(one);
      await storage.forget("c");
      expect((await storage.waiting("minji")).map(({ clientMessageId }) => clientMessageId)).toEqual(["a", "b"]);
      await storage.forgetAll("minji");
      expect(await storage.waiting("minji")).toEqual([]);
      expect(await storage.waiting("sora")).toHaveLength(1);
    });

    test("a session is kept and removed", async () => {
      const storage = make();
      expect(await storage.readSession()).toBeNull();
      await storage.writeSession({ userId: "minji", sessionId: "s", refreshToken: "r" });
      expect((await storage.readSession())?.refreshToken).toBe("r");
      await storage.writeSession(null);
      expect(await storage.readSession()).toBeNull();
    });

    test("exclusive work never overlaps, also after one failed", async () => {
      const storage = make();
      let inside = 0;
      let most = 0;
      const work = async () => {
        most = Math.max(most, ++inside);
        await Promise.resolve();
        inside--;
      };
      const failing = storage.exclusively("refresh", async () => {
        throw new Error("no");
      });
      await Promise.all([expect(failing).rejects.toThrow("no"), ...Array.from({ length: 4 }, () => storage.exclusively("refresh", work))]);
      expect(most).toBe(1);
    });
  });
}

test("two pages of one browser see the same", async () => {
  await new BrowserStorage("shared").keep(entry("a", 1));
  expect(await new BrowserStorage("shared").waiting("minji")).toHaveLength(1);
});
