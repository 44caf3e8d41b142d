/**
 * When Enter sends. While Hangul is being composed, Enter first commits the syllable; what then counts is whether
 * the browser would go on and break the line. The orders seen:
 *
 * - Chromium, Firefox (Korean): keydown 229/Process composing · compositionend · keydown Enter → send at the second keydown.
 * - Safari (Korean): compositionend · keydown 229, not composing · beforeinput insertLineBreak → send at beforeinput.
 * - Japanese, Chinese: Enter only commits; neither a second keydown nor a line break follows → nothing is sent.
 *
 * The text is never taken or cleared while composing: the input method would write its syllable into the emptied box,
 * and the last syllable would be sent twice.
 */

export interface KeyLike {
  readonly key: string;
  readonly keyCode: number;
  readonly isComposing: boolean;
  readonly shiftKey: boolean;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
}

export interface InputLike {
  readonly inputType: string;
  readonly isComposing: boolean;
}

/** `send`: keep the browser from acting, send what the box holds. `wait`: send when the composition has ended. `pass`: not ours. */
export type Verdict = "send" | "wait" | "pass";

const COMPOSING_KEY = 229;

export class EnterGate {
  #composing = false;
  #shift = false;
  #wanted = false;

  get composing(): boolean {
    return this.#composing;
  }

  keydown(event: KeyLike): Verdict {
    if (event.key !== "Enter") return "pass";
    this.#shift = event.shiftKey || event.altKey;
    if (this.#composing || event.isComposing || event.keyCode === COMPOSING_KEY) return "pass";
    if (this.#shift) return "pass";
    return "send";
  }

  /** A line break that no keydown has announced as ours: the Enter that ended a composition in Safari. */
  beforeInput(event: InputLike): Verdict {
    if (event.inputType !== "insertLineBreak" && event.inputType !== "insertParagraph") return "pass";
    if (this.#shift) return "pass";
    if (!this.#composing && !event.isComposing) return "send";
    this.#wanted = true;
    return "wait";
  }

  /** The button was pressed. `wait`: end the composition (blur), then `compositionEnd` says when. */
  press(): Verdict {
    if (!this.#composing) return "send";
    this.#wanted = true;
    return "wait";
  }

  compositionStart(): void {
    this.#composing = true;
    this.#wanted = false;
  }

  /** `send` if somebody was waiting for the last syllable. */
  compositionEnd(): Verdict {
    this.#composing = false;
    const wanted = this.#wanted;
    this.#wanted = false;
    return wanted ? "send" : "pass";
  }

  keyup(event: { readonly key: string }): void {
    if (event.key === "Shift" || event.key === "Enter") this.#shift = false;
  }
}
