"""Deadline of the call a thread works on: how long it may still wait for a database's answer.

Drivers wait for ever, or for a time that is fixed when a connection is opened. Our connections
(`server/databases`) ask here before each statement, so that whoever answers a caller keeps a promise,
also while a server is frozen, and background work may be more patient.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

LEAST_SECONDS: Final = 2.0
"""What one answer may take when the deadline is near or past: a slow database is not taken for a dead one."""


class _Call(threading.local):
    ends_at = float("inf")


_call = _Call()


@contextmanager
def until(moment: float) -> Iterator[None]:
    """Give what is done inside until this moment of `time.monotonic`, or less if there was less already."""
    before = _call.ends_at
    _call.ends_at = min(before, moment)
    try:
        yield
    finally:
        _call.ends_at = before


def within(seconds: float) -> float:
    """The moment by which a call that begins now is answered, for `until`. At least `LEAST_SECONDS` away."""
    return time.monotonic() + max(seconds, LEAST_SECONDS)


class Queue:
    """Calls that wait in line for threads: those that are served late are still served, as long as others are.

    `seconds` is how long a call waits. Where nobody has been served for a moment, what they wait for is away.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._served_at = float("-inf")

    def served(self) -> None:
        """Note that a call has got what it asked for."""
        self._served_at = time.monotonic()

    def ends_at(self) -> float:
        """Return the moment by which a call that comes now is answered."""
        return within(self._seconds)

    def is_over(self, ends_at: float) -> bool:
        """Whether that moment is past, and not only because others were served before."""
        now = time.monotonic()
        return now >= ends_at and now - self._served_at > LEAST_SECONDS

    def prolonged(self, ends_at: float) -> float:
        """Return that moment, or a later one for a call that was only held up by others."""
        is_late = time.monotonic() >= ends_at and not self.is_over(ends_at)
        return within(self._seconds) if is_late else ends_at


def is_over() -> bool:
    return time.monotonic() >= _call.ends_at


def seconds_left(longest: float) -> float:
    """Return how long the next answer may take: whole tenths, from `LEAST_SECONDS` to `longest`."""
    left = _call.ends_at - time.monotonic()
    return longest if left >= longest else max(LEAST_SECONDS, round(left, 1))
