/** How a dialog looks: a card in front of everything else. */

import { css } from "lit";

export const dialog = css`
  dialog {
    width: min(26rem, calc(100vw - 2rem));
    max-height: calc(100dvh - 2rem);
    padding: 0;
    border: 1px solid var(--line);
    border-radius: 1.25rem;
    background: var(--surface);
    color: var(--ink);
    box-shadow: var(--shadow);
  }
  dialog::backdrop {
    background: rgb(20 22 20 / 40%);
  }
  .box {
    padding: 1.1rem 1.25rem 1.35rem;
    display: grid;
    gap: 0.7rem;
  }
  .head {
    display: flex;
    align-items: center;
    justify-content: space-between;
    margin-inline-end: -0.5rem;
  }
`;
