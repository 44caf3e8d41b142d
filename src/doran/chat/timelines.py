"""What a restore took away: numbers leap over it, and tombstones stand where it was.

An older copy of the store goes on counting where it stood, but others may have seen where the lost
timeline went on from there. So nothing that it may have issued is issued again: changes leap at
once, for every conversation; positions when the next message comes, so that a conversation nobody
goes on with looks as it was (docs/adr/0014-timelines.md).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from doran.chat import statements as sql
from doran.chat.counters import Counter, MarksRow
from doran.chat.models import Conversation, LostRange, Member, Message, Store
from doran.chat.views import MESSAGE_FIELDS
from doran.chat.writer import DATABASE
from doran.kernel import clock

CHANGES_FOR_EACH_POSITION = 100
"""A message is delivered, read, edited and deleted; what is left out of the changes costs nothing."""

_OFFSETS = 2**32 - 1
_COLUMNS = tuple(name if name != "conversation" else "conversation_id" for name in MESSAGE_FIELDS)
_MARKS = ("last_delivered_seq", "last_read_seq", "shown_delivered_seq", "shown_read_seq", "hidden_before_seq")

Lost = tuple[LostRange, ...]
Place = tuple[str, int]


def epoch() -> str | None:
    """The name of the timeline that is in the store now; None if no server has run on it yet."""
    return Store.objects.using(DATABASE).values_list("epoch", flat=True).first()


def begin(new: str, *, reserve: int) -> int:
    """Begin another timeline, whose epoch is `new`: what devices know of the old one no longer counts.

    In each conversation the next message comes `reserve` positions later. Returns how many
    conversations there are. While no server runs.
    """
    leap = reserve * CHANGES_FOR_EACH_POSITION
    with transaction.atomic(using=DATABASE):
        Store.objects.using(DATABASE).update(epoch=new)
        # MySQL sets one column after the other and reads what it has set: what is read later is set later.
        return Conversation.objects.using(DATABASE).update(
            lost_seq=Greatest("last_seq", "lost_seq") + reserve,
            reset_before=F("change_seq") + leap,
            change_seq=F("change_seq") + leap,
        )


# -- the leap --------------------------------------------------------------------------------------


def leap(counter: Counter) -> None:
    """Go past what may have been issued before. In the writer's transaction, a message follows in it.

    Who had read, received or hidden everything still has.
    """
    first, last = counter.last_seq + 1, counter.lost_seq
    new = uuid.UUID(int=clock.new_id().int & ~_OFFSETS)
    LostRange.objects.using(DATABASE).create(
        id=new, conversation_id=sql.read_uuid(counter.db_id), first_seq=first, last_seq=last,
        change_seq=counter.change_seq + 1, created_at=clock.stamp(),
    )  # fmt: skip
    for marks in counter.marks.values():
        _move_along(marks, first, last)
    rows = [(*_marks(marks), counter.db_id, user_id) for user_id, marks in counter.marks.items()]
    sql.update_many(Member, _MARKS, rows, where=("conversation", "user_id"))
    counter.last_seq, counter.change_seq = last, counter.change_seq + last - first + 1


def _move_along(marks: MarksRow, first: int, last: int) -> None:
    for name in ("delivered", "read", "shown_delivered", "shown_read"):
        if getattr(marks, name) == first - 1:
            setattr(marks, name, last)
    if marks.hidden_before == first:
        marks.hidden_before = last + 1


def _marks(marks: MarksRow) -> tuple[int, ...]:
    return marks.delivered, marks.read, marks.shown_delivered, marks.shown_read, marks.hidden_before


# -- what stands there -----------------------------------------------------------------------------


def lost_of(conversation_id: Any) -> Lost:
    """The conversation's lost positions, oldest first."""
    return tuple(LostRange.objects.using(DATABASE).filter(conversation_id=conversation_id).order_by("first_seq"))


def lost_ranges(conversation_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Lost]:
    """The same for many, in one statement; in none where there are none, as where nothing was ever lost."""
    wanted = list(conversation_ids)
    found: dict[uuid.UUID, Lost] = {}
    if wanted:
        for one in LostRange.objects.using(DATABASE).filter(conversation_id__in=wanted).order_by("first_seq"):
            found[one.conversation_id] = (*found.get(one.conversation_id, ()), one)
    return found


def between(lost: Lost, *, low: int, high: int) -> list[Any]:
    """The tombstones among positions low..high, as rows like those of messages."""
    return [
        _row(one, seq) for one in lost for seq in range(max(low, one.first_seq), min(high, one.last_seq) + 1)
    ]  # fmt: skip


def changed(lost: Lost, *, since: int, until: int, limit: int) -> list[Any]:
    """The first tombstones that came after change `since`, in change order."""
    found: list[Any] = []
    for one in lost:
        shift = one.first_seq - one.change_seq
        low, high = max(since + 1 + shift, one.first_seq), min(until + shift, one.last_seq)
        found += between((one,), low=low, high=min(high, low + limit - len(found) - 1))
    return found


def tombstone(message_id: uuid.UUID) -> Message | None:
    """What stands under this id, if it is a lost position; it is nowhere stored."""
    base, offset = uuid.UUID(int=message_id.int & ~_OFFSETS), message_id.int & _OFFSETS
    found = LostRange.objects.using(DATABASE).filter(id=base, last_seq__gte=F("first_seq") + offset).first()
    return None if found is None else _message(found, found.first_seq + offset)


def ids_at(places: Iterable[Place]) -> dict[Place, uuid.UUID]:
    """The ids of those positions that are lost ones."""
    wanted = set(places)
    if not wanted:
        return {}
    ranges = LostRange.objects.using(DATABASE).filter(conversation_id__in={place for place, _ in wanted})
    return {
        (place, seq): _id(one, seq)
        for one in ranges
        for place, seq in wanted
        if place == str(one.conversation_id) and one.first_seq <= seq <= one.last_seq
    }


def _id(lost: LostRange, seq: int) -> uuid.UUID:
    return uuid.UUID(int=lost.id.int + seq - lost.first_seq)


def _message(lost: LostRange, seq: int) -> Message:
    return Message(
        id=_id(lost, seq), conversation_id=lost.conversation_id, seq=seq,
        change_seq=lost.change_seq + seq - lost.first_seq, sender_id="", content="", message_type="text",
        created_at=lost.created_at, updated_at=lost.created_at, is_deleted=True,
    )  # fmt: skip


def _row(lost: LostRange, seq: int) -> tuple[Any, ...]:
    message = _message(lost, seq)
    return tuple(getattr(message, name) for name in _COLUMNS)
