/** A person's face: the first syllable of the name on a colour of their own, and whether they are here. */

import { css, html, nothing, type TemplateResult } from "lit";
import { Piece } from "../lib/piece.ts";
import { hue, initial } from "../lib/text.ts";
import { common } from "../styles/common.ts";

const COLOURS = 8;

export class DoranAvatar extends Piece {
  static override properties = { userId: {}, name: {}, present: { type: Boolean } };

  declare userId: string;
  declare name: string;
  declare present: boolean;

  constructor() {
    super();
    this.userId = "";
    this.name = "";
    this.present = false;
  }

  override render(): TemplateResult {
    return html`<span class="face c${hue(this.userId, COLOURS)}" aria-hidden="true">${initial(this.name)}</span>${this.present ? html`<span class="here"><span class="unseen">${this.words.online}</span></span>` : nothing}`;
  }

  static override styles = [
    common,
    css`
      :host {
        position: relative;
        display: block;
        flex: none;
        width: var(--size, 3rem);
        height: var(--size, 3rem);
      }
      .face {
        display: grid;
        place-items: center;
        width: 100%;
        height: 100%;
        border-radius: 38%;
        overflow: clip;
        font-weight: 600;
        font-size: calc(var(--size, 3rem) * 0.4);
        line-height: 1;
        color: #2a2f2c;
        filter: var(--face-filter, none);
      }
      .here {
        position: absolute;
        inset-inline-end: -2px;
        inset-block-end: -2px;
        width: 0.8125rem;
        height: 0.8125rem;
        border-radius: 50%;
        background: var(--present);
        border: 2.5px solid var(--ring, var(--surface));
      }
      @media (forced-colors: active) {
        .here {
          forced-color-adjust: none;
          background: CanvasText;
          border-color: Canvas;
        }
      }
      .c0 { background: #cfe3d6; }
      .c1 { background: #f1dcc5; }
      .c2 { background: #d5dcef; }
      .c3 { background: #f0d3d0; }
      .c4 { background: #e8e2b8; }
      .c5 { background: #dfd3ea; }
      .c6 { background: #c8e1e6; }
      .c7 { background: #e3d8c9; }
    `,
  ];
}

customElements.define("doran-avatar", DoranAvatar);
