/** The Doran client: everything a page, a widget or a bot needs to talk. No dependencies. */

export { type Ai, ASSISTANT_ID } from "./ai.ts";
export type { Blocks } from "./blocks.ts";
export { hasEnded } from "./answer.ts";
export { DoranClient, type ClientEvents, type ClientOptions, type Presence } from "./client.ts";
export type { Thread } from "./conversations.ts";
export { CLOSES, DoranError, closeKind } from "./errors.ts";
export type * from "./frames.ts";
export { uuidv7 } from "./ids.ts";
export type { Connection, Status, WebSocketLike } from "./socket.ts";
export { BrowserStorage, MemoryStorage, bestStorage, type Draft, type Storage, type StoredSession, type Waiting, type Writing } from "./storage.ts";
export type { Timeline } from "./timeline.ts";
