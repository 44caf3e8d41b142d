"""How often somebody may do something: one limiter (GCRA) for REST calls and frames alike.

A key may act `burst` times at once and then once every `per / rate` seconds. Only the moment up to
which a key has used its share is kept, so a key that rested is forgotten; when more than `max_keys`
act at the same time, the one that acted longest ago is forgotten first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from doran.contracts.errors import Problem


class Limiter:
    """`rate` times in `per` seconds, `burst` at once (by default `rate`). In memory; any thread."""

    def __init__(
        self,
        rate: float,
        per: float = 1.0,
        burst: float | None = None,
        *,
        max_keys: int = 100_000,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate <= 0 or per <= 0 or (burst is not None and burst < 1):
            raise ValueError("a limiter lets at least something through")
        self._interval = per / rate
        self._tolerance = self._interval * (max(rate if burst is None else burst, 1) - 1)
        self._max_keys = max_keys
        self._ticks = ticks
        self._used_up_to: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: Hashable) -> None:
        """Act once. Raises `Problem("too_many_requests")` with the seconds to wait."""
        wait = self.take(key)
        if wait > 0:
            raise Problem("too_many_requests", retry_after=wait)

    def take(self, key: Hashable) -> float:
        """Act once if allowed: 0, or the seconds to wait. A refused try costs nothing."""
        now = self._ticks()
        with self._lock:
            start = max(now, self._used_up_to.get(key, now))
            wait = start - now - self._tolerance
            if wait > 1e-9:
                return wait
            self._used_up_to[key] = start + self._interval
            self._used_up_to.move_to_end(key)
            self._forget(now)
            return 0.0

    def give_back(self, key: Hashable) -> None:
        """What was taken need not have counted, such as a try that turned out to be no failure."""
        with self._lock:
            if key in self._used_up_to:
                self._used_up_to[key] -= self._interval

    def __len__(self) -> int:
        return len(self._used_up_to)

    def _forget(self, now: float) -> None:
        """Let go of two rested keys for each new act, so that the table shrinks by itself."""
        for _ in range(2):
            oldest = next(iter(self._used_up_to))
            if self._used_up_to[oldest] > now and len(self._used_up_to) <= self._max_keys:
                return
            del self._used_up_to[oldest]
