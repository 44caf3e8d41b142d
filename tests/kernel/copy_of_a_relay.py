"""The shop's relay and consumer as a process of their own: `python -m tests.kernel.copy_of_a_relay URL FOLDER`.

It says "ready" and works until SIGTERM. What it publishes it notes first, a line each, in a file of the folder.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import tests.conftest  # noqa: F401  wakes Django, without which nothing below can be imported

# isort: split
from django.db import router

from doran.contracts import events
from doran.contracts.events import Envelope
from doran.kernel.bus import Concern, Handler, every
from doran.kernel.bus.memory import MemoryBus
from doran.kernel.inbox import Consumer
from doran.kernel.outbox import Relay
from tests import stores
from tests.kernel import shop

LEASE = 2.0


class NotedBus:
    """The bus of this process, and a line for everything that is published, before anybody handles it."""

    def __init__(self, notes: Path) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._bus = MemoryBus()
        self.wants = self._bus.wants
        self.start = self._bus.start
        self.stop = self._bus.stop

    def subscribe(
        self, subscription: str, event_types: Collection[str], handler: Handler, concerns: Concern = every
    ) -> None:
        self._bus.subscribe(subscription, event_types, handler, concerns)

    def publish(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        os.write(self._notes, "".join(map(self._line, envelopes)).encode())
        return self._bus.publish(envelopes)

    @staticmethod
    def _line(envelope: Envelope) -> str:
        event = envelope.event()
        assert isinstance(event, events.MessageCreated)
        return f"{envelope.key} {event.seq} {envelope.event_id}\n"


def main(url: str, folder: str) -> None:
    stores.point(shop.LABEL, url)
    router.routers.insert(0, shop.Router())
    bus = NotedBus(Path(folder) / "published")
    Consumer(shop.LABEL, {events.MessageCreated.NAME: shop.hear}, shop.Inbox, shop.DeadLetter).attach(bus)
    relay = Relay(shop.Outbox, bus, shared=True, batch=20, poll=0.02, lease=LEASE)
    bus.start()
    relay.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM})
    relay.stop()
    bus.stop()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(*sys.argv[1:])
