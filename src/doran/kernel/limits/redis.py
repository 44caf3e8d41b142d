"""Limits that all processes count together, in Redis.

Each process counts for itself as well. What it refuses by itself costs no question; and when Redis is
away, frozen or was flushed, its own count is what still holds. Whoever asks waits for Redis once, at
most `PATIENCE`; from then on nobody does, until a thread of its own has found it again.

Redis holds one number per key that acted lately: the moment, by its own clock, up to which the key
has used its share. Keys are hashed: no name or address is kept there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from redis import Redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import RedisError
from redis.retry import Retry

from doran.kernel import telemetry
from doran.kernel.limits import Limiter
from doran.kernel.limits.memory import MOST_KEYS, MemoryLimiter

log = logging.getLogger(__name__)

PATIENCE: Final = 0.1  # seconds for connecting, and for each answer
BEAT: Final = 0.5  # seconds between looks for a lost Redis, and between exchanges of loose limits
FORGIVEN: Final = 30.0  # seconds: nobody is held to more than this beyond the burst
FORGOTTEN: Final = 10.0  # seconds after which seldom acts that were never told do not count
_PREFIX: Final = "doran:limit"

# All times are microseconds. What is stored further ahead than it can get (the clock of Redis was set
# back, or the limit was another) becomes no more than used up.
_STORED: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, furthest = tonumber(ARGV[1]), now + ARGV[2]
local function store(key, moment)
    redis.call('SET', key, string.format('%.0f', moment), 'PX', math.ceil((moment - now) / 1000) + 1)
end
local function used_up_to(key)
    local stored = tonumber(redis.call('GET', key) or now) or now
    if stored > furthest then store(key, furthest) end
    return math.min(furthest, math.max(now, stored))
end
"""
_TAKE: Final = (
    _STORED
    + """
local used = used_up_to(KEYS[1])
if used + interval <= furthest then store(KEYS[1], used + interval) end
return used - now
"""
)
_GIVE_BACK: Final = (
    _STORED
    + """
local used = used_up_to(KEYS[1])
if used > now then store(KEYS[1], math.max(used - interval, now)) end
return 0
"""
)
_USE: Final = (
    _STORED
    + """
local ahead = {}
for number, key in ipairs(KEYS) do
    local used = math.min(furthest, used_up_to(key) + interval * ARGV[2 + number])
    store(key, used)
    ahead[number] = used - now
end
return ahead
"""
)


class Counters:
    """One Redis as all limits of a process use it: left alone while it does not answer.

    What is asked answers None where Redis has no say: before `start`, while it is away, after `stop`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loose: WeakSet[LooseLimiter] = WeakSet()
        self.is_away = True
        self._alone = telemetry.Outage(log, "limits are counted by this process alone", "limits are counted together")

    def start(self) -> None:
        """Look for Redis once, then keep in touch from a thread."""
        with self._starting:
            if self._thread is None:
                self._open()
                self._look()
                if self.is_away:
                    self._tell_alone("not found")
                self._stopping = threading.Event()
                self._thread = threading.Thread(target=self._keep_in_touch, name="limits", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        with self._starting:
            if self._thread is not None:
                self._stopping.set()
                self._thread.join()
                self._thread = None
                self.is_away = True
                self._redis.close()

    def ping(self) -> None:
        """Raises while Redis does not answer. Only between `start` and `stop`."""
        self._redis.ping()

    def take(self, key: str, rule: Rule) -> int | None:
        """Use one share of this key, if it is free. How much was in use, in microseconds."""
        in_use: int | None = self._asked(self._take, [key], rule)
        return in_use

    def give_back(self, key: str, rule: Rule) -> None:
        self._asked(self._give_back, [key], rule)

    def use(self, keys: Sequence[str], rule: Rule, counts: Sequence[int]) -> Sequence[int] | None:
        """So many shares of each key were used. How much is in use now, in microseconds."""
        in_use: Sequence[int] | None = self._asked(self._use, keys, rule, *counts)
        return in_use

    def exchange_with(self, limiter: LooseLimiter) -> None:
        self._loose.add(limiter)

    def _open(self) -> None:
        self._redis = Redis.from_url(
            self._url,
            protocol=2,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        self._take, self._give_back, self._use = map(self._redis.register_script, (_TAKE, _GIVE_BACK, _USE))

    def _asked(self, script: Script, keys: Sequence[str], rule: Rule, *counts: int) -> Any:
        if self.is_away:
            return None
        try:
            return script(keys=keys, args=[rule.interval, rule.furthest, *counts])
        except (RedisError, OSError) as wrong:
            self._lose(wrong)
            return None

    def _lose(self, wrong: Exception) -> None:
        if not self.is_away:
            self.is_away = True
            self._tell_alone(type(wrong).__name__)

    def _tell_alone(self, reason: str) -> None:
        telemetry.limits_alone(True)
        self._alone.goes_on(reason=reason)

    # -- its thread --------------------------------------------------------------------------------

    def _keep_in_touch(self) -> None:
        while not self._stopping.wait(BEAT):
            try:
                self._look() if self.is_away else self._exchange()
            except Exception:
                log.exception("limits could not be compared; it is tried again")

    def _look(self) -> None:
        """Redis is there when it counts, not when it only answers."""
        try:
            self._take(keys=[f"{_PREFIX}:trial"], args=[1, 1])
        except (RedisError, OSError):
            return
        for limiter in list(self._loose):
            limiter.forget()
        self.is_away = False
        telemetry.limits_alone(False)
        self._alone.is_over()

    def _exchange(self) -> None:
        for limiter in list(self._loose):
            limiter.exchange()


class Rule(NamedTuple):
    """One limit in microseconds: what an act uses, and how far ahead of now a key can get."""

    interval: int
    furthest: int

    @classmethod
    def of(cls, own: MemoryLimiter, *, beyond: float = 0.0) -> Rule:
        interval = max(1, round(own.interval * 1e6))
        return cls(interval, interval + round((own.tolerance + beyond) * 1e6))


class _Shared(Limiter):
    """What both kinds have: this process's own count, and where all are added up."""

    def __init__(self, own: MemoryLimiter, counters: Counters, *, beyond: float = 0.0) -> None:
        self.name = own.name
        self._own = own
        self._counters = counters
        self._rule = Rule.of(own, beyond=beyond)

    def _known_as(self, key: Hashable) -> str:
        return f"{_PREFIX}:{self.name}:{blake2b(repr(key).encode(), digest_size=16).hexdigest()}"


class ExactLimiter(_Shared):
    """Asks Redis at each act that this process itself would allow."""

    def take(self, key: Hashable) -> float:
        return self._own.take(key) or self._take_together(key)

    def give_back(self, key: Hashable) -> None:
        self._own.give_back(key)
        self._counters.give_back(self._known_as(key), self._rule)

    def _take_together(self, key: Hashable) -> float:
        in_use = self._counters.take(self._known_as(key), self._rule)
        if in_use is None:
            return 0.0
        wait = (in_use + self._rule.interval - self._rule.furthest) / 1e6
        if wait > 0:
            self._own.give_back(key)
        return max(wait, 0.0)


class LooseLimiter(_Shared):
    """Decides by itself, and adds up with the others at each beat. Never waits.

    Until the next beat each process may let a burst and a beat's worth through. What went beyond the
    rate is then paid back by waiting, so over a longer time all processes together keep to it. Who
    does less than a tenth of a second's worth in `FORGOTTEN` seconds is not worth telling.
    """

    def __init__(self, own: MemoryLimiter, counters: Counters) -> None:
        super().__init__(own, counters, beyond=FORGIVEN)
        self._lock = threading.Lock()
        self._acts: dict[Hashable, int] = {}
        self._busy: set[Hashable] = set()
        self._worth_telling = max(1, round(0.1 / own.interval))
        self._counted_since = time.monotonic()
        counters.exchange_with(self)

    def take(self, key: Hashable) -> float:
        wait = self._own.take(key)
        if wait == 0:
            self._count(key, 1)
        return wait

    def give_back(self, key: Hashable) -> None:
        self._own.give_back(key)
        self._count(key, -1)

    def exchange(self) -> None:
        """Tell the others what was used here, and learn what they used. Called at each beat."""
        acts = self._taken_down()
        if acts:
            keys = [self._known_as(key) for key in acts]
            in_use = self._counters.use(keys, self._rule, list(acts.values()))
            for key, ahead in zip(acts, in_use or (), strict=False):
                self._own.learn(key, ahead / 1e6)

    def forget(self) -> None:
        """What was counted alone is nobody else's: told all at once, it would look like one great burst."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._acts.clear()
        self._busy.clear()

    def _count(self, key: Hashable, number: int) -> None:
        with self._lock:
            if len(self._acts) >= MOST_KEYS:
                self._forget()
            acts = self._acts[key] = self._acts.get(key, 0) + number
            if acts >= self._worth_telling:
                self._busy.add(key)

    def _taken_down(self) -> dict[Hashable, int]:
        """What has to be told; from then on it counts as told."""
        with self._lock:
            told = {key: self._acts.pop(key) for key in self._busy}
            self._busy.clear()
            if time.monotonic() - self._counted_since > FORGOTTEN:
                self._acts, self._counted_since = {}, time.monotonic()
        return told
