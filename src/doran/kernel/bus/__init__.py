"""The bus: an event goes from the service that says it to everyone who asked for it.

At least once, in order per key. Every driver passes the same suite (`tests/backends`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from doran.contracts.events import Envelope

Handler = Callable[[Envelope], object]


class Said(Protocol):
    """As much of an event as can be told before it is taken apart; the data is JSON, as text or bytes."""

    @property
    def event_type(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def data(self) -> str | msgspec.Raw: ...


Concern = Callable[[Said], bool]


def every(_said: Said) -> bool:
    """Whoever asked for a type of events wants all of them."""
    return True


class Unavailable(Exception):
    """The bus, or a consumer behind it, takes nothing now. Nothing is lost: publish again later."""


class Bus(Protocol):
    """What a driver must do. A handler that returns has dealt with the event; one that raises has not."""

    def wants(self, said: Said) -> bool:
        """Whether anybody may have to hear this; events that nobody wants need not be published."""
        ...

    def subscribe(
        self, subscription: str, event_types: Collection[str], handler: Handler, concerns: Concern = every
    ) -> None:
        """Hand each event of these types to `handler`, for every key in order, from now on.

        What does not concern it is not handed over: `concerns` is cheap, never blocks, is asked from any thread, and
        spares the event the way to another one.

        The collection may be alive: iterated, it names all that may ever be wanted, which a broker has to keep
        ready; asked (`in`), what is wanted now, which is all that a bus in memory need hand over.
        Raises ValueError for a name that is taken: one name is one order.
        """
        ...

    def publish(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        """Return when the bus is answerable for them: the ids of those it could not take, best empty.

        An event is not handed over while an earlier one of its key was not taken. Raises
        `Unavailable` when none was taken.
        """
        ...

    def look(self) -> str:
        """A word on what carries the events. Raises when it does not answer."""
        ...

    def start(self) -> None: ...

    def stop(self) -> None:
        """Finish what is being handled, then take nothing more."""
        ...
