"""People talk with the assistant while both copies of ai, a chat and the broker are killed and frozen: each question is
answered once, behind it, and nobody else's is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from doran.ai.jobs.claiming import LEASE
from doran.contracts.people import ASSISTANT_ID
from doran.verify.client import Answer as HttpAnswer
from doran.verify.client import Lost, Unreachable
from tests.cluster.quarter import TWO_AIS, Quarter, conversation, people, quarter
from tests.servers.databases import MariaDB
from tests.servers.model import Answer, Asked, scripted_model
from tests.servers.process import private
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420), pytest.mark.judged]

QUESTIONS = 8
PEOPLE = 3


def answer(asked: Asked) -> Answer:
    question = asked.turns[-1][1].splitlines()[-1]
    return Answer(pieces=["답: ", question, "."], drip=0.1)


@dataclass
class Curious:
    """Somebody who asks the assistant one thing after another, each when the last one is answered."""

    town: Quarter
    token: str
    chat: str
    name: str
    longest: float = 0.0

    async def asks_all(self) -> None:
        for number in range(QUESTIONS):
            text = self.question(number)
            begun = asyncio.get_running_loop().time()
            await self._insistently("POST", "messages/send/", {"content": text, "client_message_id": f"q-{number}"})
            async with asyncio.timeout(90):
                while f"답: {text}." not in [words for _, words in await self.sees()]:  # noqa: ASYNC110  others do it
                    await asyncio.sleep(0.2)
            self.longest = max(self.longest, asyncio.get_running_loop().time() - begun)
            await asyncio.sleep(1)  # to think of the next one

    def question(self, number: int) -> str:
        return f"{self.name}의 {number}번째 물음"

    async def sees(self) -> list[tuple[str, str]]:
        """(sender, words), oldest first."""
        page = await self._insistently("GET", "messages/?page_size=100")
        return [(one["sender_id"], one["content"]) for one in reversed(page["results"])]

    async def _insistently(self, method: str, path: str, body: Any = None) -> Any:
        while True:
            answered = await self._once(method, f"/api/chat/conversations/{self.chat}/{path}", body)
            if answered is not None and answered.status in (200, 201):
                return answered.body
            assert answered is None or answered.status >= 500, answered
            await asyncio.sleep(0.2)

    async def _once(self, method: str, path: str, body: Any) -> HttpAnswer | None:
        try:
            return await self.town.gate.ask(method, path, token=self.token, body=body)
        except (Unreachable, Lost):
            return None


async def test_each_question_is_answered_once_whatever_is_killed_or_frozen(tmp_path: Path, database: MariaDB) -> None:
    with scripted_model() as model, private(RedisServer) as redis, private(RabbitMQServer) as broker:
        model.answer = answer
        engines = {"DORAN_REDIS": redis.url, "DORAN_BUS": broker.url, "DORAN_AI_PROVIDERS": model.toml()}
        async with quarter(tmp_path, database, copies=TWO_AIS, **engines) as town:
            curious = [await comes(town, *one, number) for number, one in enumerate(await people(town, PEOPLE))]
            asking = [asyncio.ensure_future(one.asks_all()) for one in curious]
            await rages(town, broker)
            await asyncio.gather(*asking)
            await asyncio.sleep(1)  # for an answer too many
            for one in curious:
                said = await one.sees()
                questions = [one.question(number) for number in range(QUESTIONS)]
                assert [words for _, words in said] == [w for q in questions for w in (q, f"답: {q}.")]
                assert {sender for sender, _ in said[1::2]} == {ASSISTANT_ID}
            assert max(one.longest for one in curious) < 60


async def comes(town: Quarter, token: str, user_id: str, number: int) -> Curious:
    chat = await conversation(town, (token, user_id), ("", ASSISTANT_ID))
    return Curious(town, token, chat, ("민지", "준호", "소라")[number])


async def rages(town: Quarter, broker: RabbitMQServer) -> None:
    """One thing after another, each with time to be noticed."""
    await asyncio.sleep(1.5)
    await crashes(town, "ai_1")
    await asyncio.sleep(1)
    async with frozen(town, "ai_2"):  # so long that its work is taken over, and it comes back with an answer too many
        await asyncio.sleep(LEASE.total_seconds() + 3)
    await crashes(town, "chat_1")
    broker.freeze()
    await asyncio.sleep(2)
    broker.thaw()
    await asyncio.sleep(1)
    await asyncio.gather(crashes(town, "ai_1"), crashes(town, "ai_2"))


async def crashes(town: Quarter, name: str) -> None:
    await town.parts[name].kill()
    await town.parts[name].start()


@asynccontextmanager
async def frozen(town: Quarter, name: str) -> AsyncIterator[None]:
    town.parts[name].pause()
    try:
        yield
    finally:
        town.parts[name].go_on()
