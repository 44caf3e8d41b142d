"""The suite of limits: 민지 acts too fast, whoever counts; and what Redis does to those who count together."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from doran.contracts.errors import Problem
from doran.kernel.limits import Limiter
from doran.kernel.limits import redis as shared
from doran.kernel.limits.memory import MemoryLimiter
from doran.kernel.limits.redis import Counters, ExactLimiter, LooseLimiter
from tests.servers.process import private
from tests.servers.redis import RedisServer

Make = Callable[..., Limiter]
HOUR = 3600.0


@pytest.fixture(scope="session")
def only_redis() -> Iterator[RedisServer]:
    with private(RedisServer) as server:
        yield server


@pytest.fixture
def redis(only_redis: RedisServer) -> RedisServer:
    """A private Redis that runs and is empty, whatever the last story did to it."""
    only_redis.start_again()
    return only_redis


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only stories about waiting are about how long; the others may run on a busy machine."""
    monkeypatch.setattr(shared, "PATIENCE", 5.0)


class Town:
    """Processes that count together, each with a connection of its own."""

    def __init__(self, redis: RedisServer) -> None:
        self.redis = redis
        self.name = f"test-{uuid.uuid4().hex}"
        self.opened: list[Counters] = []

    def process(self) -> Counters:
        counters = Counters(self.redis.url)
        counters.start()
        assert not counters.is_away
        self.opened.append(counters)
        return counters

    def exact(self, rate: float, per: float = 1.0, burst: float | None = None) -> ExactLimiter:
        return ExactLimiter(MemoryLimiter(self.name, rate, per, burst), self.process())

    def loose(self, rate: float, per: float = 1.0, burst: float | None = None) -> LooseLimiter:
        return LooseLimiter(MemoryLimiter(self.name, rate, per, burst), self.process())

    def until(self, true: Callable[[], bool]) -> None:
        patience = time.monotonic() + 10
        while not true():
            assert time.monotonic() < patience
            time.sleep(0.01)


@pytest.fixture
def town(redis: RedisServer) -> Iterator[Town]:
    made = Town(redis)
    yield made
    for counters in made.opened:
        counters.stop()


@pytest.fixture(params=["memory", "exact", "loose"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "memory":
        return lambda *rule: MemoryLimiter("test", *rule)
    return getattr(request.getfixturevalue("town"), request.param)  # type: ignore[no-any-return]


def allowed(limiter: Limiter, tries: int, key: str = "minji") -> int:
    return sum(limiter.take(key) == 0 for _ in range(tries))


# -- what every limiter does -----------------------------------------------------------------------


def test_a_burst_at_once_and_then_a_wait_that_is_told(make: Make) -> None:
    limiter = make(1, HOUR, 3)
    assert allowed(limiter, 3) == 3
    wait = limiter.take("minji")
    assert HOUR - 30 < wait <= HOUR
    with pytest.raises(Problem) as refused:
        limiter.check("minji")
    assert (refused.value.code, refused.value.retry_after) == ("too_many_requests", pytest.approx(wait, abs=30))


def test_who_waited_as_told_may_act(make: Make) -> None:
    limiter = make(4, 1.0, 1)
    limiter.check("minji")
    until = time.monotonic() + limiter.take("minji")
    while limiter.take("minji") > 0:
        time.sleep(0.002)
    assert time.monotonic() > until - 0.1


def test_junho_does_not_notice_minji(make: Make) -> None:
    limiter = make(1, HOUR)
    assert allowed(limiter, 3) == 1
    assert allowed(limiter, 3, "junho") == 1
    assert limiter.take(("minji", "10.0.0.1")) == 0


def test_what_was_given_back_never_counted(make: Make) -> None:
    limiter = make(2, HOUR)
    for _ in range(20):
        limiter.check("minji")
        limiter.give_back("minji")
    assert allowed(limiter, 5) == 2


def test_giving_back_what_was_never_taken_gives_nothing(make: Make) -> None:
    limiter = make(1, HOUR)
    limiter.give_back("minji")
    assert allowed(limiter, 5) == 1


def test_twenty_threads_share_one_budget(make: Make) -> None:
    limiter = make(50, HOUR)
    begin = threading.Barrier(20)
    counts: list[int] = []

    def try_often() -> None:
        begin.wait()
        counts.append(allowed(limiter, 10))

    threads = [threading.Thread(target=try_often) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 50


# -- together --------------------------------------------------------------------------------------


def test_two_processes_share_one_budget_exactly(town: Town) -> None:
    one, other = town.exact(10, HOUR), town.exact(10, HOUR)
    assert sum(limiter.take("minji") == 0 for _ in range(20) for limiter in (one, other)) == 10
    one.give_back("minji")
    assert other.take("minji") == 0
    assert one.take("minji") > 0


def test_the_same_key_under_another_limit_is_another_key(town: Town) -> None:
    one = town.exact(1, HOUR)
    assert allowed(one, 3) == 1
    town.name = f"{town.name}-other"
    assert allowed(town.exact(1, HOUR), 3) == 1


def test_loose_processes_know_of_each_other_after_a_beat(town: Town) -> None:
    one, other = town.loose(10, HOUR), town.loose(10, HOUR)
    assert (allowed(one, 20), allowed(other, 5)) == (10, 5)
    one.exchange()
    other.exchange()
    assert allowed(other, 20) == 0
    assert other.take("minji") > one.take("minji") > 0


def test_over_time_loose_processes_keep_to_the_rate_together(town: Town) -> None:
    """Five processes give all they can for two seconds: one burst each at first, then one rate for all."""
    five = [town.loose(200, 1.0, 50) for _ in range(5)]
    began, took, passed, tried = time.monotonic(), 0.0, 0, 0
    while took < 2.0 or tried < 2000:  # on a slow machine longer, so that the rate is reached
        tried += len(five)
        passed += sum(limiter.take("minji") == 0 for limiter in five)
        for limiter in five:
            limiter.exchange()
        took = time.monotonic() - began
    seldom = 5 * 20
    assert 300 < passed <= 5 * 50 + took * 200 + seldom


def test_who_acts_seldom_is_not_worth_telling(town: Town, redis: RedisServer) -> None:
    limiter = town.loose(200, 1.0, 400)
    for _ in range(19):
        limiter.check("minji")
    limiter.exchange()
    assert redis.ask("KEYS", f"*{town.name}*") == []
    limiter.check("minji")
    limiter.exchange()
    assert len(redis.ask("KEYS", f"*{town.name}*")) == 1  # type: ignore[arg-type]


def test_a_crowd_that_acts_seldom_is_forgotten_before_it_grows(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "MOST_KEYS", 50)
    monkeypatch.setattr(shared, "FORGOTTEN", HOUR)
    limiter = town.loose(200, 1.0, 400)
    for number in range(1000):
        limiter.check(f"person-{number}")
        assert len(limiter._acts) <= 50
    for _ in range(20):
        limiter.check("minji")
    limiter.exchange()
    assert len(town.redis.ask("KEYS", f"*{town.name}*")) == 1  # type: ignore[arg-type]


def test_redis_keeps_no_name_and_forgets_by_itself(town: Town, redis: RedisServer) -> None:
    town.exact(1, 60.0).check(("minji", "10.0.0.1"))
    (key,) = redis.ask("KEYS", f"*{town.name}*")  # type: ignore[misc]
    assert b"minji" not in key
    assert b"10.0.0.1" not in key
    assert 50_000 < redis.ask("PTTL", key) <= 60_001  # type: ignore[operator]


# -- when Redis is stopped, flushed, frozen, or lies --------------------------------------------------


def test_a_flushed_redis_lets_nobody_through_twice(town: Town) -> None:
    limiter = town.exact(5, HOUR)
    assert allowed(limiter, 5) == 5
    town.redis.flush()
    town.redis.ask("SCRIPT", "FLUSH")
    assert allowed(limiter, 5) == 0
    assert town.exact(5, HOUR).take("minji") == 0


def test_without_redis_each_process_counts_alone_and_together_again_later(town: Town) -> None:
    one, other = town.exact(5, HOUR), town.exact(5, HOUR)
    assert allowed(one, 2) == 2
    town.redis.stop()
    assert (allowed(one, 20), allowed(other, 20)) == (3, 5)
    town.redis.start()
    town.until(lambda: not any(counters.is_away for counters in town.opened))
    assert (allowed(one, 5), allowed(other, 5)) == (0, 0)
    assert [one.take("junho"), other.take("junho")] == [0, 0]
    assert sum(limiter.take("junho") == 0 for _ in range(5) for limiter in (one, other)) == 3


def test_a_frozen_redis_costs_one_wait_and_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "PATIENCE", 1.0)
    limiter = town.exact(1000, HOUR)
    limiter.check("minji")
    town.redis.freeze()
    began = time.monotonic()
    assert allowed(limiter, 500) == 500
    waited = time.monotonic() - began
    town.redis.thaw()
    assert 1.0 <= waited < 10.0


def test_a_frozen_redis_never_holds_up_a_loose_limit(town: Town) -> None:
    limiter = town.loose(10_000, 1.0)
    town.redis.freeze()
    began = time.monotonic()
    assert allowed(limiter, 5000) == 5000
    assert time.monotonic() - began < 4.0
    town.redis.thaw()


def test_what_was_done_while_redis_was_away_is_held_against_nobody_later(town: Town) -> None:
    one, other = town.loose(5, HOUR), town.loose(5, HOUR)
    town.redis.stop()
    one.check("minji")  # of this it hears at the next beat
    town.until(lambda: town.opened[0].is_away)
    assert allowed(one, 5, "junho") == 5
    town.redis.start()
    town.until(lambda: not town.opened[0].is_away)
    for limiter in (one, other):
        limiter.exchange()
        other.check("junho")
    assert allowed(other, 5, "junho") == 3


def test_a_redis_that_is_away_at_the_start_is_found_later(town: Town) -> None:
    town.redis.stop()
    counters = Counters(town.redis.url)
    counters.start()
    town.opened.append(counters)
    limiter = ExactLimiter(MemoryLimiter(town.name, 2, HOUR), counters)
    assert (counters.is_away, allowed(limiter, 5)) == (True, 2)
    town.redis.start()
    town.until(lambda: not counters.is_away)


@pytest.mark.parametrize("stored", ["nonsense", "99999999999999999", "-5"])
def test_a_number_that_cannot_be_locks_nobody_out(town: Town, stored: str) -> None:
    """Such as after the clock of Redis was set back."""
    limiter = town.exact(20, 1.0, 2)
    limiter.check("minji")
    (key,) = town.redis.ask("KEYS", f"*{town.name}*")  # type: ignore[misc]
    town.redis.ask("SET", key, stored)
    until = time.monotonic() + 20.0
    while limiter.take("minji") > 0:
        assert time.monotonic() < until
        time.sleep(0.002)


def test_who_stopped_counts_alone_and_may_start_again(town: Town) -> None:
    limiter = town.exact(3, HOUR)
    (counters,) = town.opened
    counters.stop()
    counters.stop()
    assert allowed(limiter, 2) == 2
    counters.start()
    assert not counters.is_away
    assert allowed(limiter, 2) == 1
