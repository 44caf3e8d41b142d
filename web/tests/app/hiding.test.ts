// @vitest-environment happy-dom
/** Deleting for oneself: gone at once, told later, undone until then; the same in every tab, and after a reload. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Hiding, UNDO_MS } from "../../app/lib/hiding.ts";
import { type DoranClient, DoranError } from "../../client/index.ts";
import { message, MINJI } from "../client/fake.ts";

const [first, second] = [message(1), message(2)];

beforeEach(() => {
  vi.useFakeTimers();
  localStorage.clear();
});
afterEach(() => vi.useRealTimers());

/** A tab of 민지's, and what it told the server. */
function tab(answers: (id: string) => Promise<unknown> = () => Promise.resolve()) {
  const told: string[] = [];
  const refused: string[] = [];
  const heard = new Map<string, (detail: unknown) => void>();
  const remove = (id: string, scope: string) => {
    told.push(`${id} ${scope}`);
    return answers(id);
  };
  const client = { on: (name: string, then: (detail: unknown) => void) => heard.set(name, then), rest: { delete: remove } };
  const hiding = new Hiding();
  hiding.attend(client as unknown as DoranClient, (code) => refused.push(code));
  heard.get("session")!({ userId: MINJI });
  return { hiding, told, refused, says: (name: string, detail: unknown = {}) => heard.get(name)!(detail) };
}

/** The browser tells all tabs but the one that wrote. */
function tellTabs(): void {
  for (const key of [`doran.deleting.${MINJI}`]) dispatchEvent(new StorageEvent("storage", { key }));
}

test("it is hidden at once, and the server is told when it can no longer be undone", async () => {
  const { hiding, told } = tab();
  hiding.hide(first);
  expect(hiding.has(first.id)).toBe(true);
  await vi.advanceTimersByTimeAsync(UNDO_MS - 10);
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(20);
  expect(told).toEqual(["message-1 me"]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toHaveLength(1);
  expect(hiding.has(first.id)).toBe(true);
  expect(localStorage.length).toBe(0);
});

test("undone, it is back everywhere and the server hears of nothing", async () => {
  const here = tab();
  const there = tab();
  here.hiding.hide(first);
  here.hiding.hide(second);
  tellTabs();
  expect([there.hiding.has(first.id), there.hiding.undoable, here.hiding.undoable]).toEqual([true, 0, 2]);
  here.hiding.undo();
  tellTabs();
  expect([here, there].map(({ hiding }) => hiding.has(first.id))).toEqual([false, false]);
  await vi.advanceTimersByTimeAsync(120_000);
  expect([...here.told, ...there.told]).toEqual([]);
});

test("a tab that is gone leaves it to the next one, after a reload as well", async () => {
  localStorage.setItem(`doran.deleting.${MINJI}`, JSON.stringify([{ id: first.id, at: Date.now() + UNDO_MS }]));
  const { hiding, told } = tab();
  expect(hiding.has(first.id)).toBe(true);
  expect(hiding.undoable).toBe(0);
  await vi.advanceTimersByTimeAsync(UNDO_MS + 5_000);
  expect(told).toEqual(["message-1 me"]);
});

test("without a network it stays hidden and is told later; what cannot be is shown again, with the reason", async () => {
  let code = "network";
  const { hiding, told, refused } = tab(() => Promise.reject(new DoranError(code)));
  hiding.hide(first);
  await vi.advanceTimersByTimeAsync(UNDO_MS + 10);
  expect(hiding.has(first.id)).toBe(true);
  await vi.advanceTimersByTimeAsync(6_000);
  expect(told.length).toBeGreaterThan(1);
  code = "too_late";
  await vi.advanceTimersByTimeAsync(6_000);
  expect(hiding.has(first.id)).toBe(false);
  expect(refused).toEqual(["too_late"]);
});

test("whoever is about to press has time, and whoever logs out leaves nothing behind", async () => {
  const { hiding, told } = tab();
  hiding.hide(first);
  hiding.hold();
  await vi.advanceTimersByTimeAsync(UNDO_MS * 3);
  expect(told).toEqual([]);
  hiding.release();
  await hiding.finish();
  expect(told).toEqual(["message-1 me"]);
});
