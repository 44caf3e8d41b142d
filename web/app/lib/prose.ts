/** Text as text: everything stands apart from its surroundings' direction, and nothing in it is ever HTML. */

import { html, type TemplateResult } from "lit";
import { tokens } from "./text.ts";

/** What a person wrote: addresses in it are links, elements of their own. */
export function prose(content: string): TemplateResult {
  return html`<span class="isolate" dir="auto">${tokens(content).map((token) => (token.kind === "text" ? token.text : html`<a href=${token.href} target="_blank" rel="noopener noreferrer nofollow">${token.text}</a>`))}</span>`;
}

/** What a model wrote: without links, for nobody has looked where they lead. */
export function answer(content: string): TemplateResult {
  return html`<span class="isolate" dir="auto">${content}</span>`;
}
