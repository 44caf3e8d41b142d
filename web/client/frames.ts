/** What a socket and the REST calls say and hear, as types: the contract in TypeScript. */

export type MessageType = "text" | "image" | "file";

/** A message as REST and frames show it. `change_seq` says when the row last changed. */
export interface Message {
  readonly id: string;
  readonly conversation_id: string;
  readonly seq: number;
  readonly change_seq: number;
  readonly sender_id: string;
  readonly content: string;
  readonly message_type: MessageType;
  readonly created_at: string;
  readonly updated_at: string;
  readonly edited_at: string | null;
  readonly is_deleted: boolean;
  readonly reply_to: string | null;
  readonly client_message_id: string | null;
}

/** How far somebody's devices are, as the other side may know it. */
export interface Marks {
  readonly user_id: string;
  readonly last_delivered_seq: number;
  readonly last_read_seq: number;
}

/** My own side of a conversation: nobody else sees it. */
export interface MyState {
  readonly last_delivered_seq: number;
  readonly last_read_seq: number;
  readonly muted_until: string | null;
  readonly archived: boolean;
  readonly pinned_at: string | null;
  readonly hidden_before_seq: number;
  readonly marked_unread: boolean;
  readonly draft: string;
}

/** A conversation as one of its two people sees it. `messages` is [] in lists. */
export interface Conversation {
  readonly id: string;
  readonly participant1_id: string;
  readonly participant2_id: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly is_active: boolean;
  readonly last_seq: number;
  readonly change_seq: number;
  readonly unread_count: number;
  readonly last_message: Message | null;
  readonly me: MyState;
  readonly peer: Marks;
  readonly messages?: readonly Message[];
}

/** Rows changed after a mark, in change order, each in its final state. */
export interface ChangesPage {
  readonly results?: readonly Message[];
  readonly next_since?: number;
  readonly has_more?: boolean;
  /** This store never issued the mark: throw away what you have and read anew. */
  readonly reset?: boolean;
}

export interface ChangedConversation extends Conversation {
  readonly changes: ChangesPage;
}

/** What `PATCH conversations/{id}/` may change. */
export interface StateChange {
  muted_until?: string | null;
  archived?: boolean;
  pinned?: boolean;
  marked_unread?: boolean;
  draft?: string;
  hidden_before_seq?: number;
}

// -- people and sessions ------------------------------------------------------------------------

export interface Profile {
  readonly display_name: string;
  readonly avatar_url: string | null;
  readonly status_message: string;
  readonly locale?: string;
  readonly time_zone?: string;
}

export interface User {
  readonly id: string;
  readonly username: string;
  readonly profile: Profile;
  /** Only oneself sees it. */
  readonly created_at?: string;
}

export type ProfileChange = Partial<Profile>;

export interface TokenAnswer {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly token_type: "Bearer";
  readonly expires_in: number;
  readonly user_id: string;
  readonly session_id: string;
}

export interface SessionInfo {
  readonly id: string;
  readonly created_at: string;
  readonly last_used_at?: string | null;
  readonly device_name?: string;
  readonly current?: boolean;
}

export interface BlockInfo {
  readonly user_id: string;
  readonly created_at: string;
}

export interface Page<Item> {
  readonly count?: number;
  readonly next: string | null;
  readonly previous: string | null;
  readonly results: readonly Item[];
}

export interface Receipt {
  readonly conversation_id: string;
  readonly user_id: string;
  readonly status: "delivered" | "read";
  readonly up_to_seq: number;
  readonly timestamp: string;
  readonly unread_count: number;
}

/** RFC 9457 problem details. */
export interface Problem {
  readonly code: string;
  readonly title?: string;
  readonly status?: number;
  readonly detail?: string;
  readonly errors?: readonly { readonly field: string; readonly detail: string }[];
}

// -- what a client says -------------------------------------------------------------------------

export type DeleteScope = "everyone" | "me";

export interface SendBody {
  content: string;
  message_type?: MessageType;
  client_message_id: string;
  reply_to?: string;
}

export type ClientFrame =
  | { type: "auth"; token: string }
  | ({ type: "chat_message"; conversation_id: string } & SendBody)
  | { type: "mark_as_read"; conversation_id: string; up_to_seq: number }
  | { type: "mark_as_delivered"; conversation_id: string; up_to_seq: number }
  | { type: "typing"; conversation_id: string; is_typing: boolean }
  | { type: "edit_message"; message_id: string; content: string }
  | { type: "delete_message"; message_id: string; for: DeleteScope }
  | { type: "changes"; conversation_id: string; since: number }
  | { type: "sync"; epoch?: string; known: Record<string, number>; state_since?: number }
  | { type: "presence"; user_ids: string[] }
  | { type: "ping" };

// -- what the server says -----------------------------------------------------------------------

type Ref = { readonly ref?: string | number | null };

export interface Ready extends Ref {
  readonly type: "ready";
  readonly user_id: string;
  readonly session_id: string | null;
  readonly epoch: string;
  readonly server_time: string;
  readonly heartbeat: number;
}

export interface Ack extends Ref {
  readonly type: "ack";
  readonly client_message_id: string | null;
  readonly message: Message;
}

export interface MessageFrame extends Ref {
  readonly type: "chat_message" | "message_updated" | "message_deleted";
  readonly conversation_id: string;
  readonly message: Message;
}

export interface MarkMoved extends Ref {
  readonly type: "message_delivered" | "message_read";
  readonly conversation_id: string;
  readonly user_id: string;
  readonly up_to_seq: number;
  readonly message_id: string | null;
  readonly timestamp: string;
}

export interface TypingShown {
  readonly type: "typing";
  readonly conversation_id: string;
  readonly user_id: string;
  readonly is_typing: boolean;
}

export interface PresenceShown extends Ref {
  readonly type: "presence";
  readonly user_id: string;
  readonly online: boolean;
  readonly last_seen_at: string | null;
}

export interface ConversationCreated {
  readonly type: "conversation_created";
  readonly conversation: Conversation;
}

export interface ConversationUpdated {
  readonly type: "conversation_updated";
  readonly conversation_id: string;
  readonly conversation: Conversation;
}

export interface ChangesAnswer extends Ref, ChangesPage {
  readonly type: "changes";
  readonly conversation_id: string;
}

export interface SyncAnswer extends Ref {
  readonly type: "sync";
  readonly epoch: string;
  readonly reset: boolean;
  readonly state_seq: number;
  readonly has_more: boolean;
  readonly conversations: readonly ChangedConversation[];
}

export interface Done extends Ref {
  readonly type: "done";
}

export interface Pong extends Ref {
  readonly type: "pong";
}

export interface Refusal extends Ref {
  readonly type: "error";
  readonly code: string;
  readonly detail: string;
  readonly retry_after_ms?: number | null;
  readonly client_message_id?: string | null;
}

export type ServerFrame =
  | Ready
  | Ack
  | MessageFrame
  | MarkMoved
  | TypingShown
  | PresenceShown
  | ConversationCreated
  | ConversationUpdated
  | ChangesAnswer
  | SyncAnswer
  | Done
  | Pong
  | Refusal;
