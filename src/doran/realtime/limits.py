"""How fast one socket may talk."""

from __future__ import annotations

SECONDS_OF_MERCY = 3.0


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
