"""The relay carries what waits in an outbox to the bus: a thread that sleeps until it is woken."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import msgspec
from django.db import connections
from django.db.models import Count, Min

from doran.contracts.events import EVENTS, BadEvent, Envelope, UnknownEvent
from doran.kernel import clock, faults, telemetry
from doran.kernel.bus import Bus, Unavailable
from doran.kernel.doors import Door, commit, directly, home, look, reopen_if_broken
from doran.kernel.outbox.table import AbstractOutbox, when_said
from doran.kernel.outbox.waiting import Row

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 5.0  # for what may heal by itself: a bus or a consumer that is away
_POISON_PAUSE = 300.0  # for what only other code or an operator can heal
_MOST_HELD = 100


@dataclass(slots=True, frozen=True)
class _Hold:
    """A key whose first event could not go, for how often already, and when it is tried again."""

    attempts: int
    until: float


@dataclass(slots=True)
class _Pass:
    """What one pass has done so far."""

    held: set[str]
    published: int = 0
    skipped: int = 0
    untaken: int = 0


class Relay:
    """Carries one service's outbox to the bus: a thread that sleeps until it is woken.

    `run_in_transaction` is the door by which rows are deleted; whoever owns the write lock of the
    database passes its own. `linger` lets that many seconds of events gather before each pass.
    One relay per outbox: order per key is the order of its passes.
    """

    def __init__(
        self,
        outbox: type[AbstractOutbox],
        bus: Bus,
        *,
        run_in_transaction: Door = directly,
        batch: int = 500,
        linger: float = 0.0,
        poll: float = 1.0,
    ) -> None:
        self.service = outbox._meta.app_label
        self._outbox, self._bus, self._door = outbox, bus, run_in_transaction
        self._database = home(outbox)
        self._batch, self._linger, self._poll = batch, linger, poll
        self._failures = 0
        self._burden = 0.0
        self._held: dict[str, _Hold] = {}
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._pass = threading.Condition()
        self._passes_begun = self._passes_done = 0
        self._thread: threading.Thread | None = None

    # -- outside --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with what an earlier process left."""
        when_said(self._outbox, self.wake)
        telemetry.watch_outbox(self.service, lambda: look(self._database, self.backlog))
        self._stopping.clear()
        self._woken.set()
        self._thread = threading.Thread(target=self._run, name=f"relay-{self.service}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be something to publish. Cheap, from any thread."""
        self._woken.set()

    def stop(self, *, timeout: float | None = None) -> None:
        """Finish the pass under way. What waits stays in the table for the next start."""
        when_said(self._outbox, None)
        self._stopping.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def drain(self, *, timeout: float = 10.0) -> bool:
        """Publish all that can be published now; say whether nothing is left.

        In the relay's own thread if that runs, else right here.
        """
        if self._thread is None:
            self._make_pass()
        else:
            self._await_pass(time.monotonic() + timeout)
        return not self._outbox._base_manager.using(self._database).exists()

    def backlog(self) -> tuple[int, float]:
        """How many events wait, and the age of the oldest in seconds."""
        rows = self._outbox._base_manager.using(self._database).aggregate(count=Count("id"), oldest=Min("timestamp"))
        if rows["oldest"] is None:
            return 0, 0.0
        return rows["count"], max(0.0, (clock.now() - rows["oldest"]).total_seconds())

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.wait(self._poll)
            self._stopping.wait(self._pause())
            self._woken.clear()
            self._make_pass()
        connections.close_all()

    def _pause(self) -> float:
        if self._failures:
            return _backoff(self._failures, _LONGEST_PAUSE)
        return min(_LONGEST_PAUSE, max(self._linger, self._burden))

    def _make_pass(self) -> None:
        with self._pass:
            self._passes_begun += 1
        try:
            self.publish_waiting()
            self._failures = 0
        except Exception as wrong:
            self._failures += 1
            reopen_if_broken(self._database)
            facts = {"service": self.service, "error_class": type(wrong).__name__, "attempts": self._failures}
            log.warning("events could not be published", extra=facts)
        with self._pass:
            self._passes_done = self._passes_begun
            self._pass.notify_all()

    def _await_pass(self, until: float) -> None:
        with self._pass:
            wanted = self._passes_begun + 1
            self.wake()
            self._pass.wait_for(lambda: self._passes_done >= wanted, until - time.monotonic())

    # -- one pass -------------------------------------------------------------------------------

    def publish_waiting(self) -> int:
        """Publish, oldest first, every row that is due; return how many.

        Raises `Unavailable` when there was something to take and the bus took nothing.
        """
        begun, now = time.monotonic(), _Pass(self._still_held())
        after = 0
        while rows := self._read(after, now.held):
            after = rows[-1].id
            self._publish(self._due(rows, now), now)
            if len(rows) < self._batch:
                break
        # Wading through rows that are held costs time which others on this machine need more.
        self._burden = 4 * (time.monotonic() - begun) if now.skipped > now.published else 0.0
        if now.untaken and not now.published:
            raise Unavailable("the bus took nothing")
        return now.published

    def _still_held(self) -> set[str]:
        now = time.monotonic()
        return {key for key, hold in self._held.items() if hold.until > now}

    def _read(self, after: int, held: Iterable[str]) -> list[Row]:
        # Keys known to be held are left out by the database: a long row of them must not slow each pass.
        skipped = list(held)[:_MOST_HELD]
        without = f" AND {self._quoted('key')} NOT IN ({', '.join(['%s'] * len(skipped))})" if skipped else ""
        names = ", ".join(map(self._quoted, Row._fields))
        # Every part of this text is a name from the model or a placeholder.
        query = f"SELECT {names} FROM {self._table()} WHERE id > %s{without} ORDER BY id LIMIT %s"  # noqa: S608
        with connections[self._database].cursor() as cursor:
            cursor.execute(query, [after, *skipped, self._batch])
            return list(map(Row._make, cursor.fetchall()))

    def _due(self, rows: Sequence[Row], now: _Pass) -> list[Row]:
        """The rows that may go: one that waits for its retry holds up the later ones of its key."""
        due = []
        for one in rows:
            if one.key not in now.held and (wait := one.wait()) > 0:
                self._hold(one.key, one.attempts, wait, now)
            if one.key not in now.held:
                due.append(one)
        now.skipped += len(rows) - len(due)
        return due

    def _hold(self, key: str, attempts: int, seconds: float, now: _Pass) -> None:
        self._held[key] = _Hold(attempts, time.monotonic() + seconds)
        now.held.add(key)

    def _publish(self, rows: Sequence[Row], now: _Pass) -> None:
        envelopes, poison = self._envelopes(rows)
        taken = self._hand_over(list(envelopes.values()))
        untaken = {number for number, one in envelopes.items() if one.event_id not in taken}
        stay = _and_later_of_their_keys(rows, untaken | poison.keys())
        faults.hit("outbox.after_publish_before_mark")
        self._let_go([one for one in rows if one.id not in stay], now)
        for one in _first_of_each_key(rows, stay):
            if one.id in poison:
                self._postpone(one, poison[one.id], now)
            else:
                self._try_again(one, now)

    def _envelopes(self, rows: Sequence[Row]) -> tuple[dict[int, Envelope], dict[int, Exception]]:
        envelopes: dict[int, Envelope] = {}
        poison: dict[int, Exception] = {}
        bad_keys: set[str] = set()
        for one in rows:
            if one.key in bad_keys or self._nobody_wants(one.event_type):
                continue
            try:
                envelopes[one.id] = one.envelope(self.service)
            except (BadEvent, UnknownEvent, msgspec.DecodeError, ValueError) as wrong:
                poison[one.id] = wrong
                bad_keys.add(one.key)
        return envelopes, poison

    def _nobody_wants(self, event_type: str) -> bool:
        return event_type in EVENTS and not self._bus.wants(event_type)

    def _hand_over(self, envelopes: Sequence[Envelope]) -> set[str]:
        """The ids of those the bus took. A driver that stumbles over one key must not stop the others."""
        if not envelopes:
            return set()
        try:
            return _ids(envelopes) - self._bus.publish(envelopes)
        except Unavailable:
            raise
        except Exception as wrong:
            return self._key_by_key(envelopes, wrong)

    def _key_by_key(self, envelopes: Sequence[Envelope], wrong: Exception) -> set[str]:
        by_key: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            by_key.setdefault(envelope.key, []).append(envelope)
        taken: set[str] = set()
        for group in by_key.values():
            try:
                taken |= _ids(group) - self._bus.publish(group)
            except Unavailable:
                raise
            except Exception as wrong_again:
                wrong = wrong_again
        if not taken:
            raise Unavailable("the bus took nothing") from wrong
        return taken

    # -- what became of them ----------------------------------------------------------------------

    def _let_go(self, rows: Sequence[Row], now: _Pass) -> None:
        if not rows:
            return
        commit(self._door, self._database, partial(self._delete, [one.id for one in rows]))
        for key in self._held.keys() & {one.key for one in rows}:
            del self._held[key]
        now.published += len(rows)
        telemetry.events_published(self.service, len(rows))

    def _delete(self, ids: list[int]) -> None:
        first, last = ids[0], ids[-1]
        dense = last - first + 1 == len(ids)
        marks = "BETWEEN %s AND %s" if dense else f"IN ({', '.join(['%s'] * len(ids))})"
        with connections[self._database].cursor() as cursor:
            # The table's name is the model's; the rest are placeholders.
            cursor.execute(f"DELETE FROM {self._table()} WHERE id {marks}", [first, last] if dense else ids)  # noqa: S608

    def _try_again(self, one: Row, now: _Pass) -> None:
        """Somebody behind the bus is away. Kept in memory only: a restart may try at once."""
        attempts = self._held[one.key].attempts + 1 if one.key in self._held else 1
        self._hold(one.key, attempts, _backoff(attempts, _LONGEST_PAUSE), now)
        now.untaken += 1
        self._say(logging.WARNING, one, attempts, "untaken")

    def _postpone(self, one: Row, wrong: Exception, now: _Pass) -> None:
        """This row needs other code, or an operator: tried ever more rarely, also after a restart."""
        attempts = one.attempts + 1
        pause = _backoff(attempts, _POISON_PAUSE)
        self._hold(one.key, attempts, pause, now)
        rows = self._outbox._base_manager.using(self._database).filter(id=one.id)
        until = clock.now() + timedelta(seconds=pause)
        commit(self._door, self._database, lambda: rows.update(attempts=attempts, retry_at=until))
        self._say(logging.ERROR, one, attempts, type(wrong).__name__)

    def _say(self, level: int, one: Row, attempts: int, reason: str) -> None:
        telemetry.events_published(self.service, 1, outcome="poison" if level == logging.ERROR else "untaken")
        facts = {
            "service": self.service,
            "event_id": one.name,
            "event_type": one.event_type,
            "attempts": attempts,
            "reason": reason,
        }
        log.log(level, "an event holds up its key", extra=facts)

    def _table(self) -> str:
        return self._quoted(self._outbox._meta.db_table)

    def _quoted(self, name: str) -> str:
        return connections[self._database].ops.quote_name(name)


def _ids(envelopes: Iterable[Envelope]) -> set[str]:
    return {envelope.event_id for envelope in envelopes}


def _and_later_of_their_keys(rows: Sequence[Row], kept: set[int]) -> set[int]:
    """The rows that stay: those that could not go, and every later one of their keys."""
    keys: set[str] = set()
    stay: set[int] = set()
    for one in rows:
        if one.id in kept or one.key in keys:
            keys.add(one.key)
            stay.add(one.id)
    return stay


def _first_of_each_key(rows: Sequence[Row], stay: set[int]) -> list[Row]:
    first: dict[str, Row] = {}
    for one in rows:
        if one.id in stay:
            first.setdefault(one.key, one)
    return list(first.values())


def _backoff(attempts: int, longest: float) -> float:
    """Seconds: doubling from 50 ms, never above `longest`, with jitter so that many do not return as one."""
    return min(longest, 0.05 * 2.0 ** min(attempts, 30)) * random.uniform(0.5, 1.0)  # noqa: S311
