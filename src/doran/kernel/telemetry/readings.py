"""Readings of what others know: databases, brokers, other services. Whoever asks never waits long for one.

Each dependency has a thread of its own, which keeps what it opened while anybody may ask. A reading is good for
some seconds; one that hangs is not asked for again before it returns.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

from doran.kernel import deadline

T = TypeVar("T")

_LEAVE_SECONDS: Final = 1.0


class _Keeper:
    """The thread that asks one dependency."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.users = 0
        self._thread = threading.Thread(target=self._work, name=f"reading-{name}", daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def leave(self) -> None:
        """End the thread; one that hangs ends by itself."""
        self._jobs.put(None)
        self._thread.join(_LEAVE_SECONDS)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        for close in at_end:
            close()


at_end: Final[list[Callable[[], object]]] = []
"""What each of these threads calls last, to close what it kept open."""
_keepers: dict[str, _Keeper] = {}
_moving: Final = threading.Lock()


class Reading(Generic[T]):
    """One question and the last answer to it. Questions about one `source` are asked one after another."""

    def __init__(self, ask: Callable[[], T], *, source: str, timeout: float, fresh: float) -> None:
        self._ask, self.source, self.timeout, self.fresh = ask, source, timeout, fresh
        self.answer: T | None = None
        self.error: Exception | None = None
        self.read_at = self.answered_at = self._begun_at = float("-inf")
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._done.set()
        with _moving:
            self._keeper = _keepers.get(source) or _Keeper(source)
            _keepers[source] = self._keeper
            self._keeper.users += 1

    def close(self) -> None:
        """Nobody asks any more."""
        with _moving:
            self._keeper.users -= 1
            if is_last := not self._keeper.users and _keepers.get(self.source) is self._keeper:
                del _keepers[self.source]
        if is_last:
            self._keeper.leave()

    @property
    def is_pending(self) -> bool:
        return not self._done.is_set()

    def begin(self) -> None:
        """Ask anew, unless the last answer is fresh or the last question still open."""
        with self._lock:
            if self.is_pending or time.monotonic() - self.read_at < self.fresh:
                return
            self._begun_at = time.monotonic()
            self._done.clear()
        self._keeper.do(self._read)

    def wait(self, until: float) -> bool:
        """Whether the question was answered in time: by `until`, and no later than `timeout` after it was asked."""
        moment = min(until, self._begun_at + self.timeout)
        return self._done.wait(max(0.0, moment - time.monotonic()))

    def _read(self) -> None:
        try:
            with deadline.until(deadline.within(self.timeout)):
                self.answer, self.error = self._ask(), None
            self.answered_at = time.monotonic()
        except Exception as wrong:
            self.error = wrong
        self.read_at = time.monotonic()
        self._done.set()


def refresh(readings: Iterable[Reading[Any]], *, seconds: float) -> None:
    """Ask what is due, all at once, and wait no longer than this."""
    asked = list(readings)
    for reading in asked:
        reading.begin()
    until = time.monotonic() + seconds
    for reading in asked:
        reading.wait(until)
