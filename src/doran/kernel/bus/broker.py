"""What the drivers of all brokers have in common: their own loop, lines that are opened anew, lanes that handle.

A driver only speaks its broker's protocol (`Broker`). Everything that may go wrong on the way is
met here, once: a broker that is away, frozen or slow, a handler that fails, an end in between.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from doran.contracts.events import PRODUCERS, BadEvent, Envelope
from doran.kernel import telemetry
from doran.kernel.backoff import backoff
from doran.kernel.bus import Concern, Handler, Said, Unavailable, every, wire
from doran.kernel.bus.hands import Hands
from doran.kernel.bus.loop import LoopThread
from doran.kernel.bus.shift import Shift
from doran.kernel.lanes import LANES

log = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE: Final = 5.0
"""Seconds for any one answer of a broker, also for a whole batch: then it counts as away."""
GRACE: Final = 10.0
"""Seconds a stop waits for handlers; who needs longer is heard again elsewhere."""
_LONGEST_PAUSE: Final = 5.0
_STEADY: Final = 15.0  # seconds after which listening goes well even if there was nothing to hear
_DEAF_AFTER: Final = 3


@dataclass(frozen=True, slots=True)
class Subscription:
    """A name, and what is heard under it. Copies of one service share it."""

    name: str
    event_types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Arrived:
    """What a broker has handed over. `park` puts it aside at the broker, with a reason, if nobody can read it."""

    headers: Mapping[str, Any]
    body: bytes
    park: Callable[[str], Awaitable[None]]


def producers(subscription: Subscription | None = None) -> list[str]:
    """Who says something that this subscription hears; without one, everybody who says anything."""
    said = {name: {kind.NAME for kind in kinds} for name, kinds in PRODUCERS.items()}
    return [name for name, types in said.items() if subscription is None or types & subscription.event_types]


class Line(Protocol):
    """An open way to a broker, by which events leave."""

    async def publish(self, envelopes: Sequence[Envelope], taken: set[str]) -> None:
        """Add each id to `taken` as the broker answers for it. Cancelled when time is up."""
        ...

    async def look(self) -> str:
        """Ask the broker something small; a word on what it is."""
        ...

    async def close(self) -> None: ...


class Broker(Protocol):
    """One broker's protocol, on the bus's own loop. Whatever it raises, it is called anew after a pause."""

    async def ask(self) -> None:
        """Connect, prove who we are, and leave again. Raises where that fails; declares nothing."""
        ...

    async def open(self, subscriptions: Collection[Subscription], shift: Shift) -> Line:
        """A line, when everything is there that keeps events for these subscriptions. Ends the shift when it is lost."""
        ...

    async def listen(self, ear: Ear, shift: Shift) -> None:
        """Hand each event of a subscription to `ear.take`, per lane in order, and let go of it when that is true.

        Returns when the shift ends, and nothing of it is under way any more.
        """
        ...


@dataclass
class Ear:
    """One subscription at work: what arrives is read, handled, and tried again until it is dealt with."""

    subscription: Subscription
    handler: Handler
    hands: Hands
    concerns: Concern = every
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    failures: int = 0
    """How often in a row listening broke off before anything was dealt with."""
    began: float | None = None
    """When the listening under way began."""
    deaf: telemetry.Outage = field(
        default_factory=lambda: telemetry.Outage(log, "nothing is heard for now", "heard again")
    )
    untaken: telemetry.Outage = field(
        default_factory=lambda: telemetry.Outage(
            log, "a subscriber could not take an event", "a subscriber takes events"
        )
    )

    @property
    def is_steady(self) -> bool:
        return self.began is not None and time.monotonic() - self.began >= _STEADY

    @property
    def is_deaf(self) -> bool:
        """Whether it broke off again and again, and nothing shows that it will not do so now."""
        return self.failures >= _DEAF_AFTER and not self.is_steady

    async def take(self, arrived: Arrived, shift: Shift) -> bool:
        """Whether it is dealt with. Otherwise the shift is over and the broker must keep it."""
        is_dealt_with = await self._deal_with(arrived, shift)
        if is_dealt_with:
            self.failures = 0
            self.deaf.is_over()
            self.untaken.is_over()
        return is_dealt_with

    async def _deal_with(self, arrived: Arrived, shift: Shift) -> bool:
        try:
            envelope = wire.read(arrived.headers, arrived.body)
        except BadEvent as wrong:
            await self._park(arrived, str(wrong))
            return True
        if not self._asked_for(envelope):
            return True
        return await self._persistently(envelope, shift)

    def _asked_for(self, envelope: Envelope) -> bool:
        """Asked here, because the way to another thread and back costs more than most looks at an event."""
        return envelope.event_type in self.subscription.event_types and self.concerns(envelope)

    async def _persistently(self, envelope: Envelope, shift: Shift) -> bool:
        for attempt in itertools.count(1):
            if shift.is_over:
                return False
            wrong = await asyncio.wrap_future(self.hands.do(partial(_tried, self.handler, envelope)))
            if wrong is None:
                return True
            self._say_untaken(envelope, attempt, wrong)
            await shift.rest(backoff(attempt, _LONGEST_PAUSE))
        raise AssertionError  # there is no last attempt

    async def _park(self, arrived: Arrived, reason: str) -> None:
        async with asyncio.timeout(PATIENCE):
            await arrived.park(reason)
        telemetry.event_parked(self.subscription.name)
        facts = {"subscription": self.subscription.name, "reason": reason, "bytes": len(arrived.body)}
        log.error("something that is no event of ours was put aside", extra=facts)

    def _say_untaken(self, envelope: Envelope, attempt: int, wrong: BaseException) -> None:
        telemetry.event_tried_again(self.subscription.name)
        facts = {
            "event_id": envelope.event_id,
            "event_type": envelope.event_type,
            "subscription": self.subscription.name,
            "attempts": attempt,
        }
        self.untaken.goes_on(wrong, **facts)


def _tried(handler: Handler, envelope: Envelope) -> BaseException | None:
    """Why the handler failed; nothing if it did not."""
    try:
        handler(envelope)
    except BaseException as wrong:
        return wrong
    return None


class BrokerBus:
    """A bus that a broker keeps: `publish` returns when the broker answers for the events."""

    def __init__(self, broker: Broker, *, known: Collection[Subscription] = ()) -> None:
        """`known` are subscriptions for which events are kept even if nobody here, or nobody yet, listens."""
        self._broker = broker
        self._known = {one.name: one for one in known}
        self._handlers: dict[str, tuple[Handler, Concern]] = {}
        self._loop: LoopThread | None = None
        self._ears: list[Ear] = []
        self._away = telemetry.Outage(log, "the broker is away; events wait", "the broker is back")

    # -- outside --------------------------------------------------------------------------------

    def wants(self, said: Said) -> bool:
        """Always: others may read at the broker whom we do not know."""
        return True

    def subscribe(
        self, subscription: str, event_types: Collection[str], handler: Handler, concerns: Concern = every
    ) -> None:
        if subscription in self._handlers:
            raise ValueError(f"{subscription} is subscribed already")
        self._known[subscription] = Subscription(subscription, frozenset(event_types))
        self._handlers[subscription] = handler, concerns
        if self._loop is not None:
            self._ask(partial(self._join_late, subscription))

    def start(self) -> None:
        """Returns at once, whether or not the broker is there."""
        self._loop = LoopThread("bus")
        self._ask(self._begin)

    def publish(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        if not envelopes:
            return frozenset()
        for envelope in envelopes:
            wire.check(envelope)
        taken = self._ask(partial(self._publish, envelopes))
        return frozenset(one.event_id for one in envelopes if one.event_id not in taken)

    def look(self) -> str:
        async def ask() -> str:
            async with asyncio.timeout(PATIENCE):
                said = await (await self._line()).look()
            if deaf := [ear.subscription.name for ear in self._ears if ear.is_deaf]:
                raise Unavailable(f"nothing is heard for {', '.join(deaf)}")
            return said

        return self._ask(ask)

    def stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is None:
            return
        with suppress(TimeoutError):
            loop.call(self._finish(), seconds=2 * GRACE)
        loop.close()
        for ear in self._ears:
            ear.hands.rest(seconds=GRACE)
        telemetry.bus_connected(False)

    def _ask(self, question: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The answer of our loop. Raises `Unavailable`."""
        loop = self._loop
        if loop is None:
            raise Unavailable("the bus is not running")
        try:
            return loop.call(question(), seconds=2 * PATIENCE)
        except TimeoutError as wrong:
            raise Unavailable("the broker does not answer") from wrong

    # -- life, on the loop ------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._shift = Shift()
        self._opening: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._ears = []
        self._tasks = [asyncio.ensure_future(self._keep_open())]
        self._tasks += [asyncio.ensure_future(self._keep_listening(self._ear(name))) for name in self._handlers]

    async def _finish(self) -> None:
        self._shift.end()
        await asyncio.wait(self._tasks, timeout=GRACE)

    def _ear(self, name: str) -> Ear:
        handler, concerns = self._handlers[name]
        ear = Ear(self._known[name], handler, Hands(f"bus-{name}", LANES), concerns)
        self._ears.append(ear)
        return ear

    async def _join_late(self, name: str) -> None:
        """Hear what is said from now on; where the broker is away, from when it is back."""
        ear = self._ear(name)
        self._tasks.append(asyncio.ensure_future(self._keep_listening(ear)))
        with suppress(TimeoutError):
            await asyncio.wait_for(ear.is_ready.wait(), PATIENCE)

    # -- publishing, on the loop ------------------------------------------------------------------

    async def _publish(self, envelopes: Sequence[Envelope]) -> set[str]:
        """The ids that were taken. What the broker answered counts, even if it then fell silent."""
        begun = time.monotonic()
        taken: set[str] = set()
        line = None
        try:
            async with asyncio.timeout(PATIENCE):
                line = await self._line()
                await line.publish(envelopes, taken)
        except Exception as wrong:
            self._lose(line)
            if not taken:
                raise Unavailable("the broker takes nothing") from wrong
        telemetry.events_sent(len(taken), time.monotonic() - begun)
        return taken

    def _lose(self, line: Line | None) -> None:
        """A line that stays silent is opened anew, unless it has been already."""
        if line is not None and self._opening.done() and self._opening.result() is line:
            self._open.end()

    async def _line(self) -> Line:
        """The open line; whoever comes while it is being opened waits. Raises `Unavailable` between two tries."""
        return await asyncio.shield(self._opening)

    async def _keep_open(self) -> None:
        """One line after another."""
        failures = 0
        while not self._shift.is_over:
            self._open = Shift(self._shift)
            line = await self._opened()
            failures = 0 if line is not None else failures + 1
            if line is not None:
                await self._open.over()
            else:
                await self._shift.rest(backoff(failures, _LONGEST_PAUSE))
            self._opening = asyncio.get_running_loop().create_future()
            if line is not None:
                telemetry.bus_connected(False)
                await quietly(line.close())

    async def _opened(self) -> Line | None:
        try:
            async with asyncio.timeout(PATIENCE):
                line = await self._broker.open(list(self._known.values()), self._open)
        except Exception as wrong:
            self._opening.set_exception(Unavailable("the broker is away"))
            self._opening.exception()  # it may be that nobody waits for it
            self._away.goes_on(wrong)
            return None
        self._opening.set_result(line)
        telemetry.bus_connected(True)
        self._away.is_over()
        return line

    # -- listening, on the loop -------------------------------------------------------------------

    async def _keep_listening(self, ear: Ear) -> None:
        while not self._shift.is_over:
            ear.is_ready.clear()
            ear.began = time.monotonic()
            try:
                await self._broker.listen(ear, Shift(self._shift))
            except Exception as wrong:
                telemetry.listening_failed(ear.subscription.name)
                ear.deaf.goes_on(wrong, subscription=ear.subscription.name)
            ear.failures, ear.began = 0 if ear.is_steady else ear.failures + 1, None
            await self._shift.rest(backoff(ear.failures, _LONGEST_PAUSE))


async def quietly(closing: Coroutine[Any, Any, Any]) -> None:
    """Close what may be broken or frozen already, and do not wait long for it."""
    with suppress(Exception):
        async with asyncio.timeout(2.0):
            await closing
