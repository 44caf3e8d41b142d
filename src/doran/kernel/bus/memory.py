"""The bus of one process: `publish` returns when every subscriber has committed its effect.

Nothing is kept here, so nothing can be lost here: the outbox row goes only when all who listen
have dealt with the event. Events of one key and subscription are handled by one thread, in order;
different keys side by side, so that their commits can be grouped.
"""

from __future__ import annotations

import logging
import queue
import threading
import zlib
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from django.db import connections

from doran.contracts.events import Envelope
from doran.kernel import telemetry
from doran.kernel.bus import Concern, Handler, Said, Unavailable, every

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Subscription:
    name: str
    event_types: Collection[str]
    handler: Handler
    concerns: Concern = every
    untaken: telemetry.Outage = field(
        default_factory=lambda: telemetry.Outage(log, "a subscriber could not take an event")
    )

    def wants(self, said: Said) -> bool:
        return said.event_type in self.event_types and self.concerns(said)


@dataclass(slots=True)
class _Chain:
    """Events of one key on their way to one subscription. The first that fails holds up the rest."""

    subscription: _Subscription
    envelopes: list[Envelope] = field(default_factory=list)
    failed: Future[Sequence[Envelope]] = field(default_factory=Future)

    def run(self) -> None:
        self.failed.set_result(self.envelopes[self._handled() :])

    def _handled(self) -> int:
        """How many were, up to the first that was not."""
        for number, envelope in enumerate(self.envelopes):
            try:
                self.subscription.handler(envelope)
            except BaseException as wrong:
                self._report(envelope, wrong)
                return number
        return len(self.envelopes)

    def _report(self, envelope: Envelope, wrong: BaseException) -> None:
        facts = {
            "event_id": envelope.event_id,
            "event_type": envelope.event_type,
            "subscription": self.subscription.name,
        }
        self.subscription.untaken.goes_on(wrong, **facts)


class MemoryBus:
    """`workers` threads share the keys; a key always meets the same thread."""

    def __init__(self, *, workers: int = 4) -> None:
        self._subscriptions: list[_Subscription] = []
        self._lanes: list[queue.SimpleQueue[_Chain | None]] = [queue.SimpleQueue() for _ in range(workers)]
        self._threads: list[threading.Thread] = []
        self._is_running = False
        self._handing_over = threading.Lock()

    def wants(self, said: Said) -> bool:
        return any(known.wants(said) for known in self._subscriptions)

    def subscribe(
        self, subscription: str, event_types: Collection[str], handler: Handler, concerns: Concern = every
    ) -> None:
        if any(known.name == subscription for known in self._subscriptions):
            raise ValueError(f"{subscription} is subscribed already")
        self._subscriptions.append(_Subscription(subscription, event_types, handler, concerns))

    def look(self) -> str:
        return "in memory"

    def start(self) -> None:
        with self._handing_over:
            self._is_running = True

    def stop(self) -> None:
        with self._handing_over:
            self._is_running = False
            threads, self._threads = self._threads, []
            for lane in self._lanes[: len(threads)]:
                lane.put(None)
        for thread in threads:
            thread.join()

    def publish(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        chains = self._chains(envelopes)
        if not chains:
            return frozenset()
        self._hand_over(chains)
        untaken = {envelope.event_id for chain in chains for envelope in chain.failed.result()}
        return frozenset(untaken)

    def _chains(self, envelopes: Iterable[Envelope]) -> list[_Chain]:
        chains: dict[tuple[str, str], _Chain] = {}
        for envelope in envelopes:
            for subscription in self._subscriptions:
                if subscription.wants(envelope):
                    chain = chains.setdefault((subscription.name, envelope.key), _Chain(subscription))
                    chain.envelopes.append(envelope)
        return list(chains.values())

    def _hand_over(self, chains: list[_Chain]) -> None:
        with self._handing_over:
            if not self._is_running:
                raise Unavailable("the bus is not running")
            self._threads = self._threads or self._hired()
            for chain in chains:
                self._lane(chain).put(chain)

    def _hired(self) -> list[threading.Thread]:
        """Threads only where there is something to handle."""
        threads = [
            threading.Thread(target=_work, args=(lane,), name=f"bus-{number}", daemon=True)
            for number, lane in enumerate(self._lanes)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _lane(self, chain: _Chain) -> queue.SimpleQueue[_Chain | None]:
        name = f"{chain.subscription.name} {chain.envelopes[0].key}"
        return self._lanes[zlib.crc32(name.encode()) % len(self._lanes)]


def _work(lane: queue.SimpleQueue[_Chain | None]) -> None:
    while (chain := lane.get()) is not None:
        chain.run()
    connections.close_all()
