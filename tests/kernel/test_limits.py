"""The limiter: 민지 acts too fast, waits as long as she is told, and 준호 never notices."""

from __future__ import annotations

import threading

import pytest

from doran.contracts.errors import Problem
from doran.kernel.limits.memory import MemoryLimiter

pytestmark = pytest.mark.stateless


class Ticks:
    """A clock that moves when a story says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def test_minji_may_use_her_burst_at_once_and_then_her_rate(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 2, per=1.0, burst=3, ticks=ticks)
    assert [limiter.take("minji") for _ in range(3)] == [0, 0, 0]
    assert limiter.take("minji") == pytest.approx(0.5)
    ticks.now += 0.5
    assert limiter.take("minji") == 0
    assert limiter.take("minji") == pytest.approx(0.5)


def test_without_a_burst_the_rate_may_come_at_once(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 60, per=60.0, ticks=ticks)
    assert sum(limiter.take("minji") == 0 for _ in range(100)) == 60
    ticks.now += 60
    assert sum(limiter.take("minji") == 0 for _ in range(100)) == 60


def test_who_is_too_fast_hears_how_long_to_wait_and_that_is_enough(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 1, per=10.0, ticks=ticks)
    limiter.check("minji")
    with pytest.raises(Problem) as refused:
        limiter.check("minji")
    assert refused.value.code == "too_many_requests"
    assert refused.value.retry_after == pytest.approx(10.0)
    ticks.now += refused.value.retry_after or 0
    limiter.check("minji")


def test_asking_while_refused_does_not_push_the_moment_away(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 1, per=10.0, ticks=ticks)
    limiter.check("minji")
    assert {limiter.take("minji") for _ in range(50)} == {10.0}
    ticks.now += 10
    assert limiter.take("minji") == 0


def test_junho_does_not_notice_minji(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 1, per=10.0, ticks=ticks)
    limiter.check("minji")
    assert limiter.take("minji") > 0
    assert limiter.take("junho") == 0


def test_what_was_given_back_never_counted(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 2, per=10.0, ticks=ticks)
    for _ in range(20):
        limiter.check("minji")
        limiter.give_back("minji")
    assert [limiter.take("minji") for _ in range(2)] == [0, 0]
    assert limiter.take("minji") > 0


def test_giving_back_what_was_never_taken_gives_nothing(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 1, per=10.0, ticks=ticks)
    limiter.give_back("minji")
    assert limiter.take("minji") == 0
    assert limiter.take("minji") > 0


def test_giving_back_never_saves_up(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 2, per=10.0, ticks=ticks)
    limiter.check("minji")
    ticks.now += 100
    for _ in range(5):
        limiter.give_back("minji")
    assert sum(limiter.take("minji") == 0 for _ in range(10)) == 2


def test_who_rested_is_forgotten(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 1, per=1.0, ticks=ticks)
    for number in range(1000):
        limiter.take(number)
    assert len(limiter) == 1000
    ticks.now += 10
    for number in range(2000, 2600):
        limiter.take(number)
    assert len(limiter) <= 601


def test_a_crowd_of_made_up_keys_stays_within_bounds(ticks: Ticks) -> None:
    limiter = MemoryLimiter("test", 1, per=60.0, max_keys=100, ticks=ticks)
    for number in range(10_000):
        limiter.take(number)
    assert len(limiter) <= 100


def test_twenty_threads_share_one_budget() -> None:
    limiter = MemoryLimiter("test", 50, per=3600.0)
    begin = threading.Barrier(20)
    allowed: list[bool] = []

    def try_often() -> None:
        begin.wait()
        allowed.extend([limiter.take("minji") == 0 for _ in range(10)])

    threads = [threading.Thread(target=try_often) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(allowed) == 200
    assert sum(allowed) == 50


@pytest.mark.parametrize(("rate", "per", "burst"), [(0, 1, 1), (-1, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_a_limit_that_lets_nothing_through_is_a_mistake(rate: float, per: float, burst: float) -> None:
    with pytest.raises(ValueError, match="lets at least something through"):
        MemoryLimiter("test", rate, per, burst)
