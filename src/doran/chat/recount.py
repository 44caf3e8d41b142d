"""Recompute what the members' rows hold for unread counts (chat/unread.py), and set right what differs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from django.db import connections

from doran.chat.models import Member
from doran.chat.writer import DATABASE

PIECE = 200

_MARK: Final = "CASE WHEN m.last_read_seq >= m.hidden_before_seq THEN m.last_read_seq ELSE m.hidden_before_seq - 1 END"
_STORED: Final = f"CASE WHEN m.unread_deleted_after = {_MARK} THEN m.unread_deleted ELSE 0 END"
# One statement sees one state, also beside a server that runs. Few messages were changed or hidden: it starts there.
_STATEMENT: Final = f"""
SELECT m.id, m.last_read_seq, m.hidden_before_seq, m.unread_deleted, m.unread_deleted_after, {_MARK}, {_STORED},
  (SELECT COUNT(DISTINCT x.seq) FROM chat_messagechange x
    JOIN chat_message d ON d.conversation_id = x.conversation_id AND d.seq = x.seq
    WHERE x.conversation_id = m.conversation_id AND x.seq > {_MARK} AND d.is_deleted = %s)
  + (SELECT COUNT(*) FROM chat_hiddenmessage h
    JOIN chat_message d ON d.conversation_id = h.conversation_id AND d.seq = h.seq
    WHERE h.conversation_id = m.conversation_id AND h.user_id = m.user_id AND h.seq > {_MARK} AND d.is_deleted = %s)
FROM chat_member m WHERE m.id < %s ORDER BY m.id DESC LIMIT %s
"""  # noqa: S608  made of constants only


class Recounted(NamedTuple):
    """How many members' rows were looked at, of how many the number differs, and whether that were all."""

    looked: int
    differ: int
    all: bool


class _Side(NamedTuple):
    id: int
    last_read_seq: int
    hidden_before_seq: int
    unread_deleted: int
    unread_deleted_after: int
    mark: int
    stored: int
    right: int


def recount(*, seconds: float | None, repair: bool = False) -> Recounted:
    """Recompute the numbers of all members, or of the newest as far as `seconds` reach, a piece at a time."""
    until, looked, differ = None if seconds is None else time.monotonic() + seconds, 0, 0
    for piece in _pieces():
        wrong = [side for side in piece if side.stored != side.right]
        if repair:
            wrong = [side for side in wrong if not _set_right(side)]
        looked, differ = looked + len(piece), differ + len(wrong)
        if len(piece) == PIECE and until is not None and time.monotonic() >= until:
            return Recounted(looked, differ, all=False)
    return Recounted(looked, differ, all=True)


def _pieces() -> Iterator[list[_Side]]:
    before = 2**63 - 1
    while True:
        with connections[DATABASE].cursor() as cursor:
            cursor.execute(_STATEMENT, [True, False, before, PIECE])
            piece = [_Side(*row) for row in cursor.fetchall()]
        yield piece
        if len(piece) < PIECE:
            return
        before = piece[-1].id


def _set_right(side: _Side) -> bool:
    """Write the number, unless the row moved since: whatever changes what is unread also changes these columns."""
    seen: dict[str, Any] = {name: getattr(side, name) for name in _Side._fields[:5]}
    return bool(
        Member.objects.using(DATABASE).filter(**seen).update(unread_deleted=side.right, unread_deleted_after=side.mark)
    )
