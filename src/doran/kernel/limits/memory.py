"""Limits that one process counts for itself.

Only the moment up to which a key has used its share is kept, so a key that rested is forgotten; when
more than `max_keys` act at the same time, the one that acted longest ago is forgotten first.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final
from weakref import WeakSet

from doran.kernel.limits import Limiter

MOST_KEYS: Final = 100_000
_TIDY_EVERY: Final = 32
_all: Final[WeakSet[MemoryLimiter]] = WeakSet()


def keys_counted() -> int:
    """Return how many keys all limits of this process remember."""
    return sum(map(len, list(_all)))


class MemoryLimiter(Limiter):
    """`rate` times in `per` seconds, `burst` at once (by default `rate`). Never waits."""

    def __init__(
        self,
        name: str,
        rate: float,
        per: float = 1.0,
        burst: float | None = None,
        *,
        max_keys: int = MOST_KEYS,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        if rate <= 0 or per <= 0 or (burst is not None and burst < 1):
            raise ValueError("a limiter lets at least something through")
        self.name = name
        self.interval = per / rate
        self.tolerance = self.interval * (max(rate if burst is None else burst, 1) - 1)
        self._max_keys = max_keys
        self._ticks = ticks
        self._used_up_to: OrderedDict[Hashable, float] = OrderedDict()
        self._acts = 0
        self._lock = threading.Lock()
        _all.add(self)

    def take(self, key: Hashable) -> float:
        now = self._ticks()
        used = self._used_up_to
        with self._lock:
            start = used.pop(key, now)
            if start < now:
                start = now
            elif start - now - self.tolerance > 1e-9:
                used[key] = start
                return start - now - self.tolerance
            used[key] = start + self.interval
            self._acts += 1
            if self._acts % _TIDY_EVERY == 0 or len(used) > self._max_keys:
                self._forget(now)
            return 0.0

    def give_back(self, key: Hashable) -> None:
        with self._lock:
            if key in self._used_up_to:
                self._used_up_to[key] -= self.interval

    def learn(self, key: Hashable, ahead: float) -> None:
        """Others count this key, too: together its share is used for the next `ahead` seconds."""
        until = self._ticks() + ahead
        with self._lock:
            if ahead > 0 and until > self._used_up_to.get(key, 0.0):
                self._used_up_to[key] = until
                self._used_up_to.move_to_end(key)

    def __len__(self) -> int:
        return len(self._used_up_to)

    def _forget(self, now: float) -> None:
        """Let go of up to two rested keys for each act, so that the table shrinks by itself."""
        used = self._used_up_to
        for _ in range(2 * _TIDY_EVERY):
            oldest = next(iter(used), None)
            if oldest is None or (used[oldest] > now and len(used) <= self._max_keys):
                return
            del used[oldest]
