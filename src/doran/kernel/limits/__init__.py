"""How often somebody may do something: one rule (GCRA) for REST calls and frames alike.

A key may act `burst` times at once and then once every `per / rate` seconds. Without the setting
`redis` a process counts for itself (`memory`); with it all processes count together (`redis`), and
each for itself as long as Redis is away.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from doran.contracts.errors import Problem
from doran.kernel import config, telemetry

if TYPE_CHECKING:
    from doran.kernel.config import Config
    from doran.kernel.limits.redis import Counters


class Limiter(Protocol):
    """One limit, used from any thread. Only an exact one may wait, for Redis, and never for long."""

    name: str

    def take(self, key: Hashable, /) -> float:
        """Act once if allowed: 0, or the seconds to wait. A refused try costs nothing."""
        ...

    def give_back(self, key: Hashable, /) -> None:
        """What was taken need not have counted, such as a try that turned out to be no failure."""
        ...

    def check(self, key: Hashable, /) -> None:
        """Act once. Raises `Problem("too_many_requests")` with the seconds to wait."""
        wait = self.take(key)
        if wait > 0:
            telemetry.rate_limited(self.name)
            raise Problem("too_many_requests", retry_after=wait)


def limiter(name: str, rate: float, per: float = 1.0, burst: float | None = None, *, exact: bool) -> Limiter:
    """The limit of this setting, `rate` times in `per` seconds, counted as the settings in force ask.

    An exact one asks Redis at every act. The others tell it twice a second what was used: that costs
    nothing per act, and lets a burst through in each process before they know of each other.
    """
    from doran.kernel.limits.memory import MemoryLimiter

    own = MemoryLimiter(name, rate, per, burst)
    if not config.current().redis:
        return own
    from doran.kernel.limits.redis import ExactLimiter, LooseLimiter

    return (ExactLimiter if exact else LooseLimiter)(own, _counters(config.current().redis))


def start(now: Config) -> None:
    """Count together from now on, if these settings name a Redis. It may be away: then it is looked for."""
    if now.redis:
        _counters(now.redis).start()


def stop(now: Config) -> None:
    """Let go of Redis; whoever still counts does so for itself."""
    if now.redis:
        _counters(now.redis).stop()


def ping(now: Config) -> None:
    """Raises while the Redis of these settings, with which was started, does not answer."""
    _counters(now.redis).ping()


@lru_cache
def _counters(url: str) -> Counters:
    """One connection pool per Redis, for all limits of this process."""
    from doran.kernel.limits.redis import Counters

    return Counters(url)
