"""Dead letters: events that could not be handled or published, and with each those behind it of its key."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
from django.db import models

from doran.contracts.errors import Problem
from doran.contracts.events import Envelope, Event, NewerEvent, UnknownEvent
from doran.kernel import clock, redaction
from doran.kernel.doors import Door, commit, directly, home
from doran.kernel.telemetry.logs import places

WAITS: Final = "waits behind an earlier event of its key"
OUTBOX: Final = "outbox"
"""The subscription of what could not even be published."""

_NAME, _TYPE, _KEY = 128, 64, 255
_AT_ONCE = 500
_LONGEST = 300


class AbstractDeadLetter(models.Model):
    """One event that waits, with the reason. `again` says that it is to be tried once more."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()
    subscription = models.CharField(max_length=_NAME)
    event_type = models.CharField(max_length=_TYPE)
    key = models.CharField(max_length=_KEY)
    envelope = models.TextField()
    reason = models.TextField()
    failed_at = models.DateTimeField()
    again = models.BooleanField(default=False)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["event_id", "subscription"], name="%(app_label)s_dead_letter_once"),
        ]
        indexes = [
            models.Index(fields=["subscription", "key"], name="%(app_label)s_dead_letter_key"),
            models.Index(fields=["subscription", "again"], name="%(app_label)s_dead_letter_again"),
        ]


Row = AbstractDeadLetter
Rows = models.QuerySet[AbstractDeadLetter]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as an operator sees it: everything but what it says."""

    id: int
    event_id: str
    event_type: str
    subscription: str
    key: str
    reason: str
    failed_at: datetime


@dataclass(frozen=True)
class Letters:
    """What waits for one subscription, per key in the order of `id`; the first of a key holds up the rest.

    Whoever works for the subscription tries what is asked for again, from the first of its key on:
    so an operator's wish is a short change of this table, whichever process then fulfils it.
    """

    table: type[AbstractDeadLetter]
    subscription: str
    run_in_transaction: Door = directly

    # -- for operators ----------------------------------------------------------------------------

    def listed(self, *, at_most: int = 1000) -> list[Letter]:
        """What waits, oldest first, without what it says."""
        return [_letter(row) for row in self.rows().order_by("id")[:at_most]]

    def count(self) -> int:
        return self.rows().count()

    def ids(self) -> set[int]:
        return set(self.rows().values_list("id", flat=True))

    def ask(self, ids: Iterable[int] | None = None) -> list[int]:
        """Have the keys of these letters (of all, if none are named) tried again; return every letter of these keys."""
        concerned = self.rows()
        if ids is not None:
            named = concerned.filter(id__in=list(ids))
            concerned = concerned.filter(key__in=list(named.values_list("key", flat=True).distinct()))
        firsts = list(
            concerned.order_by().values("key").annotate(first=models.Min("id")).values_list("first", flat=True)
        )
        for at in range(0, len(firsts), _AT_ONCE):  # each a short transaction: a server may be writing beside us
            self._commit(partial(self.rows().filter(id__in=firsts[at : at + _AT_ONCE]).update, again=True))
        return list(concerned.values_list("id", flat=True))

    def discard(self, ids: Iterable[int]) -> int:
        """Give these letters up for good; return how many there were. Those behind them are tried."""
        return int(self._commit(partial(self._discard, list(ids))))

    def _discard(self, ids: list[int]) -> int:
        chosen = self.rows().select_for_update().filter(id__in=ids)
        firsts = [row for row in chosen if row.id == self.first(row.key)]
        gone = chosen.delete()[0]
        for row in firsts:
            self._try_next(row.key)
        return gone

    # -- for whoever tries, inside a transaction ----------------------------------------------------

    def first(self, key: str) -> int | None:
        """The letter that holds up this key, if any; nobody else takes it away before the commit."""
        return self._of(key).select_for_update().values_list("id", flat=True).first()

    def held(self, number: int) -> Row | None:
        """This letter, unless it is gone; nobody else takes it away before the commit."""
        return self.rows().select_for_update().filter(id=number).first()

    def put_aside(self, letters: Iterable[tuple[Envelope, str]]) -> None:
        """Keep these events with their reasons. What is kept already stays as it is."""
        self._all().bulk_create([self._row(*letter) for letter in letters], ignore_conflicts=True)

    def take_away(self, ids: Sequence[int], key: str) -> None:
        """These first letters of a key are done: its next one is tried."""
        self.rows().filter(id__in=ids).delete()
        self._try_next(key)

    def stay(self, number: int, reason: str) -> None:
        """The letter was tried again, in vain."""
        self.rows().filter(id=number).update(reason=reason, failed_at=clock.now(), again=False)

    def _try_next(self, key: str) -> None:
        first = self._of(key).values_list("id", flat=True).first()
        if first is not None:
            self.rows().filter(id=first).update(again=True)

    # -- what to try --------------------------------------------------------------------------------

    def asked(self) -> list[tuple[int, str]]:
        """Id and key of each letter that is to be tried now."""
        return list(self.rows().filter(again=True).order_by("id").values_list("id", "key"))

    def asked_of(self, key: str) -> int | None:
        return self._of(key).filter(again=True).values_list("id", flat=True).first()

    def keys(self) -> set[str]:
        return set(self.rows().values_list("key", flat=True).distinct())

    def of(self, key: str, *, at_most: int) -> list[Row]:
        return list(self._of(key)[:at_most])

    # -- what must be forgotten -----------------------------------------------------------------------

    def forget(self, deletion: Event) -> None:
        """Take what a deletion deletes out of what waits."""
        if deletion.NAME not in redaction.DELETIONS:
            return
        concerned = self.rows().filter(**redaction.narrowed(deletion))
        if concerned.exists():
            self._commit(lambda: _empty(deletion, concerned))

    # -- rows -----------------------------------------------------------------------------------------

    def rows(self) -> Rows:
        return self._all().filter(subscription=self.subscription)

    def _of(self, key: str) -> Rows:
        return self.rows().filter(key=column(key)).order_by("id")

    def _all(self) -> Rows:
        return self.table._base_manager.using(home(self.table)).all()

    def _commit(self, change: Callable[[], Any]) -> Any:
        return commit(self.run_in_transaction, home(self.table), change)

    def _row(self, envelope: Envelope, reason: str) -> Row:
        return self.table(
            event_id=event_uuid(envelope.event_id),
            subscription=self.subscription,
            event_type=column(envelope.event_type, _TYPE),
            key=column(envelope.key),
            envelope=msgspec.json.encode(_readable(envelope)).decode(),
            reason=reason,
            failed_at=clock.now(),
        )


def event_uuid(event_id: str) -> uuid.UUID:
    """The id as every engine keeps it; a foreign producer's that is no UUID of RFC 9562 becomes one, always the same."""
    try:
        known = uuid.UUID(event_id)
    except ValueError:
        known = uuid.UUID(int=0)
    return known if known.variant == uuid.RFC_4122 else uuid.uuid5(uuid.NAMESPACE_OID, event_id)


def column(text: str, length: int = _KEY) -> str:
    """A name of an envelope as a column can hold it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]


def reason(wrong: Exception) -> str:
    """Its class and where it came from. Never its text, which may quote the event."""
    if isinstance(wrong, NewerEvent | UnknownEvent):
        return f"{type(wrong).__name__}: {wrong}"[:_LONGEST]
    kind = f"Problem {wrong.code}" if isinstance(wrong, Problem) else type(wrong).__name__
    passed = places(wrong.__traceback__)
    return f"{kind} at {passed[-1]}" if passed else kind


def _readable(envelope: Envelope) -> Envelope:
    """What is not even JSON will never be understood: only its envelope is kept."""
    try:
        msgspec.json.decode(envelope.data)
    except msgspec.DecodeError:
        return msgspec.structs.replace(envelope, data=msgspec.Raw(b"null"))
    return envelope


def read(row: Row) -> Envelope:
    """The event of this letter."""
    return msgspec.json.decode(row.envelope, type=Envelope)


def _letter(row: Row) -> Letter:
    shown = ("id", "event_type", "subscription", "key", "reason", "failed_at")
    return Letter(event_id=str(row.event_id), **{name: getattr(row, name) for name in shown})


def _empty(deletion: Event, concerned: Rows) -> None:
    for row in concerned:
        emptied = redaction.envelope_without(deletion, row.envelope)
        if emptied is not None:
            concerned.filter(id=row.id).update(envelope=emptied)
