"""The relay carries what waits in an outbox to the bus: a thread that sleeps until it is woken."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from django.db import connections

from doran.kernel import clock, faults, telemetry
from doran.kernel.backoff import backoff
from doran.kernel.bus import Bus, Unavailable
from doran.kernel.dead_letters import reason
from doran.kernel.doors import Door, commit, directly, home, reopen_if_broken
from doran.kernel.lanes import LANES
from doran.kernel.outbox.leases import EveryLane, Lanes, Leases
from doran.kernel.outbox.parking import Parking
from doran.kernel.outbox.sending import Stuck, send
from doran.kernel.outbox.table import AbstractOutbox, when_said
from doran.kernel.outbox.waiting import Row
from doran.kernel.telemetry.health import SELDOM_SECONDS

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 5.0
_PATIENCE = 12  # tries, half a minute, of an event over which the bus stumbles while it takes others
_MOST_HELD = 100
_HELD_AT_MOST = 10_000
_FORGOTTEN_AFTER = 60.0  # another copy may have published what was held here
_MOST_COUNTED = 100_000


@dataclass(slots=True, frozen=True)
class _Hold:
    """A key whose first event could not go, for how often already, and when it is tried again."""

    attempts: int
    stumbles: int
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
    Alone, it works on every lane; one of several copies (`shared`) on those it has leased, and looks
    more often, because what others say does not wake it. A `lease` ends so many seconds after its
    owner was last heard.
    """

    def __init__(
        self,
        outbox: type[AbstractOutbox],
        bus: Bus,
        *,
        run_in_transaction: Door = directly,
        shared: bool = False,
        batch: int = 500,
        linger: float = 0.0,
        poll: float | None = None,
        lease: float = 10.0,
    ) -> None:
        self.service = outbox._meta.app_label
        self._outbox, self._bus, self._door = outbox, bus, run_in_transaction
        self._database = home(outbox)
        self._lanes: Lanes = Leases(outbox.LEASES, seconds=lease) if shared else EveryLane()
        self._parking = Parking(outbox, run_in_transaction, self._lanes)
        self._batch, self._linger = batch, linger
        self._poll = (0.25 if shared else 1.0) if poll is None else poll
        self._carried = self._failures = 0
        self._burden = 0.0
        self._held: dict[str, _Hold] = {}
        self._woken, self._stopping = threading.Event(), threading.Event()
        self._pass = threading.Condition()
        self._passes_begun = self._passes_done = 0
        self._thread: threading.Thread | None = None
        self._stuck = telemetry.Outage(log, "events could not be published", "events are published again")
        self._held_up = telemetry.Outage(log, "an event holds up its key")
        self._unwatch = self._unwatch_held = _nothing

    # -- outside --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with what an earlier process left."""
        when_said(self._outbox, self.wake)
        source = f"{self._database} database"
        self._unwatch = telemetry.watch_outbox(self.service, self.state, source=source)
        self._unwatch_held = telemetry.watch_memory(f"{self.service} keys held up", lambda: len(self._held))
        telemetry.health.register(
            f"{self.service} outbox", self._remark, source=source, fresh=SELDOM_SECONDS, needed=False
        )
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
        self._unwatch()
        self._unwatch_held()
        telemetry.health.unregister(f"{self.service} outbox")
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

    def state(self) -> tuple[int, float, int, int]:
        """How many events wait (counted up to 100,000), for how many seconds the oldest, how many are
        parked as dead letters, and how many lanes this copy carries."""
        rows = self._outbox._base_manager.using(self._database)
        oldest = rows.order_by("id").values_list("timestamp", flat=True).first()
        age = 0.0 if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())
        return rows.all()[:_MOST_COUNTED].count(), age, self._parking.letters.count(), self._carried

    def _remark(self) -> str | None:
        """For who asks after our health. Events that wait are no reason to send nobody here."""
        waiting, age, parked, _ = self.state()
        if not waiting and not parked:
            return None
        return f"{waiting} waiting, the oldest for {age:.0f} s; {parked} dead letters"

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.wait(self._poll)
            self._stopping.wait(self._pause())
            self._woken.clear()
            self._make_pass()
        self._leave()
        connections.close_all()

    def _leave(self) -> None:
        """Others may have our lanes at once; if they cannot be told, when the leases end."""
        try:
            self._lanes.give_up()
        except Exception as wrong:
            log.warning("lanes could not be given up", extra=self._facts(error_class=type(wrong).__name__))

    def _pause(self) -> float:
        if self._failures:
            return backoff(self._failures, _LONGEST_PAUSE)
        return min(_LONGEST_PAUSE, max(self._linger, self._burden))

    def _make_pass(self) -> None:
        with self._pass:
            self._passes_begun += 1
        try:
            self.publish_waiting()
            self._failures = 0
            self._stuck.is_over()
        except Exception as wrong:
            self._failures += 1
            reopen_if_broken(self._database)
            self._stuck.goes_on(wrong, **self._facts(attempts=self._failures))
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
        mine = self._lanes.held()
        self._carried = len(mine)
        if not mine:
            return 0
        begun, now = time.monotonic(), _Pass(self._still_held())
        self._take_up_again(mine, now)
        after = 0
        while rows := self._read(mine, after, now.held):
            after = rows[-1].id
            self._publish(self._due(rows, now), now)
            if len(rows) < self._batch or len(self._held) > _HELD_AT_MOST:
                break
            if self._lanes.held() != mine:
                self.wake()
                break
        # Wading through rows that are held costs time which others on this machine need more.
        self._burden = 4 * (time.monotonic() - begun) if now.skipped > now.published else 0.0
        if now.untaken and not now.published:
            raise Unavailable("the bus took nothing")
        return now.published

    def _still_held(self) -> set[str]:
        now = time.monotonic()
        self._held = {key: hold for key, hold in self._held.items() if hold.until > now - _FORGOTTEN_AFTER}
        return {key for key, hold in self._held.items() if hold.until > now}

    def _read(self, mine: frozenset[int], after: int, held: Iterable[str]) -> list[Row]:
        # Keys known to be held are left out by the database: a long row of them must not slow each pass.
        skipped = list(held)[:_MOST_HELD]
        lanes = [] if len(mine) == LANES else sorted(mine)
        without = f" AND {self._quoted('key')} NOT IN ({_marks(skipped)})" if skipped else ""
        within = f" AND lane IN ({_marks(lanes)})" if lanes else ""
        names = ", ".join(map(self._quoted, Row._fields))
        # Every part of this text is a name from the model or a placeholder.
        query = f"SELECT {names} FROM {self._table()} WHERE id > %s{without}{within} ORDER BY id LIMIT %s"  # noqa: S608
        with connections[self._database].cursor() as cursor:
            cursor.execute(query, [after, *skipped, *lanes, self._batch])
            return list(map(Row._make, cursor.fetchall()))

    def _due(self, rows: Sequence[Row], now: _Pass) -> Sequence[Row]:
        """The rows that may go: not what waits behind a held key, nor behind a dead letter."""
        if parked := self._parking.keys():
            self._parking.park_behind(row for row in rows if row.key in parked)
            rows = [row for row in rows if row.key not in parked]
        if not now.held:
            return rows
        due = [row for row in rows if row.key not in now.held]
        now.skipped += len(rows) - len(due)
        return due

    def _publish(self, rows: Sequence[Row], now: _Pass) -> None:
        sent = send(rows, self.service, self._bus)
        faults.hit("outbox.after_publish_before_mark")
        self._let_go(sent.gone, now)
        for key, stuck in sent.stuck.items():
            if stuck.is_hopeless or self._is_out_of_patience(key, stuck):
                self._park(stuck)
            else:
                self._try_again(key, stuck, now)

    # -- what became of them ----------------------------------------------------------------------

    def _let_go(self, rows: Sequence[Row], now: _Pass) -> None:
        if not rows:
            return
        commit(self._door, self._database, partial(self._delete, [row.id for row in rows]))
        self._published(rows, now)

    def _published(self, rows: Sequence[Row], now: _Pass) -> None:
        for key in self._held.keys() & {row.key for row in rows}:
            del self._held[key]
        now.published += len(rows)
        telemetry.events_published(self.service, len(rows))

    def _delete(self, ids: list[int]) -> None:
        first, last = ids[0], ids[-1]
        dense = last - first + 1 == len(ids)
        marks = "BETWEEN %s AND %s" if dense else f"IN ({_marks(ids)})"
        with connections[self._database].cursor() as cursor:
            # The table's name is the model's; the rest are placeholders.
            cursor.execute(f"DELETE FROM {self._table()} WHERE id {marks}", [first, last] if dense else ids)  # noqa: S608

    def _try_again(self, key: str, stuck: Stuck, now: _Pass) -> None:
        """Somebody behind the bus is away. Kept in memory only: a restart may try at once."""
        before = self._held.get(key, _Hold(0, 0, 0.0))
        attempts = before.attempts + 1
        stumbles = before.stumbles + 1 if stuck.wrong is not None else 0
        self._held[key] = _Hold(attempts, stumbles, time.monotonic() + backoff(attempts, _LONGEST_PAUSE))
        now.held.add(key)
        now.untaken += 1
        telemetry.events_published(self.service, 1, outcome="untaken")
        self._held_up.goes_on(None, **self._about(stuck), attempts=attempts)

    def _is_out_of_patience(self, key: str, stuck: Stuck) -> bool:
        return stuck.wrong is not None and key in self._held and self._held[key].stumbles >= _PATIENCE

    def _park(self, stuck: Stuck) -> None:
        """This event needs other code, or an operator."""
        assert stuck.wrong is not None
        self._parking.park(stuck.rows, reason(stuck.wrong))
        self._held.pop(stuck.rows[0].key, None)
        telemetry.events_published(self.service, 1, outcome="poison")
        log.error("an event cannot be published and waits as a dead letter", extra=self._about(stuck))

    def _take_up_again(self, mine: frozenset[int], now: _Pass) -> None:
        """Dead letters that an operator wants published after all, each key from its first on."""
        if not self._parking.keys():
            return
        for rows in self._parking.asked(mine, at_most=self._batch):
            if rows and rows[0].key not in now.held:
                self._publish_again(rows, now)

    def _publish_again(self, rows: Sequence[Row], now: _Pass) -> None:
        sent = send(rows, self.service, self._bus)
        if sent.gone:
            self._parking.published(sent.gone)
            self._published(sent.gone, now)
        for key, stuck in sent.stuck.items():
            if stuck.is_hopeless or self._is_out_of_patience(key, stuck):
                assert stuck.wrong is not None
                self._parking.stay(stuck.rows[0], reason(stuck.wrong))
            else:
                self._try_again(key, stuck, now)

    def _about(self, stuck: Stuck) -> dict[str, str | int]:
        first = stuck.rows[0]
        why = "untaken" if stuck.wrong is None else reason(stuck.wrong)
        return self._facts(event_id=first.name, event_type=first.event_type, reason=why)

    def _facts(self, **more: str | int) -> dict[str, str | int]:
        return {"service": self.service, **more}

    def _table(self) -> str:
        return self._quoted(self._outbox._meta.db_table)

    def _quoted(self, name: str) -> str:
        return connections[self._database].ops.quote_name(name)


def _nothing() -> None:
    pass


def _marks(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))
