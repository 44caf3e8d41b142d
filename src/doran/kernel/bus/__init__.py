"""The bus: an event goes from the service that says it to everyone who asked for it.

At least once, in order per key. Every driver passes the same suite (`tests/backends`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from doran.contracts.events import Envelope

Handler = Callable[[Envelope], object]


class Unavailable(Exception):
    """The bus, or a consumer behind it, takes nothing now. Nothing is lost: publish again later."""


class Bus(Protocol):
    """What a driver must do. A handler that returns has dealt with the event; one that raises has not."""

    def wants(self, event_type: str) -> bool:
        """Whether anybody may be listening; events that nobody wants need not be published."""
        ...

    def subscribe(self, subscription: str, event_types: Collection[str], handler: Handler) -> None:
        """Hand each event of these types to `handler`, for every key in order, from now on.

        Raises ValueError for a name that is taken: one name is one order.
        """
        ...

    def publish(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        """Return when the bus is answerable for them: the ids of those it could not take, best empty.

        An event is not handed over while an earlier one of its key was not taken. Raises
        `Unavailable` when none was taken.
        """
        ...

    def start(self) -> None: ...

    def stop(self) -> None:
        """Finish what is being handled, then take nothing more."""
        ...
