"""What a socket may say and hear: one JSON object a frame, `type` decides (contract section 3).

What a client says is decoded strictly: an unknown field or a wrong type is refused before any
code of ours sees it. What the server says is encoded once and sent to every screen as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

FRAME_BYTES: Final = 256 * 1024
"""The longest frame that either side may send once a socket is `ready` (contract section 3)."""
FIRST_FRAME_BYTES: Final = 20 * 1024
"""The longest frame of a client that is not authenticated yet: a token of 16 KiB and room around it."""
LIST_BYTES: Final = FRAME_BYTES - 8192
"""What the lists of one answer may take as JSON; the rest is for the fields around them."""
REF_LENGTH: Final = 256

Ref = Annotated[str, msgspec.Meta(max_length=REF_LENGTH)] | int
MessageType = Literal["text", "image", "file"]


# -- what a client says ------------------------------------------------------------------------


class ClientFrame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Any frame may carry `ref`; the answer carries it back."""

    ref: Ref | None = None


class Auth(ClientFrame, frozen=True, tag="auth", kw_only=True):
    """First frame where no header could be set; later, renewal before the token expires."""

    token: str


class SendMessage(ClientFrame, frozen=True, tag="chat_message", kw_only=True):
    """Send. `conversation_id` is needed on `/ws/` only; `sender_id` is tolerated if it is you."""

    content: str
    message_type: MessageType = "text"
    client_message_id: str | None = None
    conversation_id: str | None = None
    reply_to: str | None = None
    sender_id: str | None = None


class MarkAsRead(ClientFrame, frozen=True, tag="mark_as_read", kw_only=True):
    """Everything up to here was shown to me. Cumulative; never moves back."""

    message_id: str | None = None
    up_to_seq: int | None = None
    conversation_id: str | None = None
    user_id: str | None = None


class MarkAsDelivered(ClientFrame, frozen=True, tag="mark_as_delivered", kw_only=True):
    """Everything up to here reached this device. Cumulative; never moves back."""

    message_id: str | None = None
    up_to_seq: int | None = None
    conversation_id: str | None = None
    user_id: str | None = None


class Typing(ClientFrame, frozen=True, tag="typing", kw_only=True):
    """I am writing (or stopped). Forgotten after 10 s."""

    is_typing: bool
    conversation_id: str | None = None
    user_id: str | None = None


class EditMessage(ClientFrame, frozen=True, tag="edit_message", kw_only=True):
    message_id: str
    content: str


class DeleteMessage(ClientFrame, frozen=True, tag="delete_message", kw_only=True):
    message_id: str
    scope: Literal["everyone", "me"] = msgspec.field(name="for", default="everyone")


class AskChanges(ClientFrame, frozen=True, tag="changes", kw_only=True):
    """`epoch` is the one under which the mark `since` was issued: with it, marks of rows that a restore kept count."""

    since: int
    conversation_id: str | None = None
    epoch: str | None = None


class AskSync(ClientFrame, frozen=True, tag="sync", kw_only=True):
    """`known` maps a conversation to the last change_seq this device has applied.

    With `after` or `until`, only conversations whose id is greater than `after` and not greater than `until` are
    compared: a device that knows too many for one frame asks part by part.
    """

    epoch: str | None = None
    known: dict[str, int] = {}
    state_since: int = 0
    after: str = ""
    until: str = ""


class AskPresence(ClientFrame, frozen=True, tag="presence", kw_only=True):
    user_ids: list[str]


class Ping(ClientFrame, frozen=True, tag="ping", kw_only=True):
    pass


AnyClientFrame = (
    Auth
    | SendMessage
    | MarkAsRead
    | MarkAsDelivered
    | Typing
    | EditMessage
    | DeleteMessage
    | AskChanges
    | AskSync
    | AskPresence
    | Ping
)


# -- what both doors show of a message, a mark, a conversation -----------------------------------


class PublicProfile(msgspec.Struct, frozen=True):
    """What anybody may see of a person."""

    display_name: str
    avatar_url: str | None
    status_message: str


class MessageView(msgspec.Struct, frozen=True):
    """A message as REST and frames show it. `change_seq` says when the row last changed.

    One without a `sender_id` is a position that a restore of the server emptied: always deleted.
    `hidden` is there, and true, only for who deleted it for themselves; to them it is deleted, too.
    """

    id: str
    conversation_id: str
    seq: int
    change_seq: int
    sender_id: str
    content: str
    message_type: MessageType
    created_at: str
    updated_at: str
    edited_at: str | None
    is_deleted: bool
    reply_to: str | None
    client_message_id: str | None
    hidden: bool | msgspec.UnsetType = msgspec.UNSET


class Marks(msgspec.Struct, frozen=True):
    """How far somebody's devices are, as the other side may know it."""

    user_id: str
    last_delivered_seq: int
    last_read_seq: int


class MyState(msgspec.Struct, frozen=True):
    """My own side of a conversation: nobody else sees it."""

    last_delivered_seq: int
    last_read_seq: int
    muted_until: str | None
    archived: bool
    pinned_at: str | None
    hidden_before_seq: int
    marked_unread: bool
    draft: str


class LostRange(msgspec.Struct, frozen=True):
    """Positions that a restore of the server emptied, both included: tombstones that nobody sent, never unread."""

    first_seq: int
    last_seq: int


class ConversationView(msgspec.Struct, frozen=True):
    """A conversation as one of its two people sees it. `messages` is [] in lists; `lost` nearly always."""

    id: str
    participant1_id: str
    participant2_id: str
    created_at: str
    updated_at: str
    is_active: bool
    last_seq: int
    change_seq: int
    unread_count: int
    last_message: MessageView | None
    me: MyState
    peer: Marks
    messages: tuple[MessageView, ...] = ()
    lost: tuple[LostRange, ...] = ()


class ChangesPage(msgspec.Struct, frozen=True):
    """Rows changed after a mark, in change order, each in its final state.

    `reset` is true when this store never issued the mark: throw away what you have and read anew.
    `epoch` is the store's that issued `next_since`; only REST names it, for a socket's is in `ready`.
    """

    results: tuple[MessageView, ...] = ()
    next_since: int = 0
    has_more: bool = False
    reset: bool = False
    epoch: str | msgspec.UnsetType = msgspec.UNSET


class ChangedConversation(ConversationView, frozen=True, kw_only=True):
    """One conversation that differs from what the device knows, with its first changes."""

    changes: ChangesPage


class SyncAnswer(msgspec.Struct, frozen=True):
    """Repeat with what you now know, and with `state_seq` as `state_since`, until `has_more` is false."""

    epoch: str
    reset: bool
    state_seq: int
    has_more: bool
    conversations: tuple[ChangedConversation, ...]


class ReceiptView(msgspec.Struct, frozen=True):
    """Where a mark stands after a claim; `unread_count` is the claimant's own."""

    conversation_id: str
    user_id: str
    status: Literal["delivered", "read"]
    up_to_seq: int
    timestamp: str
    unread_count: int


# -- what both doors show of the AI --------------------------------------------------------------

JobKind = Literal[
    "reply", "smart_replies", "summarize", "translate", "rewrite", "ask", "moderate", "embed", "semantic_search"
]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ConsentScope = Literal["off", "on_demand", "history"]


class Citation(msgspec.Struct, frozen=True):
    """A message an answer rests on, or one that was found; `score` only orders those of one answer."""

    message_id: str
    conversation_id: str
    seq: int
    score: float = 0.0


class Verdict(msgspec.Struct, frozen=True):
    """What a check of a text found: `categories` are words of our table, none where nothing is wrong."""

    flagged: bool
    categories: tuple[str, ...] = ()


class JobResult(msgspec.Struct, frozen=True):
    """The answer of a job that succeeded. Which parts it has depends on the kind (docs/guides/ai.md).

    `text`: reply, summarize, translate, rewrite, ask. `replies`: smart_replies. `citations`: ask, summarize and
    semantic_search. `verdict`: moderate. `source`, `target` and `engine`: translate. `forgotten`: a message it
    rested on was deleted since, and the answer went with it.
    """

    text: str | None = None
    replies: tuple[str, ...] = ()
    citations: tuple[Citation, ...] = ()
    verdict: Verdict | None = None
    source: str | None = None
    target: str | None = None
    engine: str | None = None
    forgotten: bool = False


class JobView(msgspec.Struct, frozen=True):
    """A job as its asker sees it. `result` is null until it succeeded, `failure_code` "" unless it failed.

    While it runs, `partial` is the text so far, which holds the deltas up to `partial_seq` of this `attempt`.
    """

    id: str
    kind: JobKind
    state: JobState
    conversation_id: str | None
    message_id: str | None
    attempt: int
    partial: str
    partial_seq: int
    result: JobResult | None
    failure_code: str
    created_at: str
    updated_at: str


class AssistantView(msgspec.Struct, frozen=True):
    """The person of kind `bot` to whom people write; their name as the operator set it."""

    user_id: str
    display_name: str


class ProviderView(msgspec.Struct, frozen=True):
    """Who would be asked first; `is_outside`: what is given to them leaves this deployment."""

    name: str
    is_outside: bool


class ShopWindow(msgspec.Struct, frozen=True):
    """`kinds` that somebody can do now; none while `is_off`. No `assistant` where nobody can talk to it."""

    kinds: list[JobKind]
    assistant: AssistantView | None
    provider: ProviderView | None
    translation_engines: list[str]
    is_off: bool


class ConsentView(msgspec.Struct, frozen=True):
    """What both people of a conversation allow the AI; `agreed` is what both of them allow.

    `provider` names who would get to read the words, `is_outside` whether that is beyond this deployment.
    """

    conversation_id: str
    mine: ConsentScope
    theirs: ConsentScope
    agreed: ConsentScope
    provider: str
    is_outside: bool


# -- what the server says ------------------------------------------------------------------------


class ServerFrame(msgspec.Struct, frozen=True, tag_field="type"):
    pass


class Ready(ServerFrame, frozen=True, tag="ready", omit_defaults=True):
    user_id: str
    session_id: str | None
    epoch: str
    server_time: str
    heartbeat: int
    ref: str | int | None = None


class ConversationHistory(ServerFrame, frozen=True, tag="conversation_history"):
    conversation_id: str
    messages: tuple[MessageView, ...]
    has_more: bool
    last_seq: int
    change_seq: int
    peer: Marks
    me: MyState
    lost: tuple[LostRange, ...] = ()


class Ack(ServerFrame, frozen=True, tag="ack"):
    """Durable. `message` arrives already encoded: it is the same bytes every screen gets."""

    ref: str | int | None
    client_message_id: str | None
    message: msgspec.Raw


class ChatMessage(ServerFrame, frozen=True, tag="chat_message"):
    conversation_id: str
    message: msgspec.Raw


class MessageUpdated(ServerFrame, frozen=True, tag="message_updated"):
    conversation_id: str
    message: msgspec.Raw


class MessageDeleted(ServerFrame, frozen=True, tag="message_deleted"):
    conversation_id: str
    message: msgspec.Raw


class Done(ServerFrame, frozen=True, tag="done"):
    """The answer to a frame that changes something and has no fuller answer of its own."""

    ref: str | int | None


class MessageDelivered(ServerFrame, frozen=True, tag="message_delivered"):
    conversation_id: str
    user_id: str
    up_to_seq: int
    message_id: str | None
    timestamp: str


class MessageRead(ServerFrame, frozen=True, tag="message_read"):
    conversation_id: str
    user_id: str
    up_to_seq: int
    message_id: str | None
    timestamp: str


class TypingShown(ServerFrame, frozen=True, tag="typing"):
    conversation_id: str
    user_id: str
    is_typing: bool


class PresenceShown(ServerFrame, frozen=True, tag="presence", omit_defaults=True):
    user_id: str
    online: bool
    last_seen_at: str | None
    ref: str | int | None = None


class UserUpdated(ServerFrame, frozen=True, tag="user_updated"):
    """A person of one's conversations, or oneself, has changed how they show themselves. On `/ws/` only.

    `profile` is null where the account was deleted.
    """

    user_id: str
    profile: PublicProfile | None


class ConversationCreated(ServerFrame, frozen=True, tag="conversation_created"):
    conversation: ConversationView


class ConversationUpdated(ServerFrame, frozen=True, tag="conversation_updated"):
    conversation_id: str
    conversation: ConversationView


class Changes(ServerFrame, frozen=True, tag="changes"):
    ref: str | int | None
    conversation_id: str
    results: tuple[MessageView, ...]
    next_since: int
    has_more: bool
    reset: bool = False


class Synced(ServerFrame, frozen=True, tag="sync"):
    ref: str | int | None
    epoch: str
    reset: bool
    state_seq: int
    has_more: bool
    conversations: tuple[ChangedConversation, ...]


class AiDelta(ServerFrame, frozen=True, tag="ai.delta"):
    """More of a job's answer, to who asked. Apply `seq` 1, 2, 3 … of the newest `attempt`; after a hole read the job."""

    job_id: str
    kind: JobKind
    conversation_id: str | None
    attempt: int
    seq: int
    text: str


class AiJob(ServerFrame, frozen=True, tag="ai.job"):
    """A job of mine has another state."""

    job: JobView


class AiConsent(ServerFrame, frozen=True, tag="ai.consent"):
    """One of the two people changed what the AI may do here."""

    consent: ConsentView


class AiOffer(ServerFrame, frozen=True, tag="ai.offer"):
    """The operator has switched the AI off or on: what can be asked from now on, as `GET /api/ai/` says it."""

    offer: ShopWindow


class Pong(ServerFrame, frozen=True, tag="pong", omit_defaults=True):
    ref: str | int | None = None


class Error(ServerFrame, frozen=True, tag="error", omit_defaults=True):
    """A frame was refused; the socket stays."""

    ref: str | int | None
    code: str
    detail: str
    retry_after_ms: int | None = None
    client_message_id: str | None = None


SERVER_FRAMES: tuple[type[ServerFrame], ...] = (
    Ready,
    ConversationHistory,
    Ack,
    ChatMessage,
    MessageUpdated,
    MessageDeleted,
    Done,
    MessageDelivered,
    MessageRead,
    TypingShown,
    PresenceShown,
    UserUpdated,
    ConversationCreated,
    ConversationUpdated,
    Changes,
    Synced,
    AiDelta,
    AiJob,
    AiConsent,
    AiOffer,
    Pong,
    Error,
)
CLIENT_FRAMES: tuple[type[ClientFrame], ...] = (
    Auth,
    SendMessage,
    MarkAsRead,
    MarkAsDelivered,
    Typing,
    EditMessage,
    DeleteMessage,
    AskChanges,
    AskSync,
    AskPresence,
    Ping,
)

_encoder = msgspec.json.Encoder()


def encode(frame: Any) -> bytes:
    """One frame or view as the bytes that go out."""
    return _encoder.encode(frame)


_ESCAPED = 6
"""Bytes that one character takes at most in JSON: as \\u0001 does."""
_AROUND = 2048
"""Bytes of a message in JSON without its content, at most; usually a fifth of it."""


def fitting(views: Sequence[MessageView], *, room: int) -> int:
    """Return how many of these messages, from the first on, fit into `room` bytes of JSON: one at least, if there is any."""
    if _ESCAPED * sum([len(one.content) for one in views]) + _AROUND * len(views) <= room:
        return len(views)  # nearly always: nothing need be encoded to know it
    for count, view in enumerate(views):
        room -= len(encode(view)) + 1
        if room < 0:
            return max(1, count)
    return len(views)
