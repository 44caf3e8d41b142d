/** What this browser remembers of the page's looks: language and theme. */

import { preferred, speak, type Language } from "../words/index.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "doran.looks";

interface Looks {
  readonly language?: Language;
  readonly theme?: Theme;
}

let looks: Looks = {};

export function theme(): Theme {
  return looks.theme ?? "system";
}

/** Before the first paint: take up what was chosen, or what the browser prefers; later also what is chosen in another tab. */
export function applyLooks(): void {
  takeUp();
  addEventListener("storage", ({ key }) => key === KEY && takeUp());
}

function takeUp(): void {
  looks = read();
  show();
}

export function choose(change: Looks): void {
  looks = { ...looks, ...change };
  try {
    localStorage.setItem(KEY, JSON.stringify(looks));
  } catch {
    // Storage is forbidden here: the choice lasts as long as the page.
  }
  show();
}

function read(): Looks {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Looks;
  } catch {
    return {};
  }
}

function show(): void {
  const spoken = looks.language ?? preferred(navigator.languages);
  document.documentElement.lang = spoken;
  document.documentElement.dataset["theme"] = theme();
  speak(spoken);
}
