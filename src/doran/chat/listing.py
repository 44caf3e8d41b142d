"""A person's conversations as a list: one statement for a page of any length, and one for how many there are.

What the list says of a conversation is what the conversation says of itself (`views`). By the ORM the
same page cost ten times as much (docs/adr/0017-limits-and-caches.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import Any

from doran.chat import statements as sql
from doran.chat import timelines, unread
from doran.chat.models import Conversation, HiddenMessage, Member, Message
from doran.chat.sight import MINE, my_state
from doran.chat.timelines import Lost
from doran.chat.views import MESSAGE_FIELDS, lost_view, message_view
from doran.contracts import frames

_CONVERSATION = (
    "id", "participant1_id", "participant2_id", "created_at", "updated_at", "is_active", "last_seq", "change_seq",
    "lost_seq",
)  # fmt: skip
_PEER = ("user_id", "shown_delivered_seq", "shown_read_seq")
_UNREAD = ("unread_deleted", "unread_deleted_after")
_ENDS = tuple(accumulate(map(len, (_CONVERSATION, _PEER, MINE, _UNREAD))))
_LOST_SEQ = _CONVERSATION.index("lost_seq")


def listed(user_id: str, *, page: int, page_size: int) -> tuple[list[frames.ConversationView], int]:
    """One page of a person's conversations, newest activity first, and how many there are in all."""
    cursor = sql.cursor()
    cursor.execute(_page(), [user_id, page_size, (page - 1) * page_size, user_id])
    rows = cursor.fetchall()
    cursor.execute(_count(), [user_id])
    return list(_views(rows)), cursor.fetchone()[0]


def _views(rows: Sequence[Any]) -> Iterator[frames.ConversationView]:
    lost = timelines.lost_ranges(sql.read_uuid(row[0]) for row in rows if row[_LOST_SEQ])
    for row in rows:
        yield _view(row, lost.get(sql.read_uuid(row[0]), ()) if row[_LOST_SEQ] else ())


def _view(row: Sequence[Any], lost: Lost) -> frames.ConversationView:
    conversation, peer, mine, (deleted, deleted_after), (is_hidden, *last) = _parts(row)
    place, one, other, created, updated, is_active, last_seq, change_seq, _ = conversation
    me, conversation_id = my_state(mine), sql.wire_uuid(place)
    return frames.ConversationView(
        id=conversation_id,
        participant1_id=one,
        participant2_id=other,
        created_at=sql.wire_time(created),
        updated_at=sql.wire_time(updated),
        is_active=bool(is_active),
        last_seq=last_seq,
        change_seq=change_seq,
        unread_count=unread.count(
            last_seq,
            read=me.last_read_seq,
            hidden_before=me.hidden_before_seq,
            lost=lost,
            deleted=deleted,
            deleted_after=deleted_after,
        ),
        last_message=_last(last, hidden=bool(is_hidden), conversation_id=conversation_id),
        me=me,
        peer=frames.Marks(*peer),
        lost=lost_view(lost),
    )


def _parts(row: Sequence[Any]) -> list[Sequence[Any]]:
    return [row[start:end] for start, end in pairwise((0, *_ENDS, len(row)))]


def _last(row: Sequence[Any], *, hidden: bool, conversation_id: str) -> frames.MessageView | None:
    return None if row[0] is None else message_view(row, hidden=hidden, conversation_id=conversation_id)


@cache
def _page() -> str:
    """A page of ids first, so that only its own conversations are joined with anything."""
    conversations, members = sql.table(Conversation), sql.table(Member)
    shown = (
        sql.columns(Conversation, _CONVERSATION, of="c"),
        sql.columns(Member, _PEER, of="p"),
        sql.columns(Member, (*MINE, *_UNREAD), of="m"),
        (
            f"EXISTS (SELECT 1 FROM {sql.table(HiddenMessage)} h"  # noqa: S608
            " WHERE h.conversation_id = c.id AND h.user_id = m.user_id AND h.seq = c.last_seq)"
        ),
        sql.columns(Message, MESSAGE_FIELDS, of="l"),
    )
    newest = (
        f"SELECT c.id FROM {members} m JOIN {conversations} c ON c.id = m.conversation_id"  # noqa: S608
        " WHERE m.user_id = %s ORDER BY c.updated_at DESC, c.id DESC LIMIT %s OFFSET %s"
    )
    return (
        f"SELECT {', '.join(shown)} FROM ({newest}) n"  # noqa: S608
        f" JOIN {conversations} c ON c.id = n.id"
        f" JOIN {members} m ON m.conversation_id = c.id AND m.user_id = %s"
        f" JOIN {members} p ON p.conversation_id = c.id AND p.user_id <> m.user_id"
        f" LEFT JOIN {sql.table(Message)} l"
        " ON l.conversation_id = c.id AND l.seq = c.last_seq AND l.seq >= m.hidden_before_seq"
        " ORDER BY c.updated_at DESC, c.id DESC"
    )


@cache
def _count() -> str:
    return f"SELECT COUNT(*) FROM {sql.table(Member)} WHERE user_id = %s"  # noqa: S608
