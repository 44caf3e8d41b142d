"""One more copy of a service, as a process of its own: it hears for a subscription and notes what it heard."""

from __future__ import annotations

import sys
import time

import tests.conftest  # noqa: F401  wakes Django, as in every test
from doran.contracts.events import Envelope
from doran.kernel.bus.opening import open_bus


def main(url: str, subscription: str, *event_types: str) -> None:
    bus = open_bus(url)
    bus.subscribe(subscription, event_types, note)
    bus.start()
    time.sleep(60)


def note(envelope: Envelope) -> None:
    time.sleep(0.002)
    sys.stdout.write(f"{envelope.key} {envelope.event_id}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
