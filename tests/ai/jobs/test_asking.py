"""Asking for jobs: what is offered, what is refused, and that the same question is asked once."""

from __future__ import annotations

import asyncio
from typing import Any

import pymysql
import pytest
from django.db import OperationalError

from doran.ai.http import spoken
from doran.ai.jobs import asking
from doran.ai.jobs.work import Work
from doran.ai.models import AiJob, Spending
from doran.ai.money import switch
from doran.contracts.frames import JobResult
from doran.server.wiring import House
from tests.ai.conftest import MINT, person
from tests.ai.kitchen import REWRITE, Kitchen, asked, job, until
from tests.cast import Person
from tests.stage import staged


@pytest.fixture
async def house(kitchen: Kitchen) -> Any:
    async with staged(services=("ai",), own_keys=MINT.published) as house:
        yield house


async def count() -> int:
    return await asyncio.to_thread(AiJob.objects.count)


async def test_what_is_asked_is_done(minji: Person) -> None:
    begun = await asked(minji)
    assert (begun["state"], begun["kind"], begun["result"]) == ("queued", "rewrite", None)
    ended = await until(minji, begun["id"])
    assert (ended["state"], ended["result"]["text"]) == ("succeeded", "밥 먹었어? 드셨어요?")
    assert (ended["attempt"], ended["failure_code"], ended["partial"]) == (1, "", "")


async def test_the_shop_window_shows_what_can_be_had(minji: Person) -> None:
    window = await minji.gets("/api/ai/")
    assert set(window["kinds"]) >= {"reply", "summarize", "semantic_search"}
    assert window["assistant"]["display_name"] == "Doran"
    assert (window["provider"], window["is_off"]) == ({"name": "near", "is_outside": False}, False)


async def test_an_empty_house_has_an_empty_window() -> None:
    async with staged(services=("ai",), own_keys=MINT.published) as house:
        window = await person(house, "민지").gets("/api/ai/")
    assert window == {"kinds": [], "assistant": None, "provider": None, "translation_engines": [], "is_off": False}


async def test_the_same_key_is_the_same_job_for_ever(minji: Person, kitchen: Kitchen) -> None:
    body = {**REWRITE, "idempotency_key": "한 번"}
    first = await asked(minji, body)
    await until(minji, first["id"])
    again = await minji.asks("POST", "/api/ai/jobs/", body)
    assert (again.status, again.json["id"], again.json["state"]) == (200, first["id"], "succeeded")
    by_header = await minji.asks("POST", "/api/ai/jobs/", {**REWRITE, "idempotency_key": "한 번"})
    assert by_header.json["id"] == first["id"]
    assert await count() == len(kitchen.begun) == 1


async def test_a_job_outlives_trouble_of_the_database(minji: Person, kitchen: Kitchen) -> None:
    """Another transaction was in its way: it is done again, and its asker hears nothing of it."""

    async def cook(work: Work) -> JobResult:
        if work.job.attempts < 2:
            raise OperationalError from pymysql.err.OperationalError(1213, "Deadlock found when trying to get lock")
        return JobResult(text="드셨어요?")

    kitchen.cook = cook
    ended = await until(minji, (await asked(minji))["id"])
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)


async def test_the_header_is_a_key_as_well(minji: Person) -> None:
    first = await asked(minji, headers={"Idempotency-Key": '"k1"'})
    again = await minji.asks("POST", "/api/ai/jobs/", {**REWRITE, "idempotency_key": "k1"})
    assert (again.status, again.json["id"]) == (200, first["id"])
    other = await minji.asks(
        "POST", "/api/ai/jobs/", {**REWRITE, "idempotency_key": "k1"}, headers={"Idempotency-Key": "k2"}
    )
    assert (other.status, other.code) == (422, "validation_failed")
    assert await count() == 1


async def test_another_question_under_the_same_key_is_refused(minji: Person, sora: Person) -> None:
    first = await asked(minji, {**REWRITE, "idempotency_key": "k"})
    for change in ({"input": "잘 자"}, {"options": {"style": "casual"}}, {"conversation_id": "c"}):
        answer = await minji.asks("POST", "/api/ai/jobs/", {**REWRITE, "idempotency_key": "k", **change})
        assert (answer.status, answer.code) == (409, "idempotency_conflict")
    assert await count() == 1
    assert (await asked(sora, {**REWRITE, "idempotency_key": "k"}))["id"] != first["id"]  # keys are one's own


@pytest.mark.judged
async def test_many_who_ask_at_once_under_one_key_get_one_job(minji: Person) -> None:
    body = {**REWRITE, "idempotency_key": "k"}
    answers = await asyncio.gather(*(minji.asks("POST", "/api/ai/jobs/", body) for _ in range(6)))
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sorted(answer.status for answer in answers) == [200] * 5 + [202]
    assert await count() == 1
    assert (await asyncio.to_thread(lambda: Spending.objects.get(scope=f"person:{minji.id}"))).jobs == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "rewrite", "input": "가"}, "options.style"),
        ({**REWRITE, "options": {"style": "rude"}}, "options.style"),
        ({**REWRITE, "options": {"style": "polite", "tone": 1}}, "options.tone"),
        ({**REWRITE, "options": {"style": "polite", "locale": "xx"}}, "options.locale"),
        ({"kind": "translate", "input": "가", "options": {"target": "?"}}, "options.target"),
        ({"kind": "summarize", "conversation_id": "c", "options": {"since_seq": -1}}, "options.since_seq"),
        ({"kind": "semantic_search", "input": "가", "options": {"limit": 51}}, "options.limit"),
        ({**REWRITE, "input": "   "}, "input"),
        ({**REWRITE, "input": "가\x00"}, "input"),
        ({**REWRITE, "input": "가\x1b[31m"}, "input"),
        ({**REWRITE, "input": "\u3164\u200b"}, "input"),
        ({**REWRITE, "input": "\x00"}, "input"),
        ({**REWRITE, "conversation_id": "c\x00"}, "conversation_id"),
        ({**REWRITE, "idempotency_key": "k" * 65}, "idempotency_key"),
        ({**REWRITE, "idempotency_key": "k\x00"}, "idempotency_key"),
        ({**REWRITE, "idempotency_key": " \t"}, "idempotency_key"),
    ],
)
async def test_a_wrong_question_names_the_field_and_changes_nothing(
    minji: Person, body: dict[str, Any], field: str
) -> None:
    answer = await minji.asks("POST", "/api/ai/jobs/", body)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert [wrong["field"] for wrong in answer.json["errors"]] == [field]
    assert await count() == 0


async def test_while_the_ai_is_off_nothing_is_taken_on(minji: Person, kitchen: Kitchen) -> None:
    before = await asked(minji, {**REWRITE, "idempotency_key": "k"})
    await until(minji, before["id"])
    await asyncio.to_thread(switch.turn, off=True)
    answer = await minji.asks("POST", "/api/ai/jobs/", REWRITE)
    assert (answer.status, answer.code) == (503, "ai_off")
    assert (await minji.gets("/api/ai/"))["kinds"] == []
    again = await minji.asks("POST", "/api/ai/jobs/", {**REWRITE, "idempotency_key": "k"})
    assert (again.status, again.json["state"]) == (200, "succeeded")
    await asyncio.to_thread(switch.turn, off=False)
    assert (await asked(minji))["state"] == "queued"


async def test_my_jobs_are_listed_newest_first_and_nobody_elses(minji: Person, sora: Person) -> None:
    mine = [(await asked(minji))["id"] for _ in range(5)]
    await asked(sora)
    page = await minji.gets("/api/ai/jobs/?page_size=3")
    assert [one["id"] for one in page["results"]] == mine[:1:-1]
    rest = await minji.gets(page["next"].removeprefix("http://localhost"))
    assert [one["id"] for one in rest["results"]] == mine[1::-1]
    assert rest["next"] is None
    assert (await minji.gets("/api/ai/jobs/?kind=reply"))["results"] == []
    foreign = await sora.asks("GET", f"/api/ai/jobs/?before={mine[0]}")
    assert (foreign.status, foreign.code) == (422, "validation_failed")


async def test_a_day_has_so_many_jobs(kitchen: Kitchen) -> None:
    async with staged(services=("ai",), own_keys=MINT.published, ai_jobs_per_day=2) as house:
        minji, sora = person(house, "민지"), person(house, "소라")
        first = await asked(minji, {**REWRITE, "idempotency_key": "k"})
        await asked(minji)
        answer = await minji.asks("POST", "/api/ai/jobs/", REWRITE)
        assert (answer.status, answer.code) == (429, "budget_exhausted")
        assert 0 < int(answer.headers["retry-after"]) <= 86_400
        again = await minji.asks("POST", "/api/ai/jobs/", {**REWRITE, "idempotency_key": "k"})
        assert (again.status, again.json["id"]) == (200, first["id"])
        await asked(sora)
        ours = await asyncio.to_thread(asking.ask, minji.id, asking.Question("embed", "c"), is_ours=True)
        assert ours[1]
        assert await count() == 4


@pytest.mark.parametrize(
    ("accepted", "locale"),
    [
        ("", "ko"),
        ("en-US,en;q=0.9", "en"),
        ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
        ("en;q=0.3, ko;q=0.9", "ko"),
        ("de", "ko"),
    ],
)
def test_the_asker_is_answered_in_their_language(accepted: str, locale: str) -> None:
    assert spoken(accepted) == locale


async def test_the_language_comes_with_the_question(minji: Person, kitchen: Kitchen, house: House) -> None:
    for said, heard in (({}, "ko"), ({"Accept-Language": "en-GB"}, "en")):
        begun = await asked(minji, headers=said)
        await until(minji, begun["id"])
        assert f'"locale":"{heard}"' in kitchen.begun[-1].options
        assert (await job(minji, begun["id"]))["kind"] == "rewrite"
