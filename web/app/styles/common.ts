/** Styles that every element shares: type, buttons, fields, focus. */

import { css } from "lit";

export const common = css`
  :host {
    box-sizing: border-box;
    font: inherit;
    color: inherit;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  [hidden] {
    display: none !important;
  }
  h1,
  h2,
  h3,
  p,
  ul,
  ol,
  dl,
  dd,
  fieldset {
    margin: 0;
    padding: 0;
    border: 0;
  }
  ul,
  ol {
    list-style: none;
  }
  h1 {
    font-size: 1.2rem;
    font-weight: 700;
    letter-spacing: -0.02em;
  }
  h2 {
    font-size: 1.0625rem;
    font-weight: 700;
    letter-spacing: -0.015em;
  }
  a {
    color: inherit;
  }
  .icon {
    width: 1.375rem;
    height: 1.375rem;
    flex: none;
    display: block;
  }
  .icon.small,
  .small > .icon {
    width: 0.9375rem;
    height: 0.9375rem;
  }
  .unseen {
    position: absolute;
    width: 1px;
    height: 1px;
    margin: -1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  :focus {
    outline: none;
  }
  :focus-visible {
    outline: 2px solid var(--focus);
    outline-offset: 2px;
  }
  button {
    font: inherit;
    color: inherit;
    background: none;
    border: 0;
    padding: 0;
    cursor: pointer;
    -webkit-tap-highlight-color: transparent;
  }
  button:disabled {
    cursor: default;
    opacity: 0.5;
  }
  .round {
    display: inline-grid;
    place-items: center;
    width: 2.5rem;
    height: 2.5rem;
    border-radius: 50%;
    color: var(--ink-soft);
    flex: none;
  }
  .round:hover:not(:disabled) {
    background: var(--hover);
    color: var(--ink);
  }
  .button {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 0.4rem;
    min-height: 2.75rem;
    padding: 0 1.15rem;
    border-radius: 0.75rem;
    font-weight: 600;
    text-decoration: none;
    white-space: nowrap;
  }
  .button.plain {
    background: var(--sunken);
    color: var(--ink);
  }
  .button.main {
    background: var(--accent);
    color: var(--on-accent);
  }
  .button.main:hover:not(:disabled) {
    background: var(--accent-strong);
  }
  .button.danger {
    background: var(--danger-soft);
    color: var(--danger);
  }
  .button.slim {
    min-height: 2.25rem;
    padding: 0 0.85rem;
    font-size: 0.875rem;
    border-radius: 0.625rem;
  }
  .link {
    color: var(--accent);
    font-weight: 600;
    border-radius: 0.25rem;
  }
  .link:hover {
    text-decoration: underline;
    text-underline-offset: 3px;
  }
  .field {
    display: grid;
    gap: 0.35rem;
  }
  .field > label,
  .label {
    font-size: 0.875rem;
    font-weight: 600;
    color: var(--ink-soft);
  }
  .hint {
    font-size: 0.8125rem;
    color: var(--ink-faint);
  }
  .wrong {
    font-size: 0.8125rem;
    color: var(--danger);
  }
  input:not([type="checkbox"], [type="radio"]) {
    font: inherit;
    font-size: 1rem;
    color: inherit;
    width: 100%;
    min-height: 2.875rem;
    padding: 0 0.9rem;
    background: var(--raised);
    border: 1px solid var(--line);
    border-radius: 0.75rem;
  }
  input::placeholder,
  textarea::placeholder {
    color: var(--ink-faint);
    opacity: 1;
  }
  input[aria-invalid="true"] {
    border-color: var(--danger);
  }
  bdi,
  .isolate {
    unicode-bidi: isolate;
  }
  .empty {
    display: grid;
    justify-items: center;
    align-content: center;
    gap: 0.4rem;
    padding: 2rem 1.5rem;
    text-align: center;
    color: var(--ink-soft);
  }
  .empty .icon {
    width: 2.75rem;
    height: 2.75rem;
    color: var(--accent);
    opacity: 0.75;
    stroke-width: 1.3;
    margin-bottom: 0.35rem;
  }
  .empty strong {
    color: var(--ink);
    font-size: 1.0625rem;
  }
  @media (prefers-reduced-motion: reduce) {
    * {
      animation: none !important;
      transition: none !important;
    }
  }
  @media (forced-colors: active) {
    .button,
    .bubble {
      border: 1px solid;
    }
  }
`;
