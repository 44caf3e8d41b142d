"""The guide's bodies are taken as they are written there, and its answers have the fields that it shows."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from doran.server.wiring import House
from tests.ai.conftest import home, person
from tests.ai.kitchen import until
from tests.ai.neighbours import Chat, beside
from tests.servers.model import Asked, ModelServer, scripted_model

GUIDE = (Path(__file__).resolve().parents[2] / "docs/guides/ai.md").read_text("utf-8")
BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)]
CURLED = [json.loads(body) for body in re.findall(r"-d '(\{\"kind.*?\})'", GUIDE, re.DOTALL)]


def block(*fields: str) -> Any:
    """The one body of the guide with these fields first."""
    (found,) = [one for one in BLOCKS if tuple(one)[: len(fields)] == fields]
    return found


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        model.answer = answered
        yield model


def answered(asked: Asked) -> str:
    return json.dumps(
        {"summary": "약속했어요.", "cited": [1], "answer": "일곱 시요.", "citations": [1]}, ensure_ascii=False
    )


@pytest.fixture
async def house(model: ModelServer) -> AsyncIterator[House]:
    async with home(ai_providers=model.toml(embedding_model="vectors")) as house:
        yield house


@pytest.fixture
def chat(house: House) -> Iterator[Chat]:
    with beside() as chat:
        yield chat


async def test_every_body_of_the_guide_is_taken_as_written(house: House, chat: Chat) -> None:
    minji, junho = person(house, "민지"), person(house, "준호")
    talk = chat.starts(minji.id, junho.id)
    said = [chat.says(talk, one.id, f"약속은 일곱 시야 {number}") for number, one in enumerate((junho, minji) * 65)]
    for one in (minji, junho):
        answer = await one.asks("PUT", f"/api/ai/consents/{talk.id}/", block("scope"))
        assert (answer.status, {*answer.json}) == (200, {*block("conversation_id", "mine")})
    assert (await minji.gets(f"/api/ai/consents/{talk.id}/"))["agreed"] == block("scope")["scope"]
    bodies = [{**block("kind", "conversation_id"), "conversation_id": talk.id}, *CURLED]
    assert len(bodies) == 3
    for body in bodies:
        answer = await minji.asks("POST", "/api/ai/jobs/", body)
        assert answer.status == 202, (body, answer.body)
        done = await until(minji, answer.json["id"])
        assert (done["state"], done["failure_code"]) == ("succeeded", ""), body
    assert {*(await minji.gets("/api/ai/"))} == {*block("kinds")}
    (first, *_) = (await minji.gets("/api/ai/disclosures/"))["results"]
    assert {*block("at", "kind")} <= {*first}
    assert said
