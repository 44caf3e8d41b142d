/** A finger that rests on something: what a right click is to a mouse. iOS has no event for it. */

const LONG_PRESS_MS = 450;
/** A finger that rests still trembles a little. */
const TREMBLE = 10;

export class LongPress {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #at = { x: 0, y: 0 };
  /** The press has had its effect: the click that the browser makes of it (on a link, a quote) must have none. */
  #done = false;

  /** At `pointerdown`. */
  begin({ pointerType, clientX: x, clientY: y }: PointerEvent, act: () => void): void {
    this.end();
    this.#done = false;
    if (pointerType !== "touch") return;
    this.#at = { x, y };
    this.#timer = setTimeout(() => {
      this.#done = true;
      act();
    }, LONG_PRESS_MS);
  }

  readonly move = ({ clientX, clientY }: PointerEvent): void => {
    if (Math.hypot(clientX - this.#at.x, clientY - this.#at.y) > TREMBLE) this.end();
  };

  readonly end = (): void => clearTimeout(this.#timer);

  /** For `@click`, before anything below hears it. */
  readonly click = {
    capture: true,
    handleEvent: (event: Event): void => {
      if (!this.#done) return;
      this.#done = false;
      event.preventDefault();
      event.stopPropagation();
    },
  };
}

/** A right click, or what a browser makes of a finger that rests. */
export function isByFinger(event: MouseEvent): boolean {
  return (event as PointerEvent).pointerType === "touch" || matchMedia("(pointer: coarse)").matches;
}
