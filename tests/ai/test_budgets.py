"""Allowances: never passed, by however many at once, and what was set aside is spent or given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from django.db import transaction

from doran.ai.jobs import ending
from doran.ai.models import AiJob, Spending
from doran.ai.money import budgets, overview, prices
from doran.ai.privacy import forgetting
from doran.ai.providers import Completion, Price, Turn, Usage
from doran.contracts.errors import Problem
from doran.contracts.events import UserErased
from doran.kernel import clock
from doran.server.wiring import House
from tests.ai.conftest import MINT
from tests.ai.kitchen import stored
from tests.stage import staged


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Nobody works here; a person may spend 1,000 millionths a day, all together 2,000 a month."""
    limits = {"ai_person_per_day": 1000, "ai_all_per_month": 2000}
    async with staged(services=("ai",), own_keys=MINT.published, work=False, **limits) as house:
        yield house


async def reserves(job: AiJob, micros: int) -> bool:
    """Whether so much was still there."""
    try:
        return await asyncio.to_thread(budgets.reserve, AiJob.objects.filter(id=job.id), job, micros)
    except Problem:
        return False


async def kept(scope: str) -> tuple[int, int]:
    row = await asyncio.to_thread(Spending.objects.get, scope=scope)
    return row.reserved_micros, row.spent_micros


async def test_many_at_once_never_pass_what_one_may_spend(house: House) -> None:
    jobs = [await stored("minji") for _ in range(8)]
    assert sum(await asyncio.gather(*(reserves(job, 300) for job in jobs))) == 3
    assert await kept("person:minji") == await kept("all") == (900, 0)


async def test_many_people_never_pass_what_all_may_spend(house: House) -> None:
    jobs = [await stored(f"person {number}") for number in range(6)]
    assert sum(await asyncio.gather(*(reserves(job, 600) for job in jobs))) == 3
    assert await kept("all") == (1800, 0)


async def test_what_it_really_took_makes_room_again(house: House) -> None:
    job, later = await stored("minji"), await stored("minji")
    assert await reserves(job, 900)
    assert not await reserves(later, 900)
    await asyncio.to_thread(budgets.spend, job, Usage(10, 5), reserved=900, micros=50)
    assert await kept("person:minji") == (0, 50)
    assert await reserves(later, 900)


@pytest.mark.judged
async def test_what_a_lost_attempt_set_aside_is_spent_once(house: House) -> None:
    job = await stored("minji")
    assert await reserves(job, 400)
    await asyncio.to_thread(ending.overrule, job, "not_found")
    await asyncio.to_thread(budgets.spend, job, Usage(10, 5), reserved=400, micros=50)  # its worker comes too late
    assert await kept("person:minji") == (0, 400)


async def test_who_is_not_held_any_more_sets_nothing_aside(house: House) -> None:
    job = await stored("minji")
    held = AiJob.objects.filter(id=job.id, claim="lost")
    assert not await asyncio.to_thread(budgets.reserve, held, job, 10)
    assert await kept("all") == (0, 0)
    assert not await asyncio.to_thread(Spending.objects.filter(scope="person:minji").exists)


async def test_with_nothing_left_the_question_itself_is_refused(house: House) -> None:
    assert await reserves(await stored("minji"), 1000)
    with pytest.raises(Problem) as refused:
        await asyncio.to_thread(budgets.require_room, "minji")
    assert refused.value.code == "budget_exhausted"
    assert 0 < refused.value.retry_after <= 86_400  # type: ignore[operator]
    await asyncio.to_thread(budgets.require_room, "junho")


async def test_of_an_erased_person_the_sums_stay_and_nothing_says_whose_they_were(house: House) -> None:
    """One answer is paid for, one was stopped and its cost is not known yet, one is being written."""
    answered, stopped, running, hers = [await stored(one) for one in ("junho", "junho", "junho", "minji")]
    for job in (answered, stopped, running, hers):
        await asyncio.to_thread(budgets.count_job, job.user_id)
        assert await reserves(job, 100)
    await asyncio.to_thread(budgets.spend, answered, Usage(10, 5), reserved=100, micros=50)
    await asyncio.to_thread(ending.cancel, stopped.id)
    await asyncio.to_thread(erase, "junho")
    for late in (stopped, running):
        await asyncio.to_thread(budgets.spend, late, Usage(10, 5), reserved=100, micros=20)
        assert not await reserves(late, 100)
    rows = await asyncio.to_thread(lambda: list(Spending.objects.values_list("scope", "reserved_micros")))
    assert sorted(rows) == [("all", 100), ("person:minji", 100)]
    (month,) = await asyncio.to_thread(overview.months)
    assert (month.jobs, month.tokens, month.spent) == (4, 15, 250)


def erase(user_id: str) -> None:
    with transaction.atomic(using="ai"):
        forgetting.on_user_erased(UserErased(user_id, clock.rfc3339(clock.now())))


async def test_a_month_is_over_in_the_next(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("minji", "junho"):
        assert await reserves(await stored(name, created_at=datetime(2026, 11, 30, 23, 59, tzinfo=UTC)), 1000)
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 11, 30, 23, 59, 30, tzinfo=UTC))
    with pytest.raises(Problem) as refused:
        await asyncio.to_thread(budgets.require_room, "sora")
    assert refused.value.retry_after == 30
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 12, 1, tzinfo=UTC))
    await asyncio.to_thread(budgets.require_room, "sora")


def test_no_answer_costs_more_than_was_set_aside_for_it() -> None:
    asked = Completion("요약", (Turn("user", "가" * 100),), max_tokens=50)
    most = prices.greatest(asked)
    assert most == Usage(2 * 3 + 100 * 3 + 2 * 16, 50)
    assert prices.cost(Price(3_000_000, 15_000_000), Usage(1000, 1)) == 3015
    assert prices.cost(Price(1, 0), Usage(1, 0)) == 1  # rounded up
    assert prices.guessed(asked, "네").tokens_out == 2
