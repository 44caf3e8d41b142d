"""Conversation rows as the writer holds them: both counters, both people, both people's marks.

Whoever writes for a conversation reads its row here first and so holds it until the commit; that
is what makes `seq` dense and every mark monotonic. In a SQLite file a writer need not read again
what it wrote itself: its transaction holds the whole file, and the file says when others wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connections

from doran.chat import statements as sql
from doran.chat.models import Conversation, Member

_CONVERSATION = ("id", "participant1_id", "participant2_id", "last_seq", "change_seq", "lost_seq", "is_active")
_MEMBER = (
    "user_id", "id", "last_delivered_seq", "last_read_seq", "shown_delivered_seq", "shown_read_seq", "marked_unread",
    "hidden_before_seq", "unread_deleted", "unread_deleted_after",
)  # fmt: skip


_KEPT_AT_MOST = 4096


@dataclass(slots=True)
class MarksRow:
    """One person's marks; `shown_*` is what the other may know of them. `db_id` is the member's."""

    db_id: Any
    delivered: int
    read: int
    shown_delivered: int
    shown_read: int
    marked_unread: bool
    hidden_before: int
    unread_deleted: int
    unread_deleted_after: int

    @property
    def mark(self) -> int:
        """Up to where nothing is unread."""
        return max(self.read, self.hidden_before - 1)

    def advance_all(self, seq: int) -> int:
        """Who sends has read everything before it, and both may know; returns up to where they had read before."""
        before = self.read
        self.delivered = self.read = self.shown_delivered = self.shown_read = seq
        self.marked_unread = False
        return before


@dataclass(slots=True)
class Counter:
    """A conversation while a batch works on it. `db_id` is its id as the driver wants it.

    Where `lost_seq` is ahead of `last_seq`, the next message comes after it.
    """

    db_id: Any
    people: tuple[str, str]
    last_seq: int
    change_seq: int
    lost_seq: int
    is_active: bool
    marks: dict[str, MarksRow]
    moved: bool = False

    def other(self, user_id: str) -> str:
        one, two = self.people
        return two if user_id == one else one


def held(conversation_ids: Iterable[str]) -> dict[str, Counter]:
    """These conversations by id, as far as they exist, held until the commit. At most one statement."""
    wanted = set(conversation_ids)
    known = _kept.since_last_time()
    if unknown := wanted - known.keys():
        known.update(_read(unknown))
    return {one: known[one] for one in wanted if one in known}


def forget() -> None:
    """What this thread's transaction changed was taken back, or changed by other means than these counters."""
    _kept.counters = {}


class _Kept(threading.local):
    """A writer's counters as its last commit left them."""

    def __init__(self) -> None:
        self.counters: dict[str, Counter] = {}
        self.version = 0

    def since_last_time(self) -> dict[str, Counter]:
        """All of them if nobody else can have written since, else none."""
        version = _data_version()
        if not version or version != self.version or len(self.counters) > _KEPT_AT_MOST:
            self.counters, self.version = {}, version
        return self.counters


_kept = _Kept()


def _data_version() -> int:
    """SQLite's count of other connections' commits, or 0 where each transaction has to ask."""
    if connections[sql.DATABASE].vendor != "sqlite":
        return 0
    cursor = sql.cursor()
    cursor.execute("PRAGMA data_version")
    return int(cursor.fetchone()[0])


def _read(conversation_ids: Iterable[str]) -> dict[str, Counter]:
    wanted = [one.replace("-", "") for one in sorted(conversation_ids)]
    cursor = sql.cursor()
    cursor.execute(_statement(len(wanted)), wanted)
    found: dict[Any, Counter] = {}
    for db_id, one, two, last_seq, change_seq, lost_seq, is_active, user_id, *marks in cursor.fetchall():
        if db_id not in found:
            found[db_id] = Counter(db_id, (one, two), last_seq, change_seq, lost_seq, bool(is_active), {})
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
