"""Messages as one person sees them: pages by arithmetic on `seq`, never a COUNT, never an OFFSET."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from doran.chat import statements as sql
from doran.chat.models import HiddenMessage, Message
from doran.chat.sight import Sight
from doran.chat.views import message_columns, message_view
from doran.chat.writer import DATABASE
from doran.contracts.frames import MessageView


def between(seen: Sight, *, low: int, high: int) -> list[MessageView]:
    """Messages low..high, both included, oldest first; one read of the index."""
    low, high = max(low, seen.first_seq), min(high, seen.last_seq)
    if high < low:
        return []
    cursor = sql.cursor()
    cursor.execute(
        f"SELECT {message_columns()} FROM {sql.table(Message)}"  # noqa: S608
        " WHERE conversation_id = %s AND seq BETWEEN %s AND %s ORDER BY seq",
        [seen.conversation_id.replace("-", ""), low, high],
    )
    return as_seen(seen, cursor.fetchall())


def newest(seen: Sight, count: int) -> list[MessageView]:
    """The newest messages, oldest first."""
    return between(seen, low=seen.last_seq - count + 1, high=seen.last_seq)


def page(seen: Sight, *, number: int, size: int) -> list[MessageView]:
    """Page `number` (from 1) of `size`, newest first. Page 200 costs what page 1 costs."""
    high = seen.last_seq - (number - 1) * size
    return between(seen, low=high - size + 1, high=high)[::-1]


def changed(seen: Sight, *, since: int, limit: int) -> list[Any]:
    """Rows whose last change came after `since`, in change order."""
    cursor = sql.cursor()
    cursor.execute(
        f"SELECT {message_columns()} FROM {sql.table(Message)}"  # noqa: S608
        " WHERE conversation_id = %s AND change_seq > %s AND change_seq <= %s ORDER BY change_seq LIMIT %s",
        [seen.conversation_id.replace("-", ""), since, seen.change_seq, limit],
    )
    return list(cursor.fetchall())


def as_seen(seen: Sight, rows: Sequence[Sequence[Any]]) -> list[MessageView]:
    """Stored rows as this person sees them: what they deleted for themselves is a tombstone."""
    hidden = _hidden(seen, [row[2] for row in rows]) if seen.has_hidden and rows else ()
    return [message_view(row, hidden=row[2] in hidden) for row in rows]


def _hidden(seen: Sight, seqs: Sequence[int]) -> set[int]:
    rows = HiddenMessage.objects.using(DATABASE).filter(
        conversation_id=seen.conversation_id, user_id=seen.user_id, seq__range=(min(seqs), max(seqs))
    )
    return set(rows.values_list("seq", flat=True))
