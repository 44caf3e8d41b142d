/** What a socket and the REST calls say and hear, as types: the contract in TypeScript. */

export type MessageType = "text" | "image" | "file";

/**
 * A message as REST and frames show it. `change_seq` says when the row last changed.
 * One without a `sender_id` is a position that a restore of the server emptied: always deleted.
 */
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
  /** There only where I deleted it for myself: it is not to be shown at all. */
  readonly hidden?: boolean;
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

/** Positions that a restore of the server emptied, both included: tombstones that nobody sent, never unread. */
export interface LostRange {
  readonly first_seq: number;
  readonly last_seq: number;
}

/** A conversation as one of its two people sees it. `messages` is [] in lists; `lost` nearly always. */
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
  readonly lost?: readonly LostRange[];
}

/** Rows changed after a mark, in change order, each in its final state. */
export interface ChangesPage {
  /** The timeline that the marks of this page belong to. */
  readonly epoch?: string;
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

export interface PublicProfile {
  readonly display_name: string;
  readonly avatar_url: string | null;
  readonly status_message: string;
}

export interface Profile extends PublicProfile {
  readonly locale?: string;
  readonly time_zone?: string;
}

export interface User {
  readonly id: string;
  readonly username: string;
  readonly profile: Profile;
  /** A `bot` answers by itself: the assistant. Left out by servers that know only people. */
  readonly kind?: "human" | "bot" | "erased";
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

// -- the AI -------------------------------------------------------------------------------------

export type JobKind = "reply" | "smart_replies" | "summarize" | "translate" | "rewrite" | "ask" | "moderate" | "embed" | "semantic_search";
export type JobState = "queued" | "running" | "succeeded" | "failed" | "cancelled";
export type ConsentScope = "off" | "on_demand" | "history";
export type RewriteStyle = "polite" | "casual" | "shorter" | "spelling";

/** A message an answer rests on, or one that was found; `score` only orders those of one answer. */
export interface Citation {
  readonly message_id: string;
  readonly conversation_id: string;
  readonly seq: number;
  readonly score?: number;
}

/** What a check of a text found. */
export interface Verdict {
  readonly flagged: boolean;
  readonly categories?: readonly string[];
}

/** The answer of a job that succeeded; which parts it has depends on the kind. */
export interface JobResult {
  readonly text?: string | null;
  readonly replies?: readonly string[];
  readonly citations?: readonly Citation[];
  readonly verdict?: Verdict | null;
  readonly source?: string | null;
  readonly target?: string | null;
  readonly engine?: string | null;
  /** A message it rested on was deleted since, and the answer went with it. */
  readonly forgotten?: boolean;
}

/** A job as its asker sees it. While it runs, `partial` holds the deltas up to `partial_seq` of this `attempt`. */
export interface Job {
  readonly id: string;
  readonly kind: JobKind;
  readonly state: JobState;
  readonly conversation_id: string | null;
  readonly message_id: string | null;
  readonly attempt: number;
  readonly partial: string;
  readonly partial_seq: number;
  readonly result: JobResult | null;
  readonly failure_code: string;
  readonly created_at: string;
  readonly updated_at: string;
}

/** What is wanted of the AI. `options.locale` is the language of who asks. */
export interface JobWish {
  readonly kind: JobKind;
  readonly conversation_id?: string;
  readonly message_id?: string;
  readonly input?: string;
  readonly options?: {
    readonly locale?: "ko" | "en";
    readonly target?: string;
    readonly honorific?: boolean;
    readonly style?: RewriteStyle;
    readonly since_seq?: number;
    readonly limit?: number;
  };
}

/** What both people of a conversation allow the AI; `agreed` is what both of them allow. */
export interface Consent {
  readonly conversation_id: string;
  readonly mine: ConsentScope;
  readonly theirs: ConsentScope;
  readonly agreed: ConsentScope;
  /** Who would get to read the words, and whether that is beyond this deployment. */
  readonly provider: string;
  readonly is_outside: boolean;
}

/** The person of kind `bot` to whom one writes. */
export interface AssistantOffer {
  readonly user_id: string;
  readonly display_name: string;
}

/** Who would be asked first; what is given to an outside one leaves the deployment. */
export interface ProviderOffer {
  readonly name: string;
  readonly is_outside: boolean;
}

/** What can be asked of the AI here and now. Nothing at all where there is no provider, or it is switched off. */
export interface AiOffer {
  readonly kinds: readonly JobKind[];
  readonly assistant: AssistantOffer | null;
  readonly provider: ProviderOffer | null;
  readonly translation_engines?: readonly string[];
  readonly is_off?: boolean;
}

/** Words of mine went to a provider: how many, to whom, when; never which. */
export interface Disclosure {
  readonly id: string;
  readonly at: string;
  readonly kind: JobKind;
  readonly conversation_id: string | null;
  readonly asked_by: string;
  readonly provider: string;
  readonly model: string;
  readonly host: string;
  readonly is_outside: boolean;
  readonly messages: number;
  readonly characters: number;
  readonly masked: number;
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
  | { type: "changes"; conversation_id: string; since: number; epoch?: string }
  | { type: "sync"; epoch?: string; known: Record<string, number>; state_since?: number; after?: string; until?: string }
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

/** More of a job's answer. Apply `seq` 1, 2, 3 … of the newest `attempt`; after a hole read the job. */
export interface AiDelta {
  readonly type: "ai.delta";
  readonly job_id: string;
  readonly kind: JobKind;
  readonly conversation_id: string | null;
  readonly attempt: number;
  readonly seq: number;
  readonly text: string;
}

/** A job of mine has another state. */
export interface AiJob {
  readonly type: "ai.job";
  readonly job: Job;
}

/** One of the two people changed what the AI may do here. */
export interface AiConsent {
  readonly type: "ai.consent";
  readonly consent: Consent;
}

/** The operator switched the AI off or on: what can be asked from now on. */
export interface AiOffered {
  readonly type: "ai.offer";
  readonly offer: AiOffer;
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

/** A person of one's conversations, or oneself, has another name, picture or status; null: the account was deleted. */
export interface UserUpdated {
  readonly type: "user_updated";
  readonly user_id: string;
  readonly profile: PublicProfile | null;
}

export type ServerFrame =
  | Ready
  | Ack
  | MessageFrame
  | MarkMoved
  | TypingShown
  | PresenceShown
  | UserUpdated
  | ConversationCreated
  | ConversationUpdated
  | ChangesAnswer
  | SyncAnswer
  | AiDelta
  | AiJob
  | AiConsent
  | AiOffered
  | Done
  | Pong
  | Refusal;
