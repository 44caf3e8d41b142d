"""Fan-out among many processes that share a database: by hints at once, by the database for certain.

Each commit's frames are hinted to all processes. Each process also looks, about once a second, at
the feed that commits leave in the database, and reads from the tables what it did not hear. Either
way a step is shown in its turn and once (`order`). So nothing depends on the hints but the time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import msgspec

from doran.kernel import telemetry
from doran.realtime.fanout import Batch, Step
from doran.realtime.fanout.order import Hole, Order, Told
from doran.realtime.hints import Hints
from doran.realtime.hub import Delivery, Hub

log = logging.getLogger(__name__)

GRACE_SECONDS: Final = 0.05
"""How long a step waits for the hint of an earlier one before that is read."""
LOOK_SECONDS: Final = 1.0
LOOK_SECONDS_UNHEARD: Final = 0.25
"""How often the feed is looked at, while hints are heard and while they are not."""
LOOKS_APART_SECONDS: Final = 0.02
TRY_AGAIN_SECONDS: Final = 0.25
OWN_SECONDS, OWN_PAUSE_SECONDS = 5.0, 0.002
HOLES_AT_ONCE: Final = 100
COMMITS_AT_ONCE: Final = 500
LARGEST_HINT: Final = 524_288

KIND: Final = "commit"


class Archive(Protocol):
    """Where everything is stored. Raises whatever the database raises."""

    def begun(self) -> tuple[int, int]:
        """Node and number of the last commit that this process has begun and not taken back; (0, 0): none."""
        ...

    async def ends(self) -> dict[int, int]:
        """Of every other node the number of its last commit. Those before it have committed."""
        ...

    async def steps(self, node: int, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        """These commits of a node, as far as they are still kept: each its number and its steps, packed."""
        ...

    async def read(self, holes: Sequence[Hole]) -> Sequence[Told]:
        """Each hole filled, but for those that cannot be."""
        ...


class OutOfSight(Exception):
    """This process was away for so long that the feed was cleared meanwhile."""


class _Hint(msgspec.Struct, array_like=True):
    """A commit as it is hinted: its steps, each with its deliveries, which stay packed until somebody is here."""

    node: int
    number: int
    told: list[tuple[Step, msgspec.Raw]]


_pack = msgspec.msgpack.Encoder().encode
_hints = msgspec.msgpack.Decoder(_Hint)
_steps = msgspec.msgpack.Decoder(list[Step])
_deliveries = msgspec.msgpack.Decoder(list[Delivery] | None)


def packed(steps: Sequence[Step]) -> bytes:
    """Steps as they stand in the feed."""
    return _pack(steps)


class SharedFanout:
    """`shown` is called with every step of any process whose frames were offered here."""

    def __init__(self, hub: Hub, hints: Hints, archive: Archive, *, shown: Callable[[Step], None]) -> None:
        self._hub = hub
        self._hints = hints
        self._archive = archive
        self._order = Order(hub, shown=shown)
        self._marks: dict[int, int] = {}
        self._known: dict[int, set[int]] = {}
        self._told = (0, 0)
        self._wake = asyncio.Event()
        self._looked_at = 0.0
        self._at_once = HOLES_AT_ONCE
        self._task: asyncio.Task[None] | None = None
        hints.listen(KIND, self._hear)

    async def begin(self) -> None:
        """From here on nothing is missed. To be awaited before the first socket is served."""
        self._marks = await self._archive.ends()
        self._known.clear()
        self._looked_at = self._now()

    def start(self) -> None:
        self._unwatch = telemetry.watch_memory("conversations in order", lambda: len(self._order))
        self._task = asyncio.ensure_future(self._mend())

    async def stop(self) -> None:
        if self._task is not None:
            self._unwatch()
            self._task.cancel()
            await asyncio.wait([self._task])

    # -- what is committed here, and what others say of theirs ---------------------------------------

    def publish(self, deliveries: Sequence[Delivery], batch: Batch | None = None) -> None:
        shown: dict[str | None, list[Delivery]] = {}
        for delivery in deliveries:
            shown.setdefault(delivery.conversation_id, []).append(delivery)
        if batch is not None:
            due = self._due()
            told = [Told(step, shown.pop(step.conversation_id, []), due) for step in batch.steps]
            self._hints.say(KIND, _hint(batch, told))
            self._told = (batch.node, batch.number)
            for one in told:
                if self._order.concerns(one.step):
                    self._order.take(one)
            self._rouse()
        for rest in shown.values():
            for delivery in rest:
                self._hub.deliver(delivery)

    def _hear(self, body: bytes) -> None:
        hint = _hints.decode(body)
        self._know(hint.node, hint.number)
        for step, deliveries in hint.told:
            if self._order.concerns(step):
                self._order.take(Told(step, _deliveries.decode(deliveries), self._due()))
        self._rouse()

    def _know(self, node: int, number: int) -> None:
        """This commit need not be looked up any more."""
        if number > self._marks.get(node, 0):
            self._known.setdefault(node, set()).add(number)

    def _due(self) -> float:
        """Where nothing is heard nothing need be waited for."""
        return self._now() + (GRACE_SECONDS if self._hints.are_heard else 0.0)

    def _rouse(self) -> None:
        if self._order.is_unsure or self._order.next_due() is not None:
            self._wake.set()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # -- what was not heard --------------------------------------------------------------------------

    async def _mend(self) -> None:
        away = telemetry.Outage(log, "what others committed could not be read; it is tried again", "it is read again")
        while True:
            await self._rest()
            try:
                if self._now() >= self._next_look():
                    await self._look()
                await self._fill()
                away.is_over()
            except Exception as wrong:
                away.goes_on(wrong)
                await asyncio.sleep(TRY_AGAIN_SECONDS)

    async def _rest(self) -> None:
        """Until something is to be done."""
        self._wake.clear()
        due = self._order.next_due()
        until = self._next_look() if due is None else min(due, self._next_look())
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._wake.wait()

    def _next_look(self) -> float:
        """Soon for a conversation of which nothing is known, else now and then."""
        if self._order.is_unsure:
            return self._looked_at + LOOKS_APART_SECONDS
        return self._looked_at + (LOOK_SECONDS if self._hints.are_heard else LOOK_SECONDS_UNHEARD)

    async def _look(self) -> None:
        """Whatever had committed when this began has been taken when it ends."""
        unsure = self._order.unsure()
        self._looked_at = self._now()
        try:
            ends = await self._archive.ends()
            for node, end in ends.items():
                await self._catch_up(node, end)
            await self._hear_ourselves()
        except OutOfSight:
            return await self._begin_anew()
        except BaseException:
            self._order.remain_unsure(unsure)
            raise
        self._marks = ends
        self._known = {
            node: later for node, known in self._known.items() if (later := _after(ends.get(node, 0), known))
        }
        self._order.settle(unsure)

    async def _catch_up(self, node: int, end: int) -> None:
        known = self._known.get(node, set())
        missing = [number for number in range(self._marks.get(node, 0) + 1, end + 1) if number not in known]
        for first in range(0, len(missing), COMMITS_AT_ONCE):
            wanted = missing[first : first + COMMITS_AT_ONCE]
            found = await self._archive.steps(node, wanted)
            if len(found) < len(wanted):
                raise OutOfSight
            for number, steps in found:
                if number not in self._known.get(node, ()):
                    self._consider(_steps.decode(steps))

    def _consider(self, steps: Sequence[Step]) -> None:
        telemetry.commits_unheard(1)
        for step in steps:
            if self._order.concerns(step):
                self._order.take(Told(step, None, self._due()))

    async def _hear_ourselves(self) -> None:
        """Return when everything that was committed here before now has been told here. That takes a moment at most.

        Raises TimeoutError if it does not happen: the database neither takes nor refuses a commit.
        """
        begun = self._archive.begun()
        async with asyncio.timeout(OWN_SECONDS):
            while self._told < min(begun, self._archive.begun()):  # noqa: ASYNC110  a thread begins them
                await asyncio.sleep(OWN_PAUSE_SECONDS)

    async def _begin_anew(self) -> None:
        log.warning("too much was missed: every socket is told to come back")
        await self.begin()
        for connection in self._hub:
            connection.end(1012)

    async def _fill(self) -> None:
        """Many at once; after a failure one by one for a while, so that one cannot fail all."""
        while self._is_due() and (holes := await self._holes()):
            telemetry.holes_read(len(holes))
            try:
                found = {told.step.conversation_id: told for told in await self._archive.read(holes)}
            except BaseException:
                self._at_once = 1
                for hole in holes:
                    self._order.postpone(hole.conversation_id, due=self._now() + TRY_AGAIN_SECONDS)
                raise
            self._at_once = min(2 * self._at_once, HOLES_AT_ONCE)
            for hole in holes:
                self._close(hole, found.get(hole.conversation_id))

    def _is_due(self) -> bool:
        due = self._order.next_due()
        return due is not None and due <= self._now()

    async def _holes(self) -> list[Hole]:
        now = self._now()
        await self._hear_ourselves()
        return self._order.holes(now, at_most=self._at_once)

    def _close(self, hole: Hole, told: Told | None) -> None:
        if told is None:
            self._order.leave(hole.conversation_id)
        else:
            self._order.fill(told)


def _after(mark: int, numbers: set[int]) -> set[int]:
    return {number for number in numbers if number > mark}


def _hint(batch: Batch, told: Sequence[Told]) -> bytes:
    """Where the frames are too much for a hint, the others read them."""
    body = _pack((batch.node, batch.number, [(one.step, one.deliveries) for one in told]))
    return body if len(body) <= LARGEST_HINT else _pack((batch.node, batch.number, [(one.step, None) for one in told]))
