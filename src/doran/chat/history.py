"""Messages as one person sees them: pages by arithmetic on `seq`, never a COUNT, never an OFFSET."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from doran.chat import statements as sql
from doran.chat import timelines
from doran.chat.models import HiddenMessage, Message, MessageChange
from doran.chat.sight import Sight
from doran.chat.views import MESSAGE_FIELDS, message_columns, message_view
from doran.chat.writer import DATABASE
from doran.contracts.frames import LIST_BYTES, MessageView, fitting


def between(seen: Sight, *, low: int, high: int) -> list[MessageView]:
    """Messages low..high, both included, oldest first; one read of the index."""
    low, high = max(low, seen.first_seq), min(high, seen.last_seq)
    if high < low:
        return []
    rows = _rows(
        f"SELECT {message_columns()} FROM {sql.table(Message)}"  # noqa: S608
        " WHERE conversation_id = %s AND seq BETWEEN %s AND %s ORDER BY seq",
        [seen.conversation_id.replace("-", ""), low, high],
    )
    if seen.lost and len(rows) <= high - low:
        rows = sorted([*rows, *timelines.between(seen.lost, low=low, high=high)], key=_seq)
    return as_seen(seen, rows)


def at(seen: Sight, seqs: Sequence[int]) -> list[MessageView]:
    """Return the messages at these positions, in any order; one read of the index."""
    if not seqs:
        return []
    rows = _rows(
        f"SELECT {message_columns()} FROM {sql.table(Message)}"  # noqa: S608
        f" WHERE conversation_id = %s AND seq IN ({', '.join(['%s'] * len(seqs))})",
        [seen.conversation_id.replace("-", ""), *seqs],
    )
    return as_seen(seen, [row for row in rows if seen.first_seq <= row[2]])


def newest(seen: Sight, count: int, *, room: int = LIST_BYTES) -> list[MessageView]:
    """Return the newest messages, oldest first: at most `count`, and no more than `room` bytes of JSON."""
    found = between(seen, low=seen.last_seq - count + 1, high=seen.last_seq)
    return found[len(found) - fitting(found[::-1], room=room) :]


def page(seen: Sight, *, number: int, size: int) -> list[MessageView]:
    """Page `number` (from 1) of `size`, newest first. Page 200 costs what page 1 costs."""
    high = seen.last_seq - (number - 1) * size
    return between(seen, low=high - size + 1, high=high)[::-1]


def changed(seen: Sight, *, since: int, limit: int) -> list[Any]:
    """Rows whose last change came after `since`, in change order: those sent since, and those changed."""
    rows = [*_sent_after(seen, since, limit), *_changed_after(seen, since, limit)]
    if seen.lost:
        rows += timelines.changed(seen.lost, since=since, until=seen.change_seq, limit=limit)
    return sorted(rows, key=_change_seq)[:limit]


def _sent_after(seen: Sight, since: int, limit: int) -> list[Any]:
    """Messages sent after `since` and never changed: in the order of `seq`, which is theirs of change.

    Each send is one change, so there are no more of them than changes since then: reading begins
    that far from the end.
    """
    first = max(seen.first_seq, seen.last_seq - (seen.change_seq - since) + 1)
    return _rows(
        f"SELECT {message_columns()} FROM {sql.table(Message)}"  # noqa: S608
        " WHERE conversation_id = %s AND seq >= %s AND change_seq > %s AND change_seq <= %s"
        " AND edited_at IS NULL AND is_deleted = %s ORDER BY seq LIMIT %s",
        [seen.conversation_id.replace("-", ""), first, since, seen.change_seq, False, limit],
    )


def _changed_after(seen: Sight, since: int, limit: int) -> list[Any]:
    """Messages edited or deleted after `since`, each where its last change stands."""
    columns = sql.columns(Message, MESSAGE_FIELDS, of="m")
    return _rows(
        f"SELECT {columns} FROM {sql.table(MessageChange)} x JOIN {sql.table(Message)} m"  # noqa: S608
        " ON m.conversation_id = x.conversation_id AND m.seq = x.seq AND m.change_seq = x.change_seq"
        " WHERE x.conversation_id = %s AND x.change_seq > %s AND x.change_seq <= %s"
        " ORDER BY x.change_seq LIMIT %s",
        [seen.conversation_id.replace("-", ""), since, seen.change_seq, limit],
    )


def _rows(statement: str, values: list[Any]) -> list[Any]:
    cursor = sql.cursor()
    cursor.execute(statement, values)
    return list(cursor.fetchall())


_seq = itemgetter(MESSAGE_FIELDS.index("seq"))
_change_seq = itemgetter(MESSAGE_FIELDS.index("change_seq"))


def as_seen(seen: Sight, rows: Sequence[Sequence[Any]]) -> list[MessageView]:
    """Stored rows as this person sees them: what they deleted for themselves is a tombstone."""
    hidden = _hidden(seen, [row[2] for row in rows]) if seen.has_hidden and rows else ()
    place = seen.conversation_id
    return [message_view(row, hidden=row[2] in hidden, conversation_id=place) for row in rows]


def _hidden(seen: Sight, seqs: Sequence[int]) -> set[int]:
    rows = HiddenMessage.objects.using(DATABASE).filter(
        conversation_id=seen.conversation_id, user_id=seen.user_id, seq__range=(min(seqs), max(seqs))
    )
    return set(rows.values_list("seq", flat=True))
