"""What the operator sees and stops, and what is kept no longer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from doran.ai.jobs import overview, pruning, worker
from doran.ai.models import AiJob, AiResponse, Disclosure, Source, Spending
from doran.ai.money import overview as money
from doran.ai.privacy import disclosures
from doran.kernel import clock, config, telemetry
from doran.server.wiring import House
from tests.ai.kitchen import stored

LONG_AGO = timedelta(days=31)


async def asked(question: Any) -> Any:
    return await asyncio.to_thread(question)


@pytest.fixture(autouse=True)
async def at_rest(house: House) -> None:
    """Nobody works, so that rows stay as a story put them."""
    await asyncio.to_thread(house.ai.worker.stop)  # type: ignore[union-attr]


async def test_jobs_that_ended_long_ago_go_with_all_that_belongs_to_them() -> None:
    then = clock.now() - LONG_AGO
    old = await stored("minji", state="succeeded", created_at=then, finished_at=then)
    new = await stored("minji", state="succeeded", finished_at=clock.now())
    waiting = await stored("minji", created_at=then)
    unsettled = await stored("minji", state="cancelled", finished_at=then, reserved_micros=5)
    for job in (old, new):
        response = AiResponse(id=clock.new_id(), job=job, data="{}", created_at=then)
        await asked(lambda response=response: response.save(force_insert=True))
        await asked(lambda job=job: Source.objects.create(job=job, message_id="m", conversation_id="c", sender_id="s"))
    assert await asked(pruning.prune) == 1
    assert set(await asked(lambda: list(AiJob.objects.values_list("id", flat=True)))) == {
        new.id, waiting.id, unsettled.id,
    }  # fmt: skip
    assert await asked(AiResponse.objects.count) == await asked(Source.objects.count) == 1


async def test_lines_of_what_was_sent_go_when_their_time_is_over_and_no_earlier() -> None:
    days = config.current().ai_disclosure_days
    lines = [sent("minji", age) for age in (days + 1, days + 1, days + 400, days - 1, 0)]
    await asked(lambda: Disclosure.objects.bulk_create(lines))
    assert await asked(disclosures.prune) == 3
    left = await asked(lambda: list(Disclosure.objects.values_list("characters", flat=True).order_by("at")))
    assert left == [days - 1, 0]
    assert await asked(disclosures.prune) == 0


def sent(user_id: str, days: int) -> Disclosure:
    """A line of so many days ago, which says that many characters."""
    then = clock.now() - timedelta(days=days)
    return Disclosure(
        id=UUID(int=clock.least_id(then).int | clock.new_id().int & 0xFFFF_FFFF), user_id=user_id, job_id=clock.new_id(),
        asked_by=user_id, kind="rewrite", provider="먼 곳", model="large", host="models.example.com",
        is_outside=True, messages=0, characters=days, at=then,
    )  # fmt: skip


async def test_the_operator_counts_jobs_and_reasons_without_seeing_whose() -> None:
    for facts in ({}, {"state": "running"}, {"state": "failed", "failure_code": "too_long"}, {"state": "succeeded"}):
        await stored("minji", cost_micros=250_000, **facts)
    await stored("minji", state="failed", failure_code="deadline", created_at=clock.now() - LONG_AGO)
    (line,) = await asked(lambda: overview.lines(24))
    assert line == ("rewrite", 1, 1, 1, 1, 0, 1_000_000)
    assert await asked(lambda: overview.failures(24)) == [("too_long", 1)]


async def test_spending_is_shown_by_month_and_by_person_of_today() -> None:
    now = clock.now()
    today, month = f"{now:%Y-%m-%d}", f"{now:%Y-%m}"
    for scope, period, spent, jobs in (
        ("all", month, 9, 0),
        ("person:minji", today, 4, 3),
        ("person:sora", today, 5, 1),
    ):
        row = Spending(scope=scope, period=period, spent_micros=spent, jobs=jobs)
        await asked(row.save)
    assert [(one.who, one.spent, one.jobs) for one in await asked(money.months)] == [("all", 9, 4)]
    assert [(one.who, one.spent) for one in await asked(money.today)] == [("sora", 5), ("minji", 4)]


async def test_what_waits_and_runs_is_measured() -> None:
    await stored("minji", due_at=clock.now() - timedelta(seconds=90))
    await stored("minji", state="running", held_until=clock.now() + timedelta(seconds=90))
    end = telemetry.watch_jobs(worker._numbers, source="ai database")  # as a worker does that works
    said = (await asyncio.to_thread(telemetry.render))[0].decode()
    await asyncio.to_thread(end)
    assert "doran_ai_jobs_waiting 1.0" in said
    assert "doran_ai_jobs_running 1.0" in said
    (age,) = [float(line.split()[1]) for line in said.splitlines() if line.startswith("doran_ai_oldest_waiting_age")]
    assert 90 <= age < 120
