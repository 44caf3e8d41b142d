/** How what the AI brings looks: cards apart from people's words, progress, a quiet line of acts below. */

import { css } from "lit";

export const aid = css`
  .aid {
    display: grid;
    gap: 0.5rem;
    padding: 0.8rem 1rem;
    border: 1px solid var(--line);
    border-radius: 1rem;
    background: var(--raised);
    font-size: 0.9375rem;
    overflow: clip;
    animation: arrive 140ms ease-out;
  }
  @keyframes arrive {
    from {
      opacity: 0;
      transform: translateY(0.25rem);
    }
  }
  .aid-head {
    display: flex;
    align-items: center;
    gap: 0.4rem;
    min-height: 1.75rem;
    color: var(--accent);
    font-weight: 600;
    font-size: 0.875rem;
  }
  .aid-head > .icon {
    width: 1.1rem;
    height: 1.1rem;
  }
  .aid-head .hint {
    font-weight: 400;
  }
  .aid-head .acts {
    margin-inline-start: auto;
  }
  .aid-text {
    white-space: pre-wrap;
    overflow-wrap: anywhere;
  }
  .acts {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.25rem 0.9rem;
    font-size: 0.875rem;
  }
  .acts .round {
    width: 2rem;
    height: 2rem;
  }
  .acts .round .icon {
    width: 1.1rem;
    height: 1.1rem;
  }
  .acts .link {
    min-height: 1.75rem;
  }
  .failed {
    color: var(--danger);
  }
  .dots {
    display: inline-flex;
    align-items: center;
    gap: 0.3rem;
    height: 1.25rem;
  }
  .dots i {
    width: 0.4rem;
    height: 0.4rem;
    border-radius: 50%;
    background: currentColor;
    opacity: 0.35;
    animation: think 1.2s infinite ease-in-out;
  }
  .dots i:nth-child(2) {
    animation-delay: 0.15s;
  }
  .dots i:nth-child(3) {
    animation-delay: 0.3s;
  }
  @keyframes think {
    30% {
      opacity: 0.9;
      transform: translateY(-2px);
    }
  }
  .bot {
    display: inline-block;
    flex: none;
    padding: 0.05rem 0.4rem;
    border-radius: 0.4rem;
    background: var(--accent-soft);
    color: var(--accent-strong);
    font-size: 0.6875rem;
    font-weight: 700;
    line-height: 1.5;
    vertical-align: 0.1em;
    letter-spacing: 0.02em;
  }
`;
