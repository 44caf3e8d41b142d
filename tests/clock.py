"""A clock that a story may move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Hands:
    """The hands of the clock, which a story may move forward."""

    def __init__(self) -> None:
        self.forward = timedelta()

    def move(self, **by: float) -> None:
        self.forward += timedelta(**by)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.forward
