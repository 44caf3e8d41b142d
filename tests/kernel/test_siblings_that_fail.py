"""A sibling that fails is asked again seldom, then not at all, and is found again when it is well."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from doran.contracts.errors import Problem
from doran.kernel import breaker, siblings
from doran.kernel.breaker import Breaker, State
from doran.kernel.siblings import network
from doran.kernel.siblings.budget import RetryBudget
from doran.kernel.telemetry.metrics import REGISTRY
from tests.neighbour import Neighbour, Says, next_door

pytestmark = pytest.mark.stateless

MINJI = "/api/core/users/minji/"
BROKEN = Says(500, b"{}")
PATIENCE = 30.0
"""So long a busy machine may take; what is waited for takes a fraction of it."""


@pytest.fixture
def neighbour(monkeypatch: pytest.MonkeyPatch) -> Iterator[Neighbour]:
    monkeypatch.setattr(network, "FIRST_PAUSE", 0.001)
    with next_door(sibling_seconds=PATIENCE) as there:
        yield there


def fails(seconds: float = PATIENCE) -> Problem:
    with pytest.raises(Problem) as refused:
        siblings.get("core", MINJI, seconds=seconds)
    assert refused.value.code == "unavailable"
    return refused.value


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("doran_sibling_calls_total", {"service": "core", "outcome": outcome}) or 0.0


def shown_state() -> float | None:
    return REGISTRY.get_sample_value("doran_sibling_state", {"service": "core"})


# -- again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("once", [BROKEN, Says(503, b"{}"), Says(hangs_up=True), Says(body=b"<html>")])
def test_what_failed_once_is_asked_again(neighbour: Neighbour, once: Says) -> None:
    neighbour.next = [once]
    before = counted("retried")
    assert siblings.get("core", MINJI) == (200, {"id": "minji"})
    assert len(neighbour.asked) == 2
    assert counted("retried") == before + 1


def test_nobody_asks_more_than_three_times(neighbour: Neighbour) -> None:
    neighbour.always = BROKEN
    fails()
    assert len(neighbour.asked) == network.TRIES == 3


def test_a_refusal_is_an_answer_and_not_asked_again(neighbour: Neighbour) -> None:
    neighbour.always = Says(404, b"{}")
    for _ in range(breaker.FAILURES + 1):
        assert siblings.get("core", MINJI)[0] == 404
    assert len(neighbour.asked) == breaker.FAILURES + 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_sibling_that_says_when_is_asked_then_and_not_before(neighbour: Neighbour, status: int) -> None:
    neighbour.next = [Says(status, b"{}", {"Retry-After": "1"})]
    begun = time.monotonic()
    assert siblings.get("core", MINJI)[0] == 200
    assert time.monotonic() - begun >= 1.0


def test_who_cannot_wait_that_long_says_so_at_once(neighbour: Neighbour) -> None:
    neighbour.always = Says(503, b"{}", {"Retry-After": "30"})
    begun = time.monotonic()
    assert fails(PATIENCE - 1).retry_after == 30
    assert time.monotonic() - begun < PATIENCE - 1
    assert len(neighbour.asked) == 1


def test_a_wish_that_is_none_is_not_waited_for(neighbour: Neighbour) -> None:
    neighbour.next = [Says(503, b"{}", {"Retry-After": "-1e9"}), Says(503, b"{}", {"Retry-After": "tomorrow"})]
    assert siblings.get("core", MINJI)[0] == 200


def test_retries_do_not_multiply_an_outage() -> None:
    budget = RetryBudget()
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += sum(budget.spend() for _ in range(2))
    assert 100 <= spent <= 111


def test_without_a_budget_each_question_is_asked_once(neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryBudget, "spend", lambda budget: False)
    neighbour.always = BROKEN
    fails()
    assert len(neighbour.asked) == 1


# -- not at all --------------------------------------------------------------------------------------


def test_a_sibling_that_goes_on_failing_is_left_alone(neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", PATIENCE)
    neighbour.always = BROKEN
    opened = counted("open")
    while counted("open") < opened + 20:
        fails()
    assert len(neighbour.asked) < 20
    assert shown_state() == State.OPEN.value


def test_a_sibling_that_is_well_again_is_found_again(
    neighbour: Neighbour, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(breaker, "LONGEST_PAUSE", 0.05)
    caplog.set_level(logging.INFO, "doran")
    neighbour.always, opened = BROKEN, counted("open")
    while counted("open") == opened:
        fails()
    neighbour.always = Says()
    until = time.monotonic() + PATIENCE
    while shown_state() != State.CLOSED.value:
        assert time.monotonic() < until
        try:
            siblings.get("core", MINJI)
        except Problem:
            pass
    assert siblings.get("core", MINJI)[0] == 200
    said = [record.message for record in caplog.records if record.name.startswith("doran.kernel.siblings")]
    assert said == ["a sibling fails and is not asked for a while", "a sibling answers again"]


def test_a_sibling_that_hangs_takes_half_of_the_threads_and_no_more(neighbour: Neighbour) -> None:
    """Six threads answer people; three may wait for core, the fourth is told at once."""
    neighbour.always = Says(500, b"{}", wait=PATIENCE)
    waiting = [threading.Thread(target=fails) for _ in range(3)]
    for thread in waiting:
        thread.start()
    until = time.monotonic() + PATIENCE
    while len(neighbour.asked) < 3:
        assert time.monotonic() < until
        time.sleep(0.001)
    before = counted("busy")
    fails()
    assert counted("busy") == before + 1
    assert len(neighbour.asked) == 3
    neighbour.always = BROKEN
    neighbour.stopped.set()
    for thread in waiting:
        thread.join()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def broken(clock: Clock) -> Breaker:
    """A breaker that has just opened."""
    made = Breaker(ticks=clock, jitter=lambda: 1.0)
    for _ in range(breaker.FAILURES):
        assert made.wait() == 0.0
        made.failed()
    assert made.state is State.OPEN
    return made


def test_one_question_finds_out_and_the_others_wait() -> None:
    clock = Clock()
    one = broken(clock)
    assert one.wait() == breaker.FIRST_PAUSE
    clock.now += breaker.FIRST_PAUSE
    assert one.wait() == 0.0
    assert one.wait() > 0.0
    assert one.state is State.HALF_OPEN
    one.succeeded()
    assert one.state is State.CLOSED
    assert one.wait() == one.wait() == 0.0


def test_pauses_grow_and_end_with_the_first_success() -> None:
    clock = Clock()
    one = broken(clock)
    pauses = []
    for _ in range(8):
        pauses.append(one.wait())
        clock.now += pauses[-1]
        assert one.wait() == 0.0
        one.failed()
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    clock.now += one.wait()
    assert one.wait() == 0.0
    one.succeeded()
    for _ in range(breaker.FAILURES):
        one.failed()
    assert one.wait() == breaker.FIRST_PAUSE


def test_few_failures_among_many_answers_open_nothing() -> None:
    one = Breaker(ticks=Clock())
    for number in range(200):
        one.failed() if number % 5 == 0 else one.succeeded()
        assert one.state is State.CLOSED


def test_half_of_many_opens() -> None:
    one = Breaker(ticks=Clock())
    for number in range(20):
        one.failed() if number % 2 else one.succeeded()
    assert one.state is State.OPEN


def test_what_was_asked_before_it_opened_decides_nothing_afterwards() -> None:
    clock = Clock()
    one = broken(clock)
    one.succeeded()
    assert one.state is State.OPEN
    one.failed()
    assert one.wait() == breaker.FIRST_PAUSE


def test_many_processes_do_not_come_back_at_one_moment() -> None:
    def pause() -> float:
        one = Breaker(ticks=Clock())
        for _ in range(breaker.FAILURES):
            one.failed()
        return one.wait()

    pauses = [pause() for _ in range(50)]
    assert max(pauses) - min(pauses) > 0.2
