// @vitest-environment happy-dom
/** Where the address says one is. */

import { expect, test } from "vitest";
import { placeOf } from "../../app/parts/app.ts";

test("the list, a conversation, and me", () => {
  expect(placeOf("")).toEqual({ pane: "list" });
  expect(placeOf("#/")).toEqual({ pane: "list" });
  expect(placeOf("#/c/01a2-b")).toEqual({ pane: "chat", id: "01a2-b" });
  expect(placeOf("#/c/a%2Fb")).toEqual({ pane: "chat", id: "a/b" });
  expect(placeOf("#/c/%")).toEqual({ pane: "chat", id: "%" });
  expect(placeOf("#/c/")).toEqual({ pane: "list" });
  expect(placeOf("#/me")).toEqual({ pane: "me" });
  expect(placeOf("#/anything")).toEqual({ pane: "list" });
});
