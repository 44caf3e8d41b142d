"""What one person sees of a conversation: the few numbers every read needs, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from doran.chat import statements as sql
from doran.chat import timelines, views
from doran.chat.conversations import Side, parse_id
from doran.chat.models import Conversation, HiddenMessage, LostRange, Member
from doran.contracts import frames
from doran.contracts.errors import Problem

MINE = (
    "last_delivered_seq", "last_read_seq", "muted_until", "archived", "pinned_at", "hidden_before_seq",
    "marked_unread", "draft",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """Messages `first_seq` to `last_seq` are there for this person.

    `has_hidden` is false only if none of them was deleted by this person for themselves. No mark of
    a change before `reset_before` counts any more; at the positions in `lost` there is no message.
    """

    conversation_id: str
    user_id: str
    last_seq: int
    change_seq: int
    is_active: bool
    me: frames.MyState
    peer: frames.Marks
    has_hidden: bool = True
    reset_before: int = 0
    lost: tuple[LostRange, ...] = ()

    @property
    def first_seq(self) -> int:
        return max(1, self.me.hidden_before_seq)

    @property
    def count(self) -> int:
        return max(0, self.last_seq - self.first_seq + 1)


def sight(conversation_id: str, user_id: str) -> Sight:
    """Authorisation is this fetch: what is not yours is not found."""
    cursor = sql.cursor()
    cursor.execute(_statement(), [sql.db_uuid(parse_id(conversation_id)), user_id])
    row = cursor.fetchone()
    if row is None:
        raise Problem("not_found")
    last_seq, change_seq, is_active, lost_seq, reset_before, peer_id, peer_delivered, peer_read, has_hidden, *mine = row
    peer = frames.Marks(peer_id, peer_delivered, peer_read)
    return Sight(
        conversation_id, user_id, last_seq, change_seq, bool(is_active), my_state(mine), peer, bool(has_hidden),
        reset_before, timelines.lost_of(parse_id(conversation_id)) if lost_seq else (),
    )  # fmt: skip


def of(side: Side, *, has_hidden: bool = True) -> Sight:
    """The same from rows that are already here."""
    conversation = side.conversation
    return Sight(
        conversation_id=str(conversation.id),
        user_id=side.me.user_id,
        last_seq=conversation.last_seq,
        change_seq=conversation.change_seq,
        is_active=conversation.is_active,
        me=views.my_state(side.me),
        peer=views.shown_marks(side.peer),
        has_hidden=has_hidden,
        reset_before=conversation.reset_before,
        lost=side.lost,
    )


def my_state(row: Sequence[Any]) -> frames.MyState:
    """The values of `MINE` of a stored row."""
    delivered, read, muted_until, archived, pinned_at, hidden_before, marked_unread, draft = row
    return frames.MyState(
        delivered, read, sql.wire_time_or_none(muted_until), bool(archived), sql.wire_time_or_none(pinned_at), hidden_before,
        bool(marked_unread), draft,
    )  # fmt: skip


@cache
def _statement() -> str:
    conversation = sql.columns(
        Conversation, ("last_seq", "change_seq", "is_active", "lost_seq", "reset_before"), of="c"
    )
    peer = sql.columns(Member, ("user_id", "shown_delivered_seq", "shown_read_seq"), of="p")
    return (
        f"SELECT {conversation}, {peer},"  # noqa: S608
        f" EXISTS (SELECT 1 FROM {sql.table(HiddenMessage)} h"
        " WHERE h.conversation_id = c.id AND h.user_id = m.user_id),"
        f" {sql.columns(Member, MINE, of='m')}"
        f" FROM {sql.table(Member)} m"
        f" JOIN {sql.table(Conversation)} c ON c.id = m.conversation_id"
        f" JOIN {sql.table(Member)} p ON p.conversation_id = c.id AND p.user_id <> m.user_id"
        " WHERE m.conversation_id = %s AND m.user_id = %s"
    )
