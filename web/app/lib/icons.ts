/** The page's icons: drawn as lines, coloured by the text around them, silent to screen readers. */

import { html, svg, type SVGTemplateResult, type TemplateResult } from "lit";

const icon = (shape: SVGTemplateResult): TemplateResult =>
  html`<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">${shape}</svg>`;

export const icons = {
  back: icon(svg`<path d="m15 5-7 7 7 7"/>`),
  find: icon(svg`<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>`),
  person: icon(svg`<circle cx="10" cy="8" r="3.5"/><path d="M3.5 19.5c.6-3.6 3.2-5.5 6.5-5.5s5.900 1.900 6.500 5.500M18.500 8v6M15.500 11h6"/>`),
  more: icon(svg`<g fill="currentColor" stroke="none"><circle cx="5.500" cy="12" r="1.600"/><circle cx="12" cy="12" r="1.600"/><circle cx="18.500" cy="12" r="1.600"/></g>`),
  send: icon(svg`<path d="M12 19V5.500M6 11l6-6 6 6"/>`),
  check: icon(svg`<path d="m5 12.500 4.500 4.500L19 7.500"/>`),
  checks: icon(svg`<path d="m2.500 12.500 4.500 4.500 9-9.500M11.500 16.500l.500.500 9.500-9.500"/>`),
  clock: icon(svg`<circle cx="12" cy="12" r="7.500"/><path d="M12 8v4.500l2.500 1.500"/>`),
  alert: icon(svg`<circle cx="12" cy="12" r="8.500"/><path d="M12 7.500v5.500M12 16.300v.100"/>`),
  reply: icon(svg`<path d="m9 6-5 5 5 5M4.500 11H14a6 6 0 0 1 6 6v1"/>`),
  edit: icon(svg`<path d="m4.500 19.500.900-4L16 4.900a1.800 1.800 0 0 1 2.600 0l.500.500a1.800 1.800 0 0 1 0 2.600L8.500 18.600z"/>`),
  copy: icon(svg`<rect x="8.500" y="8.500" width="11" height="11" rx="2.500"/><path d="M15.500 5.500A1.500 1.500 0 0 0 14 4.500H6.500a2 2 0 0 0-2 2V14a1.500 1.500 0 0 0 1 1.500"/>`),
  trash: icon(svg`<path d="M4.500 7h15M9.500 7V4.500h5V7M6.500 7l.800 12.500h9.400L17.500 7"/>`),
  pin: icon(svg`<path d="M9 4h6l-.700 6 3.200 3.500h-11L9.700 10zM12 13.500V20"/>`),
  bell: icon(svg`<path d="M6.500 16.500V11a5.500 5.500 0 0 1 11 0v5.500l1.500 1.500H5zM10 20.500h4"/>`),
  mute: icon(svg`<path d="M6.500 16.500V11c0-1 .300-2 .700-2.800M9.500 6.100A5.500 5.500 0 0 1 17.500 11v4M5 18h12M10 20.500h4M4 4l16 16"/>`),
  archive: icon(svg`<rect x="4" y="5" width="16" height="4" rx="1"/><path d="M5.500 9v10h13V9M10 13h4"/>`),
  dot: icon(svg`<circle cx="12" cy="12" r="4" fill="currentColor" stroke="none"/>`),
  clear: icon(svg`<path d="M5 19.500h14M7.500 16 4.500 13a1.500 1.500 0 0 1 0-2.100l6.400-6.400a1.500 1.500 0 0 1 2.100 0l5 5a1.500 1.500 0 0 1 0 2.100L12.500 17H9z"/>`),
  block: icon(svg`<circle cx="12" cy="12" r="8"/><path d="m6.500 6.500 11 11"/>`),
  down: icon(svg`<path d="m5.500 9.500 6.500 6.500 6.500-6.500"/>`),
  close: icon(svg`<path d="m6 6 12 12M18 6 6 18"/>`),
  gear: icon(svg`<circle cx="12" cy="12" r="3"/><path d="M12 3.500v2.500M12 18v2.500M3.500 12H6M18 12h2.500M6 6l1.800 1.800M16.200 16.200 18 18M18 6l-1.800 1.800M7.800 16.200 6 18"/>`),
  device: icon(svg`<rect x="4" y="5" width="16" height="11" rx="2"/><path d="M9 20h6M12 16v4"/>`),
  chats: icon(svg`<path d="M4 12.500C4 8.400 7.600 5.500 12 5.500s8 2.900 8 7-3.600 7-8 7c-1 0-2-.100-2.900-.400L5 20.500l.900-3.200A6.600 6.600 0 0 1 4 12.500Z"/>`),
};
