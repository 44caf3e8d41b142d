"""The consumer: each event takes effect once, and what cannot be handled waits with all behind it."""

from __future__ import annotations

import enum
import itertools
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, Final

from django.db import InterfaceError, InternalError, OperationalError, models

from doran.contracts.errors import Problem
from doran.contracts.events import BadEvent, Envelope, Event, UnknownEvent
from doran.kernel import clock, faults, redaction, telemetry
from doran.kernel.bus import Bus, Concern, Unavailable, every
from doran.kernel.dead_letters import WAITS, AbstractDeadLetter, Letters, read, reason
from doran.kernel.doors import Door, commit, directly, home
from doran.kernel.inbox.marks import Marks
from doran.kernel.inbox.tables import AbstractInbox

log = logging.getLogger(__name__)

Effect = Callable[[Any], object]

_DATABASE_TROUBLE = (OperationalError, InterfaceError, InternalError)
_TIDY_EVERY: Final = 10_000
_LONGEST_KEPT: Final = timedelta(days=30)


class Outcome(enum.Enum):
    """What became of an event that was handed over."""

    HANDLED = "it took effect, now"
    REPEATED = "it had taken effect before"
    WAITING = "it waits behind an earlier event of its key"
    BURIED = "it could not be handled and waits for an operator"
    UNASKED = "nobody here handles its type, or has anything to do with it"


@dataclass(frozen=True, slots=True)
class Replayed:
    """`handled` took effect now; `stuck` failed again, once per key, with those behind them."""

    handled: int
    stuck: int


@dataclass(frozen=True, slots=True)
class _Failure:
    """A handler's exception on its way out of somebody else's transaction."""

    wrong: Exception


_TROUBLED_AT_MOST = 10_000


@dataclass(frozen=True)
class Consumer:
    """One service's ear: its handlers by event type, its inbox, its dead letters, its door.

    `pauses` are the seconds between tries of an event that fails. Where it is the database that
    fails, the event is left to the bus, which brings it again, `patience` times: a restart of the
    database must not bury anything. Several copies of a consumer may hear the same event at once.

    `concerns` says of an event whether there is anything to do: what it leaves out costs no transaction and leaves
    no mark, and may change its meaning at any time. `given` makes what a handler is called with; `forgets` takes what a deletion deletes out of whatever
    else the service keeps of its events.
    """

    subscription: str
    handlers: Mapping[str, Effect]
    inbox: type[AbstractInbox]
    dead_letters: type[AbstractDeadLetter]
    run_in_transaction: Door = directly
    pauses: tuple[float, ...] = (0.05, 0.2, 0.5)
    patience: int = 20
    given: Callable[[Envelope, Event], Any] = lambda envelope, event: event
    forgets: Callable[[Event], object] | None = None
    concerns: Concern = every
    _heard: Iterator[int] = field(default_factory=itertools.count, init=False, compare=False)
    _troubled: dict[str, int] = field(default_factory=dict, init=False, compare=False)

    # -- outside --------------------------------------------------------------------------------

    def attach(self, bus: Bus) -> None:
        """Listen from now on."""
        bus.subscribe(self.subscription, self.event_types(), self.handle, self.concerns)

    def event_types(self) -> Collection[str]:
        """Every type with a handler, and the deletions that concern what may wait here."""
        return self.handlers.keys() | redaction.concerning(self.handlers.keys())

    def handle(self, envelope: Envelope) -> Outcome:
        """Let the event take effect, once. Raises `Unavailable` when it can neither be handled nor put aside."""
        if not self.concerns(envelope):
            return Outcome.UNASKED
        with telemetry.with_trace(envelope.trace_id):
            try:
                event = envelope.event()
            except (BadEvent, UnknownEvent) as wrong:
                return self._bury(envelope, wrong)
            self._forget(event)
            if envelope.event_type not in self.handlers:
                return Outcome.UNASKED
            if next(self._heard) % _TIDY_EVERY == 0:
                self._tidy()
            return self._persistently(envelope, event)

    @cached_property
    def letters(self) -> Letters:
        """What waits here."""
        return Letters(self.dead_letters, self.subscription, self.run_in_transaction)

    def replay(self, ids: Iterable[int] | None = None) -> Replayed:
        """Try again, oldest first, the keys of these dead letters (of all, if none are named).

        A key stops at its first event that fails again. Raises `Unavailable` when the database is away.
        """
        self.letters.ask(ids)
        return self.replay_asked()

    def replay_asked(self, *, until: Callable[[], bool] = lambda: False) -> Replayed:
        """Try again what an operator asked for; `until` says that it has to end. Raises `Unavailable`."""
        handled = stuck = 0
        for key in dict.fromkeys(key for _, key in self.letters.asked()):
            while not until() and (number := self.letters.asked_of(key)) is not None:
                if not self._replay_one(number):
                    stuck += 1
                    break
                handled += 1
        return Replayed(handled, stuck)

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
                self._troubled.pop(envelope.event_id, None)
                return outcome
            wrong = outcome
        self._leave_to_the_bus(envelope, wrong)
        return self._bury(envelope, wrong)

    def _leave_to_the_bus(self, envelope: Envelope, wrong: Exception) -> None:
        """Raise `Unavailable` where time may heal what is wrong, for a while."""
        before = self._troubled.pop(envelope.event_id, 0)
        if _may_pass(wrong) and before < self.patience:
            self._troubled[envelope.event_id] = before + 1
            while len(self._troubled) > _TROUBLED_AT_MOST:  # another copy may have handled the oldest
                self._troubled.pop(next(iter(self._troubled)), None)
            raise Unavailable("the database is away or busy") from wrong

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
        if is_held and self.letters.first(envelope.key) is not None:
            self.letters.put_aside([(envelope, WAITS)])
            return Outcome.WAITING
        self._take_effect(envelope, event)
        return Outcome.HANDLED

    def _take_effect(self, envelope: Envelope, event: Event) -> None:
        """The mark first: another copy with the same event waits for it, and then knows."""
        self._marks.set(envelope)
        self.handlers[envelope.event_type](self.given(envelope, event))
        faults.hit("inbox.before_commit")

    # -- what cannot be handled -------------------------------------------------------------------

    def _bury(self, envelope: Envelope, wrong: Exception) -> Outcome:
        def change() -> Outcome:
            if self._marks.look(envelope)[0]:
                return Outcome.REPEATED
            self.letters.put_aside([(envelope, reason(wrong))])
            return Outcome.BURIED

        try:
            outcome: Outcome = self._commit(change)
        except Exception as trouble:
            raise Unavailable("neither handled nor put aside") from trouble
        if outcome is Outcome.BURIED:
            self._say_buried(envelope, wrong)
        return outcome

    def _say_buried(self, envelope: Envelope, wrong: Exception) -> None:
        telemetry.event_dead_lettered(self.subscription)
        facts = {
            "event_id": envelope.event_id,
            "event_type": envelope.event_type,
            "subscription": self.subscription,
            "reason": reason(wrong),
        }
        log.error("an event could not be handled and waits as a dead letter", extra=facts)

    def _replay_one(self, number: int) -> bool:
        outcome = self._try(lambda: self._again(number))
        if isinstance(outcome, Outcome):
            return True
        if _may_pass(outcome):
            raise Unavailable("the database is away or busy") from outcome
        try:
            self._commit(lambda: self.letters.stay(number, reason(outcome)))
        except Exception as trouble:
            raise Unavailable("the database is away") from trouble
        return False

    def _again(self, number: int) -> Outcome:
        row = self.letters.held(number)
        if row is None:
            return Outcome.REPEATED
        envelope = read(row)
        if not self._marks.look(envelope)[0]:
            with telemetry.with_trace(envelope.trace_id):
                self._take_effect(envelope, envelope.event())
        self.letters.take_away([number], row.key)
        return Outcome.HANDLED

    # -- what must be forgotten -------------------------------------------------------------------

    def _forget(self, deletion: Event) -> None:
        """Take what a deletion deletes out of what is kept, at once, even if the deletion's own turn is later."""
        try:
            self.letters.forget(deletion)
            if self.forgets is not None and deletion.NAME in redaction.DELETIONS:
                self._commit(partial(self.forgets, deletion))
        except Exception as trouble:
            raise Unavailable("what was deleted could not be forgotten") from trouble

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


def _may_pass(wrong: Exception) -> bool:
    """Whether this is the database's or the writer's trouble of the moment, not the event's."""
    return isinstance(wrong, _DATABASE_TROUBLE) or (isinstance(wrong, Problem) and wrong.kind.status == 503)
