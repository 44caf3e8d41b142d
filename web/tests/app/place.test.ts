// @vitest-environment happy-dom
/** Where the address says one is. */

import { expect, test } from "vitest";
import { placeOf } from "../../app/parts/app.ts";

test("the list, a conversation, a message in it, asking, and me", () => {
  expect(placeOf("")).toEqual({ pane: "list" });
  expect(placeOf("#/")).toEqual({ pane: "list" });
  expect(placeOf("#/c/01a2-b")).toEqual({ pane: "chat", id: "01a2-b", at: 0 });
  expect(placeOf("#/c/01a2-b/17")).toEqual({ pane: "chat", id: "01a2-b", at: 17 });
  for (const odd of ["0", "-1", "1e9", "x", "99999999999999999999"]) expect(placeOf(`#/c/01a2-b/${odd}`)).toMatchObject({ at: 0 });
  expect(placeOf("#/ask")).toEqual({ pane: "ask" });
  expect(placeOf("#/c/a%2Fb")).toEqual({ pane: "chat", id: "a/b", at: 0 });
  expect(placeOf("#/c/%")).toEqual({ pane: "chat", id: "%", at: 0 });
  expect(placeOf("#/c/")).toEqual({ pane: "list" });
  expect(placeOf("#/me")).toEqual({ pane: "me" });
  expect(placeOf("#/anything")).toEqual({ pane: "list" });
});
