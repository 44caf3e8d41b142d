"""Conversation rows as the writer holds them: both counters, both people, both people's marks.

Whoever writes for a conversation reads its row here first and so holds it until the commit; that
is what makes `seq` dense and every mark monotonic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from doran.chat import statements as sql
from doran.chat.models import Conversation, Member

_CONVERSATION = ("id", "participant1_id", "participant2_id", "last_seq", "change_seq", "is_active")
_MEMBER = (
    "user_id", "last_delivered_seq", "last_read_seq", "shown_delivered_seq", "shown_read_seq", "marked_unread",
    "hidden_before_seq",
)  # fmt: skip


@dataclass(slots=True)
class MarksRow:
    """One person's marks; `shown_*` is what the other may know of them."""

    delivered: int
    read: int
    shown_delivered: int
    shown_read: int
    marked_unread: bool
    hidden_before: int


@dataclass(slots=True)
class Counter:
    """A conversation while a batch works on it. `db_id` is its id as the driver wants it."""

    db_id: Any
    people: tuple[str, str]
    last_seq: int
    change_seq: int
    is_active: bool
    marks: dict[str, MarksRow]
    moved: bool = False

    def other(self, user_id: str) -> str:
        one, two = self.people
        return two if user_id == one else one


def held(conversation_ids: Iterable[str]) -> dict[str, Counter]:
    """These conversations by id, as far as they exist, held until the commit. One statement."""
    wanted = [one.replace("-", "") for one in sorted(set(conversation_ids))]
    if not wanted:
        return {}
    cursor = sql.cursor()
    cursor.execute(_statement(len(wanted)), wanted)
    found: dict[Any, Counter] = {}
    for db_id, one, two, last_seq, change_seq, is_active, user_id, *marks in cursor.fetchall():
        if db_id not in found:
            found[db_id] = Counter(db_id, (one, two), last_seq, change_seq, bool(is_active), {})
        found[db_id].marks[user_id] = MarksRow(*marks)
    return {sql.wire_uuid(db_id): counter for db_id, counter in found.items()}


@lru_cache(maxsize=512)
def _statement(count: int) -> str:
    marks = sql.marks(range(count))
    return (
        f"SELECT {sql.columns(Conversation, _CONVERSATION, of='c')}, {sql.columns(Member, _MEMBER, of='m')}"  # noqa: S608
        f" FROM {sql.table(Conversation)} c JOIN {sql.table(Member)} m ON m.conversation_id = c.id"
        f" WHERE c.id IN ({marks}){sql.locking()}"
    )
