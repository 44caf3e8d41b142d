"""민지 asks her own history: the whole way, from two people's consent over a model server to a deletion."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from doran.ai.models import Embedding
from doran.server.wiring import House
from tests import stores
from tests.ai.kitchen import asked, until
from tests.cast import Person
from tests.journeys.town import town
from tests.servers.model import Asked, ModelServer, scripted_model
from tests.stage import eventually
from tests.wire import refuses

NUMBER = "010-2345-6789"
QUESTION = {"kind": "ask", "input": "약속이 언제였지?"}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        model.answer = says
        yield model


@pytest.fixture
async def house(model: ModelServer) -> AsyncIterator[House]:
    async with town(ai_providers=model.toml(embedding_model="toy", outside=True)) as house:
        yield house


def says(asked: Asked) -> str:
    """Tells all that it was shown, and cites whatever speaks of the appointment."""
    read = "".join(text for _, text in asked.turns)
    cited = [int(number) for number in re.findall(r'"n": (\d+)[^\n]*약속은', read)]
    heard = " ".join(re.findall(r'"text": "([^"]*)"', read))
    return f'{{"answer": "{heard}", "citations": {cited}}}'


async def allow(conversation_id: str, scope: str, *people: Person) -> None:
    for one in people:
        answer = await one.asks("PUT", f"/api/ai/consents/{conversation_id}/", {"scope": scope})
        assert answer.status == 200, answer.body


async def answered(person: Person, question: Any = QUESTION) -> Any:
    job = await until(person, (await asked(person, question))["id"])
    assert job["state"] == "succeeded", job
    return job


async def unanswered(person: Person) -> Any:
    job = await until(person, (await asked(person, QUESTION))["id"])
    assert job["state"] == "failed", job
    return job


def kept(house: House) -> str:
    """All of ai's answers, vectors, jobs and what it has yet to say."""
    tables = ("aijob", "airesponse", "embedding", "translation", "outbox", "disclosure")
    return str([stores.say(house.config.ai_database, f"SELECT * FROM ai_{table}") for table in tables])


async def test_an_answer_comes_from_my_own_history_and_says_from_where(
    house: House, model: ModelServer, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    said = [await junho.sends(talk, "우리 약속은 일곱 시야"), await minji.sends(talk, f"내 번호는 {NUMBER}")]
    other = await minji.starts(sora)
    await sora.sends(other, "소라와의 약속은 비밀")
    await allow(talk, "history", minji, junho)
    await allow(other, "history", minji)
    job = await answered(minji)
    assert [one["message_id"] for one in job["result"]["citations"]] == [said[0]["id"]]
    assert "일곱 시" in job["result"]["text"]
    assert NUMBER in job["result"]["text"]  # hidden on its way out, and back again
    gone_out = "\n".join(one.words for one in model.asked)
    assert "일곱 시" in gone_out
    assert NUMBER not in gone_out
    assert "비밀" not in gone_out
    lines = (await junho.gets("/api/ai/disclosures/"))["results"]
    assert {(one["kind"], one["asked_by"], one["is_outside"], one["messages"]) for one in lines} == {
        ("ask", minji.id, True, 1)
    }
    assert (await sora.gets("/api/ai/disclosures/"))["results"] == []
    assert (await sora.gets("/api/ai/export/"))["jobs"] == []


async def test_somebody_else_finds_nothing_of_it(
    model: ModelServer, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    await junho.sends(talk, "우리 약속은 일곱 시야")
    await allow(talk, "history", minji, junho)
    await answered(minji)
    asked_before = len(model.asked)
    assert (await unanswered(sora))["failure_code"] == "consent_needed"
    assert len(model.asked) == asked_before
    refused = await asked(sora, {"kind": "embed", "conversation_id": talk})
    assert (await until(sora, refused["id"]))["failure_code"] == "not_found"


async def test_a_deletion_takes_the_answer_with_it_and_an_edit_the_old_words(
    house: House, model: ModelServer, minji: Person, junho: Person, talk: str
) -> None:
    said = await junho.sends(talk, "우리 약속은 일곱 시야")
    later = await junho.sends(talk, "그 약속은 취소하자")
    await allow(talk, "history", minji, junho)
    job = await answered(minji)
    await junho.edits(later, "아니야 그대로 하자")
    await junho.deletes(said)
    await eventually(lambda: "일곱 시" not in kept(house), seconds=10)
    assert (await minji.gets(f"/api/ai/jobs/{job['id']}/"))["result"]["forgotten"]
    rest = await answered(minji)
    assert "일곱" not in str(rest)
    assert "취소" not in "\n".join(one.words for one in model.asked[-1:])


def embedded(house: House) -> str:
    return str(stores.say(house.config.ai_database, "SELECT message_id FROM ai_embedding"))


async def test_what_is_said_later_is_found_without_a_search_in_between(
    house: House, model: ModelServer, minji: Person, junho: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from doran.ai.retrieval import keeping_up

    monkeypatch.setattr(keeping_up, "DELAY", 0.0)
    await allow(talk, "history", minji, junho)
    await answered(minji, {"kind": "semantic_search", "input": "약속"})
    said = await junho.sends(talk, "우리 약속은 일곱 시야")
    await eventually(lambda: said["id"] in embedded(house), seconds=10)


async def test_consent_that_is_taken_back_stops_it_at_the_next_door(
    house: House, model: ModelServer, minji: Person, junho: Person, talk: str
) -> None:
    await junho.sends(talk, "우리 약속은 일곱 시야")
    await allow(talk, "history", minji, junho)
    await answered(minji)
    asked_before = len(model.asked)
    await allow(talk, "off", junho)
    assert "일곱 시" not in str(await asyncio.to_thread(lambda: list(Embedding.objects.values())))
    assert (await unanswered(minji))["failure_code"] == "consent_needed"
    assert len(model.asked) == asked_before
    refuses(await minji.asks("GET", "/api/ai/consents/nonsense/"), 404, "not_found")
