/** Three dots that say: it thinks. Silent to screen readers, which are told in words. */

import { html } from "lit";

export const dots = html`<span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>`;
