"""Rows of chat as its borders show them: one door from a stored row to what people see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, cast

from msgspec import UNSET

from doran.chat import statements as sql
from doran.chat import unread
from doran.chat.models import Conversation, LostRange, Member, Message
from doran.contracts import frames
from doran.kernel.clock import rfc3339, rfc3339_or_none

MESSAGE_FIELDS = (
    "id", "conversation", "seq", "change_seq", "sender_id", "content", "message_type", "created_at",
    "updated_at", "edited_at", "is_deleted", "reply_to", "client_message_id",
)  # fmt: skip


@cache
def message_columns() -> str:
    """What `message_view` expects of a row, in order."""
    return sql.columns(Message, MESSAGE_FIELDS)


def message_view(row: Sequence[Any], *, hidden: bool = False, conversation_id: str = "") -> frames.MessageView:
    """A stored row; a deleted one, or one `hidden` from the viewer, as a tombstone without content.

    Whoever reads many rows of one conversation gives its id, which need then not be spelt for each.
    """
    id_, place, seq, change_seq, sender, content, kind, created, updated, edited, deleted, answered, client = row
    gone = bool(deleted) or hidden
    created_at = sql.wire_time(created)
    return frames.MessageView(
        sql.wire_uuid(id_), conversation_id or sql.wire_uuid(place), seq, change_seq, sender, "" if gone else content,
        kind, created_at, created_at if updated == created else sql.wire_time(updated),
        sql.wire_time_or_none(edited), gone, None if answered is None else sql.wire_uuid(answered), client,
        True if hidden else UNSET,
    )  # fmt: skip


def one_message(message: Message, *, hidden: bool = False) -> frames.MessageView:
    """The same for a message the ORM fetched."""
    gone = message.is_deleted or hidden
    return frames.MessageView(
        id=str(message.id), conversation_id=str(message.conversation_id), seq=message.seq,
        change_seq=message.change_seq, sender_id=message.sender_id, content="" if gone else message.content,
        message_type=cast("frames.MessageType", message.message_type), created_at=rfc3339(message.created_at),
        updated_at=rfc3339(message.updated_at), edited_at=rfc3339_or_none(message.edited_at), is_deleted=gone,
        reply_to=None if message.reply_to is None else str(message.reply_to),
        client_message_id=message.client_message_id, hidden=True if hidden else UNSET,
    )  # fmt: skip


def my_state(member: Member) -> frames.MyState:
    return frames.MyState(
        last_delivered_seq=member.last_delivered_seq,
        last_read_seq=member.last_read_seq,
        muted_until=rfc3339_or_none(member.muted_until),
        archived=member.archived,
        pinned_at=rfc3339_or_none(member.pinned_at),
        hidden_before_seq=member.hidden_before_seq,
        marked_unread=member.marked_unread,
        draft=member.draft,
    )


def shown_marks(member: Member) -> frames.Marks:
    """Somebody's marks as the other person may know them."""
    return frames.Marks(member.user_id, member.shown_delivered_seq, member.shown_read_seq)


def lost_view(lost: Iterable[LostRange]) -> tuple[frames.LostRange, ...]:
    return tuple(frames.LostRange(one.first_seq, one.last_seq) for one in lost)


def conversation_fields(
    conversation: Conversation,
    me: Member,
    peer: Member,
    last_message: frames.MessageView | None,
    lost: Sequence[LostRange],
) -> dict[str, Any]:
    last_seq = conversation.last_seq
    return {
        "id": str(conversation.id),
        "participant1_id": conversation.participant1_id,
        "participant2_id": conversation.participant2_id,
        "created_at": rfc3339(conversation.created_at),
        "updated_at": rfc3339(conversation.updated_at),
        "is_active": conversation.is_active,
        "last_seq": last_seq,
        "change_seq": conversation.change_seq,
        "unread_count": unread.of(me, last_seq, lost),
        "last_message": last_message,
        "me": my_state(me),
        "peer": shown_marks(peer),
        "lost": lost_view(lost),
    }


def conversation_view(
    conversation: Conversation,
    me: Member,
    peer: Member,
    last_message: frames.MessageView | None,
    lost: Sequence[LostRange],
    *,
    messages: Iterable[frames.MessageView] = (),
) -> frames.ConversationView:
    fields = conversation_fields(conversation, me, peer, last_message, lost)
    return frames.ConversationView(**fields, messages=tuple(messages))
