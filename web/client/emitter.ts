/** Typed events over the platform's own EventTarget. */

export class Emitter<Events extends object> {
  readonly #target = new EventTarget();

  /** Listen; the returned function stops listening. */
  on<Name extends keyof Events & string>(name: Name, listener: (detail: Events[Name]) => void): () => void {
    const heard = (event: Event) => listener((event as CustomEvent<Events[Name]>).detail);
    this.#target.addEventListener(name, heard);
    return () => this.#target.removeEventListener(name, heard);
  }

  protected emit<Name extends keyof Events & string>(name: Name, detail: Events[Name]): void {
    this.#target.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
