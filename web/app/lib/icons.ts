/** The page's icons: drawn as lines, coloured by the text around them, silent to screen readers. */

import { html, svg, type SVGTemplateResult, type TemplateResult } from "lit";

const icon = (shape: SVGTemplateResult): TemplateResult =>
  html`<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">${shape}</svg>`;

export const icons = {
  back: icon(svg`<path d="m15 5-7 7 7 7"/>`),
  find: icon(svg`<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>`),
  person: icon(svg`<circle cx="10" cy="8" r="3.5"/><path d="M3.5 19.5c.6-3.6 3.2-5.5 6.5-5.5s5.9 1.9 6.5 5.5M18.5 8v6M15.5 11h6"/>`),
  more: icon(svg`<g fill="currentColor" stroke="none"><circle cx="5.5" cy="12" r="1.6"/><circle cx="12" cy="12" r="1.6"/><circle cx="18.5" cy="12" r="1.6"/></g>`),
  send: icon(svg`<path d="M12 19V5.5M6 11l6-6 6 6"/>`),
  check: icon(svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`),
  checks: icon(svg`<path d="m2.5 12.5 4.5 4.5 9-9.5M11.5 16.5l.5.5 9.5-9.5"/>`),
  clock: icon(svg`<circle cx="12" cy="12" r="7.5"/><path d="M12 8v4.5l2.5 1.5"/>`),
  alert: icon(svg`<circle cx="12" cy="12" r="8.5"/><path d="M12 7.5v5.5M12 16.3v.1"/>`),
  reply: icon(svg`<path d="m9 6-5 5 5 5M4.5 11H14a6 6 0 0 1 6 6v1"/>`),
  edit: icon(svg`<path d="m4.5 19.5.9-4L16 4.9a1.8 1.8 0 0 1 2.6 0l.5.5a1.8 1.8 0 0 1 0 2.6L8.5 18.6z"/>`),
  copy: icon(svg`<rect x="8.5" y="8.5" width="11" height="11" rx="2.5"/><path d="M15.5 5.5A1.5 1.5 0 0 0 14 4.5H6.5a2 2 0 0 0-2 2V14a1.5 1.5 0 0 0 1 1.5"/>`),
  trash: icon(svg`<path d="M4.5 7h15M9.5 7V4.5h5V7M6.5 7l.8 12.5h9.4L17.5 7"/>`),
  pin: icon(svg`<path d="M9 4h6l-.7 6 3.2 3.5h-11L9.7 10zM12 13.5V20"/>`),
  bell: icon(svg`<path d="M6.5 16.5V11a5.5 5.5 0 0 1 11 0v5.5l1.5 1.5H5zM10 20.5h4"/>`),
  mute: icon(svg`<path d="M6.5 16.5V11c0-1 .3-2 .7-2.8M9.5 6.1A5.5 5.5 0 0 1 17.5 11v4M5 18h12M10 20.5h4M4 4l16 16"/>`),
  archive: icon(svg`<rect x="4" y="5" width="16" height="4" rx="1"/><path d="M5.5 9v10h13V9M10 13h4"/>`),
  dot: icon(svg`<circle cx="12" cy="12" r="4" fill="currentColor" stroke="none"/>`),
  clear: icon(svg`<path d="M5 19.5h14M7.5 16 4.5 13a1.5 1.5 0 0 1 0-2.1l6.4-6.4a1.5 1.5 0 0 1 2.1 0l5 5a1.5 1.5 0 0 1 0 2.1L12.5 17H9z"/>`),
  block: icon(svg`<circle cx="12" cy="12" r="8"/><path d="m6.5 6.5 11 11"/>`),
  down: icon(svg`<path d="m5.5 9.5 6.5 6.5 6.5-6.5"/>`),
  close: icon(svg`<path d="m6 6 12 12M18 6 6 18"/>`),
  device: icon(svg`<rect x="4" y="5" width="16" height="11" rx="2"/><path d="M9 20h6M12 16v4"/>`),
  spark: icon(svg`<path d="M11 4.5c.7 4.2 2.3 5.8 6.5 6.5-4.2.7-5.8 2.3-6.5 6.5-.7-4.2-2.3-5.8-6.5-6.5 4.2-.7 5.8-2.3 6.5-6.5ZM18.5 15.5c.3 1.7 1 2.3 2.5 2.7-1.5.4-2.2 1-2.5 2.8-.3-1.8-1-2.4-2.5-2.8 1.5-.4 2.2-1 2.5-2.7Z"/>`),
  stop: icon(svg`<rect x="7" y="7" width="10" height="10" rx="2" fill="currentColor" stroke="none"/>`),
  undo: icon(svg`<path d="M8.5 5 4.5 9l4 4M5 9h9a5 5 0 0 1 0 10H9"/>`),
  translate: icon(svg`<path d="M4 6.5h9M8.5 4.5v2M11.5 6.5c-.9 3.8-3.4 6.7-7 8.5M6 9.5c1.1 2.3 2.8 4 5.5 5.2M12.5 20l4-9.5 4 9.5M14 17h5"/>`),
  list: icon(svg`<path d="M9 6.5h11M9 12h11M9 17.5h7M4.5 6.5h.1M4.5 12h.1M4.5 17.5h.1"/>`),
  chats: icon(svg`<path d="M4 12.5C4 8.4 7.6 5.5 12 5.5s8 2.9 8 7-3.6 7-8 7c-1 0-2-.1-2.9-.4L5 20.5l.9-3.2A6.6 6.6 0 0 1 4 12.5Z"/>`),
};
