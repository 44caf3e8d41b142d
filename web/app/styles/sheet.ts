/** A sheet: a part that fills the place of a conversation, scrolls, and begins with the way back. */

import { css } from "lit";

export const sheet = css`
  :host {
    display: block;
    min-height: 0;
    overflow-y: auto;
    background: var(--paper);
    scrollbar-width: thin;
    scrollbar-color: var(--scroll) transparent;
  }
  .page {
    max-width: var(--sheet-width, 36rem);
    margin: 0 auto;
    padding: 1rem 1.25rem 3rem;
    padding-block-start: calc(1rem + env(safe-area-inset-top));
    display: grid;
    gap: 1rem;
  }
  header {
    display: flex;
    align-items: center;
    gap: 0.25rem;
    margin-inline-start: -0.6rem;
  }
`;
