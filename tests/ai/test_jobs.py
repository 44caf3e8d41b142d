"""Asking the AI: honest while there is none, and nobody sees a job of somebody else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from doran.ai.models import AiJob, AiResponse
from doran.kernel import clock
from doran.server.wiring import House
from tests.cast import Person
from tests.wire import call

SUMMARY = {"kind": "summarize", "conversation_id": "anything"}


async def jobs() -> int:
    return await asyncio.to_thread(AiJob.objects.count)


async def stored(person: Person, **facts: Any) -> AiJob:
    """A job as one would stand there if a provider were set."""
    now, later = clock.now(), clock.now() + timedelta(hours=1)
    job = AiJob(
        id=clock.new_id(), user_id=person.id, kind="summarize", asked_digest=b"", due_at=later, deadline_at=later,
        created_at=now, updated_at=now, **facts,
    )  # fmt: skip
    await asyncio.to_thread(job.save, force_insert=True)
    return job


async def test_without_a_provider_a_job_is_refused_and_nothing_is_kept(minji: Person) -> None:
    answer = await minji.asks("POST", "/api/ai/jobs/", SUMMARY)
    assert (answer.status, answer.code) == (503, "no_provider")
    assert int(answer.headers["retry-after"]) > 0
    assert await jobs() == 0


async def test_nobody_asks_without_saying_who_they_are(house: House) -> None:
    for method, path in (("POST", "jobs/"), ("GET", "jobs/x/"), ("POST", "jobs/x/cancel/")):
        answer = await call(house.app, method, f"/api/ai/{path}", SUMMARY if method == "POST" else None)
        assert (answer.status, answer.code) == (401, "not_authenticated")
    assert await jobs() == 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "poem"},
        {"kind": 7},
        {"kind": "summarize"},
        {"kind": "semantic_search", "conversation_id": "c"},
        {"kind": "summarize", "conversation_id": ""},
        {"kind": "translate", "input": "x" * 20_001},
        {**SUMMARY, "priority": 1},
    ],
)
async def test_a_wrong_question_is_refused_before_the_missing_provider(minji: Person, body: dict[str, Any]) -> None:
    answer = await minji.asks("POST", "/api/ai/jobs/", body)
    assert (answer.status, answer.code) == (422, "validation_failed")
    assert answer.json["errors"]
    assert await jobs() == 0


async def test_a_job_is_shown_to_who_asked(minji: Person) -> None:
    job = await stored(minji, state="succeeded")
    response = AiResponse(
        id=clock.new_id(), job=job, data='{"text": "둘은 일곱 시에 만난다"}', provider="x", created_at=clock.now()
    )
    await asyncio.to_thread(response.save, force_insert=True)
    shown = await minji.gets(f"/api/ai/jobs/{job.id}/")
    assert shown["state"] == "succeeded"
    assert shown["result"]["text"] == "둘은 일곱 시에 만난다"


async def test_a_job_of_somebody_else_looks_like_none(minji: Person, sora: Person) -> None:
    job = await stored(minji)
    for path in (f"/api/ai/jobs/{job.id}/", f"/api/ai/jobs/{clock.new_id()}/", "/api/ai/jobs/nonsense/"):
        answer = await sora.asks("GET", path)
        assert (answer.status, answer.code) == (404, "not_found")
    answer = await sora.asks("POST", f"/api/ai/jobs/{job.id}/cancel/")
    assert answer.status == 404
    assert (await minji.gets(f"/api/ai/jobs/{job.id}/"))["state"] == "queued"


async def test_a_waiting_job_is_cancelled_once_and_for_all(minji: Person) -> None:
    job = await stored(minji)
    for _ in range(2):
        answer = await minji.asks("POST", f"/api/ai/jobs/{job.id}/cancel/")
        assert (answer.status, answer.json["state"]) == (200, "cancelled")


async def test_an_ended_job_cannot_be_cancelled(minji: Person) -> None:
    job = await stored(minji, state="succeeded")
    answer = await minji.asks("POST", f"/api/ai/jobs/{job.id}/cancel/")
    assert (answer.status, answer.code) == (409, "conflict")
    assert (await minji.gets(f"/api/ai/jobs/{job.id}/"))["state"] == "succeeded"
