/** Many events of one moment, drawn together: drawing all of a long list at each of them costs the square of its length. */

const GAP_MS = 100;

export interface Calm {
  (): void;
  /** Forget what was to come. */
  end(): void;
}

/** Call `then` at once, and once more for all that was said within the gap after it. */
export function calm(then: () => void, gap = GAP_MS): Calm {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let wanted = false;
  const rest = () => {
    timer = undefined;
    if (wanted) act();
  };
  const act = () => {
    wanted = false;
    timer = setTimeout(rest, gap);
    then();
  };
  const say = () => {
    if (timer === undefined) act();
    else wanted = true;
  };
  const end = () => {
    clearTimeout(timer);
    timer = undefined;
    wanted = false;
  };
  return Object.assign(say, { end });
}
