"""A number that was hidden from a provider comes back as itself, however the model wrote its placeholder; or nothing does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from doran.ai.models import AiJob, AiResponse, Outbox
from doran.contracts.people import ASSISTANT_ID
from doran.server.wiring import House
from tests.ai.conftest import home, person
from tests.ai.kitchen import asked, until
from tests.ai.neighbours import Chat, beside
from tests.ai.privacy.conftest import allows
from tests.cast import Person
from tests.servers.model import Asked, ModelServer, scripted_model

NUMBER, OTHER = "010-2345-6789", "010-9999-0000"


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


@pytest.fixture
async def house(model: ModelServer) -> AsyncIterator[House]:
    async with home(ai_providers=model.toml(outside=True)) as house:
        yield house


@pytest.fixture
def chat(house: House) -> Iterator[Chat]:
    with beside() as chat:
        yield chat


async def question(kind: str, house: House, chat: Chat, minji: Person) -> dict[str, Any]:
    """What somebody said holds a number of each of two people."""
    junho = person(house, "준호")
    talk = chat.starts(minji.id, ASSISTANT_ID if kind == "reply" else junho.id)
    said = f"준호는 {NUMBER}, 소라는 {OTHER}"
    chat.says(talk, minji.id, said)
    for one in (minji,) if kind == "reply" else (minji, junho):
        await allows(one, talk.id, "on_demand")
    facts: dict[str, dict[str, Any]] = {
        "rewrite": {"input": said, "options": {"style": "shorter"}},
        "summarize": {"conversation_id": talk.id, "options": {"since_seq": 0}},
    }
    return {"kind": kind, **facts.get(kind, {"conversation_id": talk.id})}


def saying(kind: str, placeholder: Callable[[str], str]) -> Callable[[Asked], list[str]]:
    """A model that writes the first number's placeholder its own way, a letter at a time."""

    def answer(asked: Asked) -> list[str]:
        assert NUMBER not in asked.words
        (first, *_) = re.findall(r"⟦PHONE\d⟧", asked.words.partition("준호는 ")[2])
        words = f"준호는 {placeholder(first)}로 걸어요"
        forms: dict[str, Any] = {
            "summarize": {"summary": words, "cited": [1]},
            "smart_replies": {"replies": [words, "응", "왜?"]},
        }
        return list(json.dumps(forms[kind], ensure_ascii=True) if kind in forms else words)

    return answer


WAYS: dict[str, Callable[[str], str]] = {
    "as given": lambda one: one,
    "square": lambda one: f"[{one[1:-1]}]",
    "small": lambda one: one.lower(),
    "spaces": lambda one: f"[ {one[1:-2]} {one[-2]} ]",
    "bare": lambda one: one[1:-1],
    "translated": lambda one: f"[전화번호{one[-2]}]",
    "half": lambda one: one[:-1],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["reply", "summarize", "smart_replies", "rewrite"])
async def test_a_hidden_number_comes_back_as_itself(
    house: House, chat: Chat, model: ModelServer, minji: Person, kind: str, way: str
) -> None:
    model.answer = saying(kind, WAYS[way])
    done = await until(minji, (await asked(minji, await question(kind, house, chat, minji)))["id"])
    assert (done["state"], done["failure_code"]) == ("succeeded", "")
    words = done["result"].get("text") or done["result"]["replies"][0]
    assert words == f"준호는 {NUMBER}로 걸어요"


def everything() -> str:
    rows = [
        *AiJob.objects.values_list("partial"),
        *AiResponse.objects.values_list("data"),
        *Outbox.objects.values_list("data"),
    ]
    return "\n".join(value for (value,) in rows)


@pytest.mark.parametrize("kind", ["reply", "summarize", "smart_replies", "rewrite"])
@pytest.mark.parametrize("invented", ["⟦PHONE7⟧", "[PHONE7]", "⟦CARD1⟧", "⟦번호1⟧"])
async def test_an_answer_with_an_invented_one_is_refused(
    house: House, chat: Chat, model: ModelServer, minji: Person, kind: str, invented: str
) -> None:
    model.answer = saying(kind, lambda one: f"{one} 아니면 {invented}")
    done = await until(minji, (await asked(minji, await question(kind, house, chat, minji)))["id"])
    assert (done["state"], done["failure_code"], done["partial"]) == ("failed", "invalid_answer", "")
    assert invented.strip("⟦[]⟧") not in await asyncio.to_thread(everything)
