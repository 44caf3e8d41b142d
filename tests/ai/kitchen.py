"""Recipes of a test's own, in a house whose provider is always there: for stories about jobs, not about answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from doran.ai import service
from doran.ai.jobs.work import Work
from doran.ai.kinds import KINDS
from doran.ai.models import AiJob
from doran.ai.providers import About
from doran.ai.providers.chain import Chain
from doran.contracts.frames import JobResult
from doran.kernel import clock
from tests.cast import Person

REWRITE = {"kind": "rewrite", "input": "밥 먹었어?", "options": {"style": "polite"}}

Cook = Callable[[Work], Awaitable[JobResult]]


class Kitchen:
    """`cook` does every job. `begun` counts attempts; a job of `hold()` waits until `let_go()`."""

    def __init__(self) -> None:
        self.cook: Cook = serve
        self.begun: list[AiJob] = []
        self.stopped: list[AiJob] = []
        self.gate: asyncio.Event | None = None

    async def __call__(self, work: Work) -> JobResult:
        self.begun.append(work.job)
        try:
            return await self.cook(work)
        except asyncio.CancelledError:
            self.stopped.append(work.job)
            raise

    def hold(self) -> None:
        self.cook = forever


async def serve(work: Work) -> JobResult:
    return JobResult(text=f"{work.job.input} 드셨어요?")


async def forever(work: Work) -> JobResult:
    await asyncio.Event().wait()
    raise AssertionError


class Ready(Chain):
    """Somebody is there, and nobody asks them, because the recipes are a test's own."""

    def __init__(self) -> None:
        super().__init__([])

    def can(self, what: str, *, outside: bool) -> bool:
        return True

    def first(self, what: str, *, outside: bool) -> About | None:
        return About("near", "127.0.0.1", "story-1", is_outside=False)


def open_kitchen(patch: pytest.MonkeyPatch) -> Kitchen:
    """From now on every house that is built cooks here."""
    kitchen = Kitchen()
    patch.setattr(service, "RECIPES", dict.fromkeys(KINDS, kitchen))
    patch.setattr(service, "open_chain", lambda config: Ready())
    return kitchen


async def asked(person: Person, body: Any = REWRITE, **more: Any) -> Any:
    """A job that was taken on."""
    answer = await person.asks("POST", "/api/ai/jobs/", body, **more)
    assert answer.status == 202, answer.body
    return answer.json


async def job(person: Person, job_id: str) -> Any:
    return await person.gets(f"/api/ai/jobs/{job_id}/")


async def until(person: Person, job_id: str, *states: str, seconds: float = 20) -> Any:
    """The job as soon as it is in one of these states; by default, ended."""
    wanted = states or ("succeeded", "failed", "cancelled")
    async with asyncio.timeout(seconds):
        while True:
            found = await job(person, job_id)
            if found["state"] in wanted:
                return found
            await asyncio.sleep(0.01)


async def stored(user_id: str, **facts: Any) -> AiJob:
    """A job as it stands in the table."""
    now = clock.now()
    given = {
        "id": clock.new_id(), "user_id": user_id, "kind": "rewrite", "input": "밥 먹었어?",
        "options": '{"style": "polite"}', "asked_digest": b"", "due_at": now, "deadline_at": now + KINDS["rewrite"].longest,
        "created_at": now, "updated_at": now,
    }  # fmt: skip
    row = AiJob(**given | facts)
    await asyncio.to_thread(row.save, force_insert=True)
    return row
