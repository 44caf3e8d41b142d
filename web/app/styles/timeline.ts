/** How a conversation looks: rows, bubbles, marks, the way back to the newest. */

import { css } from "lit";

export const timeline = css`
  :host {
    position: relative;
    display: block;
    min-height: 0;
    min-width: 0;
  }
  .scroller {
    height: 100%;
    overflow-y: auto;
    overflow-anchor: none;
    overscroll-behavior: contain;
    scrollbar-width: thin;
    scrollbar-color: var(--scroll) transparent;
  }
  .content {
    min-height: 100%;
    display: flex;
    flex-direction: column;
    justify-content: flex-end;
    padding: 1rem 1.25rem 0.75rem;
    max-width: 60rem;
    margin: 0 auto;
  }
  .hollow {
    justify-content: center;
  }
  .top {
    min-height: 1.5rem;
    text-align: center;
    font-size: 0.8125rem;
    color: var(--ink-faint);
  }
  .beginning {
    display: grid;
    justify-items: center;
    gap: 0.5rem;
    padding: 1.5rem 0 0.75rem;
    text-align: center;
    color: var(--ink-soft);
    font-size: 0.9375rem;
    --size: 4rem;
  }
  .row {
    contain: layout style;
    padding-block-start: 0.1875rem;
  }
  .row.opens {
    padding-block-start: 0.75rem;
  }
  .day,
  .divider {
    display: flex;
    align-items: center;
    justify-content: center;
    gap: 0.9rem;
    padding: 1rem 0 0.9rem;
    font-size: 0.8125rem;
    color: var(--ink-soft);
  }
  .day span {
    padding: 0.25rem 0.85rem;
    border-radius: 1rem;
    background: var(--sunken);
  }
  .divider {
    color: var(--accent);
    font-weight: 600;
  }
  .divider::before,
  .divider::after {
    content: "";
    flex: 1;
    height: 1px;
    background: currentColor;
    opacity: 0.35;
  }
  .sum {
    display: flex;
    justify-content: center;
    padding: 0 0 0.75rem;
  }
  .sum .icon {
    width: 1.1rem;
    height: 1.1rem;
    color: var(--accent);
  }
  .lost {
    padding: 0.5rem 0;
    text-align: center;
    font-size: 0.8125rem;
    color: var(--ink-soft);
  }
  .line {
    display: flex;
    align-items: flex-end;
    gap: 0.4rem;
    border-radius: 1rem;
    position: relative;
  }
  .mine .line {
    flex-direction: row-reverse;
  }
  .face {
    width: 2.25rem;
    flex: none;
    align-self: flex-start;
    margin-inline-end: 0.2rem;
    --size: 2.25rem;
  }
  .bubble {
    min-width: 0;
    max-width: min(34rem, 74%);
    padding: 0.55rem 0.9rem 0.6rem;
    border-radius: 1.15rem;
    background: var(--theirs);
    color: var(--theirs-ink);
    box-shadow: var(--shadow-bubble);
    white-space: pre-wrap;
    overflow: clip;
    overflow-wrap: anywhere;
    word-break: keep-all;
  }
  /* Whoever selects several messages copies their words, and nothing that only stands beside them. */
  .line > .unseen,
  .day,
  .divider,
  .sum,
  .lost,
  .face,
  .quote,
  .meta,
  .refusal {
    user-select: none;
    -webkit-user-select: none;
  }
  .row:not(.mine).opens .bubble {
    border-start-start-radius: 0.35rem;
  }
  .mine .bubble {
    background: var(--mine);
    color: var(--mine-ink);
  }
  .mine.opens .bubble {
    border-start-end-radius: 0.35rem;
  }
  .bubble.gone {
    background: none;
    box-shadow: inset 0 0 0 1px var(--line);
    color: var(--ink-faint);
    font-size: 0.9375rem;
  }
  .bubble.emoji {
    background: none;
    box-shadow: none;
    padding: 0.1rem 0.2rem;
    font-size: 2.5rem;
    line-height: 1.2;
  }
  .bubble.pending {
    opacity: 0.85;
  }
  .bubble.refused {
    background: var(--danger-soft);
    color: var(--ink);
  }
  .bubble a {
    color: inherit;
    text-decoration: underline;
    text-decoration-thickness: 1px;
    text-underline-offset: 3px;
    overflow-wrap: anywhere;
  }
  .quote {
    display: grid;
    width: 100%;
    min-width: 6rem;
    text-align: start;
    margin: 0.1rem 0 0.5rem;
    padding: 0.35rem 0.7rem;
    border-inline-start: 3px solid var(--accent);
    border-radius: 0.5rem;
    background: color-mix(in srgb, currentColor 7%, transparent);
    font-size: 0.875rem;
    line-height: 1.4;
    white-space: normal;
  }
  .quote span {
    overflow: hidden;
    display: -webkit-box;
    -webkit-box-orient: vertical;
    -webkit-line-clamp: 2;
    opacity: 0.85;
  }
  .emoji .quote {
    color: var(--ink);
  }
  .meta {
    position: relative;
    flex: none;
    display: flex;
    align-items: center;
    gap: 0.25rem;
    padding-block-end: 0.15rem;
    font-size: 0.75rem;
    line-height: 1.2;
    color: var(--meta);
    white-space: nowrap;
  }
  .mark {
    color: var(--meta);
  }
  .mark .icon {
    stroke-width: 2.2;
  }
  .mark.read {
    color: var(--accent);
  }
  .late {
    animation: late 200ms 350ms both;
  }
  @keyframes late {
    from {
      opacity: 0;
    }
  }
  .more {
    width: 2rem;
    height: 2rem;
    opacity: 0;
    align-self: center;
  }
  .more .icon {
    width: 1.15rem;
    height: 1.15rem;
  }
  .line:focus-visible .more,
  .more:focus-visible {
    opacity: 1;
  }
  @media (hover: hover) {
    .line:hover .more {
      opacity: 1;
    }
  }
  .held .bubble {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }
  /* A finger rests on the message; the button is there for who hears the page. */
  @media (pointer: coarse) {
    .more {
      position: absolute;
      inset-block-end: 0;
      width: 1px;
      height: 1px;
      overflow: hidden;
      clip-path: inset(50%);
    }
    .bubble {
      -webkit-touch-callout: none;
      user-select: none;
      -webkit-user-select: none;
    }
  }
  .refusal {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    justify-content: flex-end;
    gap: 0.2rem 0.6rem;
    padding: 0.3rem 0.1rem 0;
    font-size: 0.8125rem;
    color: var(--danger);
  }
  .flash .bubble {
    animation: flash 1.5s ease-out;
  }
  @keyframes flash {
    0%,
    40% {
      box-shadow: 0 0 0 3px var(--accent);
    }
  }
  .jump {
    position: absolute;
    inset-inline: 0;
    inset-block-end: 0.9rem;
    margin: 0 auto;
    width: fit-content;
    min-width: 2.75rem;
    height: 2.75rem;
    display: flex;
    align-items: center;
    justify-content: center;
    gap: 0.4rem;
    padding: 0 0.7rem;
    border: 1px solid var(--line);
    border-radius: 1.5rem;
    background: var(--raised);
    color: var(--accent);
    box-shadow: var(--shadow);
    font-size: 0.875rem;
    font-weight: 600;
  }
  .jump span {
    padding-inline-start: 0.35rem;
  }
  @media (max-width: 759px) {
    .content {
      padding-inline: 0.85rem;
    }
    .bubble {
      max-width: 76%;
    }
  }
`;
