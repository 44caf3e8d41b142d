/** Saying that I write: at most every few seconds, and that I stopped when my hands rest. */

const REPEAT_MS = 4_000;
const REST_MS = 5_000;

export class TypingNotice {
  readonly #say: (conversationId: string, isTyping: boolean) => void;
  #conversationId: string | null = null;
  #saidAt = 0;
  #resting: ReturnType<typeof setTimeout> | undefined;

  constructor(say: (conversationId: string, isTyping: boolean) => void) {
    this.#say = say;
  }

  note(conversationId: string, isTyping: boolean): void {
    if (!isTyping) return this.#stop(conversationId);
    if (this.#conversationId !== conversationId) this.#stop(this.#conversationId);
    if (this.#conversationId !== conversationId || Date.now() - this.#saidAt >= REPEAT_MS) this.#start(conversationId);
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => this.#stop(conversationId), REST_MS);
  }

  /** A message ends it on the other side; nothing needs to be said. */
  sent(conversationId: string): void {
    if (this.#conversationId === conversationId) this.forget();
  }

  #start(conversationId: string): void {
    this.#conversationId = conversationId;
    this.#saidAt = Date.now();
    this.#say(conversationId, true);
  }

  #stop(conversationId: string | null): void {
    if (conversationId === null || this.#conversationId !== conversationId) return;
    this.forget();
    this.#say(conversationId, false);
  }

  /** Whoever wrote is gone. */
  forget(): void {
    this.#conversationId = null;
    clearTimeout(this.#resting);
  }
}
