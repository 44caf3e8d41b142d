"""The consumer: each event takes effect once, and what cannot be handled waits with all behind it."""

from __future__ import annotations

import enum
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

import msgspec
from django.db import InterfaceError, InternalError, OperationalError, models

from doran.contracts.errors import Problem
from doran.contracts.events import BadEvent, Envelope, Event, UnknownEvent
from doran.kernel import clock, faults, redaction, telemetry
from doran.kernel.bus import Bus, Unavailable
from doran.kernel.doors import Door, commit, directly, home, look
from doran.kernel.inbox.marks import Marks
from doran.kernel.inbox.tables import AbstractDeadLetter, AbstractInbox
from doran.kernel.telemetry.logs import places

log = logging.getLogger(__name__)

Effect = Callable[[Any], object]

WAITS: Final = "waits behind an earlier event of its key"
_DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError)
_TIDY_EVERY: Final = 10_000
_LONGEST_KEPT: Final = timedelta(days=30)


class Outcome(enum.Enum):
    """What became of an event that was handed over."""

    HANDLED = "it took effect, now"
    REPEATED = "it had taken effect before"
    WAITING = "it waits behind an earlier event of its key"
    BURIED = "it could not be handled and waits for an operator"
    UNASKED = "nobody here handles its type"


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


@dataclass(frozen=True, slots=True)
class Replayed:
    """`handled` took effect now; `stuck` failed again, once per key, with those behind them."""

    handled: int
    stuck: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """A handler's exception on its way out of somebody else's transaction."""

    wrong: Exception


@dataclass(frozen=True)
class Consumer:
    """One service's ear: its handlers by event type, its inbox, its dead letters, its door.

    `pauses` are the seconds between tries of an event that fails.
    """

    subscription: str
    handlers: Mapping[str, Effect]
    inbox: type[AbstractInbox]
    dead_letters: type[AbstractDeadLetter]
    run_in_transaction: Door = directly
    pauses: tuple[float, ...] = (0.05, 0.2, 0.5)
    _heard: Iterator[int] = field(default_factory=itertools.count, init=False, compare=False)

    # -- outside --------------------------------------------------------------------------------

    def attach(self, bus: Bus) -> None:
        """Listen for every event with a handler, and for the deletions that concern what may wait here."""
        personal = self.handlers.keys() & redaction.PERSONAL
        bus.subscribe(
            self.subscription, self.handlers.keys() | (redaction.DELETIONS if personal else set()), self.handle
        )
        telemetry.watch_dead_letters(self.subscription, lambda: look(self._database, self._letters().count))

    def handle(self, envelope: Envelope) -> Outcome:
        """Let the event take effect, once. Raises `Unavailable` when it can neither be handled nor put aside."""
        with telemetry.with_trace(envelope.trace_id):
            try:
                event = envelope.event()
            except (BadEvent, UnknownEvent, msgspec.DecodeError) as wrong:
                return self._bury(envelope, wrong)
            self._forget(event)
            if envelope.event_type not in self.handlers:
                return Outcome.UNASKED
            if next(self._heard) % _TIDY_EVERY == 0:
                self._tidy()
            return self._persistently(envelope, event)

    def letters(self, *, at_most: int = 1000) -> list[Letter]:
        """What waits, oldest first, without what it says."""
        return [_letter(row) for row in self._letters().order_by("id")[:at_most]]

    def replay(self, ids: Iterable[int] | None = None) -> Replayed:
        """Try again, oldest first, the keys of these dead letters (of all, if none are named).

        A key stops at its first event that fails again. Raises `Unavailable` when the database is away.
        """
        chosen = self._letters() if ids is None else self._letters().filter(id__in=list(ids))
        handled = stuck = 0
        for key in dict.fromkeys(chosen.order_by("id").values_list("key", flat=True)):
            done, failed = self._replay_key(key)
            handled, stuck = handled + done, stuck + failed
        return Replayed(handled, stuck)

    def discard(self, ids: Iterable[int]) -> int:
        """Give these dead letters up for good; return how many there were. Those behind them need a replay."""
        chosen = self._letters().filter(id__in=list(ids))
        return int(self._commit(lambda: chosen.delete()[0]))

    def prune(self, *, older_than: timedelta = _LONGEST_KEPT, batch: int = 1000) -> int:
        """Forget that old events were handled; return how many. No bus redelivers after so long."""
        pruned, before = 0, clock.now() - older_than
        while old := self._oldest_handled(before, batch):
            pruned += self._commit(self._inbox().filter(pk__in=old).delete)[0]
            if len(old) < batch:
                break
        return pruned

    def _tidy(self) -> None:
        """The inbox stays small by itself. Where that fails now, it is tried again later."""
        try:
            self.prune()
        except Exception as wrong:
            log.warning("the inbox could not be pruned", extra={"error_class": type(wrong).__name__})

    # -- once -----------------------------------------------------------------------------------

    def _persistently(self, envelope: Envelope, event: Event) -> Outcome:
        wrong: Exception = RuntimeError()
        for pause in (0.0, *self.pauses):
            if pause:
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            outcome = self._try(lambda: self._once(envelope, event))
            if isinstance(outcome, Outcome):
                return outcome
            wrong = outcome
        return self._bury(envelope, wrong)

    def _try(self, change: Callable[[], Outcome]) -> Outcome | Exception:
        """The outcome, or why there is none; then nothing has changed."""
        try:
            outcome = self.run_in_transaction(lambda: self._contained(change))
        except Exception as wrong:
            return wrong
        return outcome.wrong if isinstance(outcome, _Failure) else outcome

    def _contained(self, change: Callable[[], Outcome]) -> Outcome | _Failure:
        """Undo a handler that fails without disturbing those who share the transaction.

        Trouble of the database itself is theirs as well, and goes on to whoever keeps the door.
        """
        try:
            return commit(directly, self._database, change)
        except _DATABASE_TROUBLE:
            raise
        except Exception as wrong:
            return _Failure(wrong)

    def _once(self, envelope: Envelope, event: Event) -> Outcome:
        is_handled, is_held = self._marks.look(envelope)
        if is_handled:
            return Outcome.REPEATED
        if is_held:
            self._put_aside(envelope, WAITS)
            return Outcome.WAITING
        self._take_effect(envelope, event)
        return Outcome.HANDLED

    def _take_effect(self, envelope: Envelope, event: Event) -> None:
        self.handlers[envelope.event_type](event)
        faults.hit("inbox.after_effect_before_mark")
        self._marks.set(envelope)

    # -- what cannot be handled -------------------------------------------------------------------

    def _bury(self, envelope: Envelope, wrong: Exception) -> Outcome:
        def change() -> Outcome:
            if self._marks.look(envelope)[0]:
                return Outcome.REPEATED
            self._put_aside(envelope, _reason(wrong))
            return Outcome.BURIED

        try:
            outcome: Outcome = self._commit(change)
        except Exception as trouble:
            raise Unavailable("neither handled nor put aside") from trouble
        if outcome is Outcome.BURIED:
            self._say_buried(envelope, wrong)
        return outcome

    def _put_aside(self, envelope: Envelope, reason: str) -> None:
        self._letters().get_or_create(
            event_id=envelope.event_id,
            subscription=self.subscription,
            defaults={
                "event_type": envelope.event_type,
                "key": envelope.key,
                "envelope": msgspec.json.encode(envelope).decode(),
                "reason": reason,
                "failed_at": clock.now(),
            },
        )

    def _say_buried(self, envelope: Envelope, wrong: Exception) -> None:
        telemetry.event_dead_lettered(self.subscription)
        facts = {
            "event_id": envelope.event_id,
            "event_type": envelope.event_type,
            "subscription": self.subscription,
            "reason": _reason(wrong),
        }
        log.error("an event could not be handled and waits as a dead letter", extra=facts)

    def _replay_key(self, key: str) -> tuple[int, int]:
        handled = 0
        while (row := self._letters().filter(key=key).order_by("id").first()) is not None:
            if not self._replay_one(row):
                return handled, 1
            handled += 1
        return handled, 0

    def _replay_one(self, row: AbstractDeadLetter) -> bool:
        outcome = self._try(lambda: self._again(row.id))
        if isinstance(outcome, Outcome):
            return True
        try:
            self._commit(
                lambda: self._letters().filter(id=row.id).update(reason=_reason(outcome), failed_at=clock.now())
            )
        except Exception as trouble:
            raise Unavailable("the database is away") from trouble
        return False

    def _again(self, number: int) -> Outcome:
        row = self._letters().filter(id=number).first()
        if row is None:
            return Outcome.REPEATED
        envelope = msgspec.json.decode(row.envelope, type=Envelope)
        if not self._marks.look(envelope)[0]:
            with telemetry.with_trace(envelope.trace_id):
                self._take_effect(envelope, envelope.event())
        self._letters().filter(id=number).delete()
        return Outcome.HANDLED

    # -- what must be forgotten -------------------------------------------------------------------

    def _forget(self, deletion: Event) -> None:
        """Take what a deletion deletes out of the dead letters, at once, even if its own turn is later."""
        if deletion.NAME not in redaction.DELETIONS:
            return
        concerned = self._letters().filter(**redaction.narrowed(deletion))
        try:
            if concerned.exists():
                self._commit(lambda: _empty(deletion, concerned))
        except Exception as trouble:
            raise Unavailable("dead letters could not be emptied") from trouble

    # -- tables ---------------------------------------------------------------------------------

    @cached_property
    def _database(self) -> str:
        return home(self.inbox)

    @cached_property
    def _marks(self) -> Marks:
        return Marks(self._database, self.subscription, self.inbox, self.dead_letters)

    def _commit(self, change: Callable[[], Any]) -> Any:
        return commit(self.run_in_transaction, self._database, change)

    def _inbox(self) -> models.QuerySet[AbstractInbox]:
        return self.inbox._base_manager.using(self._database)

    def _letters(self) -> models.QuerySet[AbstractDeadLetter]:
        return self.dead_letters._base_manager.using(self._database).filter(subscription=self.subscription)

    def _oldest_handled(self, before: datetime, batch: int) -> Sequence[int]:
        # By id, which is the order of arrival, so that no index on the time is needed.
        oldest = self._inbox().order_by("pk").values_list("pk", "handled_at")[:batch]
        return [number for number, handled_at in oldest if handled_at < before]


def handle_once(
    inbox: type[AbstractInbox],
    dead_letters: type[AbstractDeadLetter],
    subscription: str,
    envelope: Envelope,
    handler: Effect,
    *,
    run_in_transaction: Door = directly,
) -> Outcome:
    """`Consumer.handle` for a single handler."""
    consumer = Consumer(subscription, {envelope.event_type: handler}, inbox, dead_letters, run_in_transaction)
    return consumer.handle(envelope)


def _empty(deletion: Event, concerned: models.QuerySet[AbstractDeadLetter]) -> None:
    for row in concerned:
        envelope = msgspec.json.decode(row.envelope, type=Envelope)
        emptied = redaction.without(deletion, row.event_type, bytes(envelope.data))
        if emptied is not None:
            rewritten = msgspec.structs.replace(envelope, data=msgspec.Raw(emptied))
            concerned.filter(id=row.id).update(envelope=msgspec.json.encode(rewritten).decode())


def _letter(row: AbstractDeadLetter) -> Letter:
    shown = ("id", "event_type", "subscription", "key", "reason", "failed_at")
    return Letter(event_id=str(row.event_id), **{name: getattr(row, name) for name in shown})


def _reason(wrong: Exception) -> str:
    """Its class and where it came from. Never its text, which may quote the event."""
    kind = f"Problem {wrong.code}" if isinstance(wrong, Problem) else type(wrong).__name__
    passed = places(wrong.__traceback__)
    return f"{kind} at {passed[-1]}" if passed else kind
