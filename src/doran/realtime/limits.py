"""How fast one socket may talk, and how many may wait to log in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_OF_MERCY = 3.0
HIDDEN_FRAMES_PER_ADDRESS = 3000
"""Pings, pongs and pieces a second that one address may send; pongs that were asked for do not count."""


class FrameRate:
    """At most `per_second` frames, with a burst of one second's worth.

    The generic cell rate algorithm on one number: the moment at which the socket would be
    within its rate again. Who goes on while refused for longer than a few seconds' worth
    is hopeless.
    """

    __slots__ = ("_ahead", "_interval", "_until")

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._until = 0.0
        self._ahead = 0.0

    def over(self, now: float) -> float:
        """0.0 if one more frame is fine, else the seconds to wait. A refused frame counts too."""
        start = self._until if self._until > now else now
        self._ahead = start - now
        self._until = start + self._interval
        return self._ahead - 1.0 if self._ahead > 1.0 else 0.0

    @property
    def is_hopeless(self) -> bool:
        return self._ahead - 1.0 > SECONDS_OF_MERCY


class UnauthenticatedSockets:
    """Count sockets that have not authenticated, all of them and by address; an address has a share."""

    def __init__(self, *, limit: int, per_address: int) -> None:
        self.total = 0
        self._limit, self._per_address = limit, per_address
        self._by_address: Counter[str] = Counter()

    def has_room(self, address: str) -> bool:
        """Return whether one more may wait that comes from this address."""
        return self.total < self._limit and self._by_address[address] < self._per_address

    @contextmanager
    def waiting(self, address: str) -> Iterator[None]:
        """Count one more, for as long as this lasts."""
        self.total += 1
        self._by_address[address] += 1
        try:
            yield
        finally:
            self.total -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
