/** What the tabs of one browser tell each other. It never leaves the origin. */

import { Emitter } from "./emitter.ts";
import type { Draft, Waiting } from "./storage.ts";

/** An access token, and from when on it is renewed before use, in this machine's `Date.now()`. */
export interface Access {
  readonly token: string;
  readonly staleAt: number;
}

export interface TabEvents {
  /** The session has a new access token. */
  access: { readonly sessionId: string; readonly access: Access };
  /** The browser's store holds another session than before. */
  logged_in: { readonly sessionId: string; readonly access: Access };
  logged_out: { readonly sessionId: string };
  /** A message waits, or waits in another way. */
  waiting: Waiting;
  /** A message waits no longer: it was sent, or discarded. */
  settled: Pick<Waiting, "userId" | "conversationId" | "clientMessageId">;
  /** What is being written in a conversation; `saved`: the server has this text now. */
  draft: Draft & { readonly saved: string | null };
}

export interface Channel {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
  close(): void;
}

export class Tabs extends Emitter<TabEvents> {
  /** Null where tabs cannot talk to each other. */
  readonly #channel: Channel | null;

  constructor(channel: Channel | null) {
    super();
    this.#channel = channel;
    if (channel) channel.onmessage = ({ data }) => this.#hear(data as { name: keyof TabEvents; detail: never });
  }

  tell<Name extends keyof TabEvents>(name: Name, detail: TabEvents[Name]): void {
    this.#channel?.postMessage({ name, detail });
  }

  close(): void {
    this.#channel?.close();
  }

  #hear({ name, detail }: { name: keyof TabEvents; detail: never }): void {
    this.emit(name, detail);
  }
}
