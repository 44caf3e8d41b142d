"""What a model thinks before it answers: nobody sees it, nothing keeps it, no one is sent it, and no model reads it again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from doran.ai.models import AiJob, AiResponse, Outbox
from doran.contracts.people import ASSISTANT_ID
from doran.server.wiring import House
from tests.ai.conftest import home, person
from tests.ai.kitchen import asked, job, until
from tests.ai.neighbours import Chat, beside
from tests.ai.privacy.conftest import allows
from tests.cast import Person
from tests.servers.model import Answer, ModelServer, scripted_model

SECRET = "그가 뭘 원하는지 잘 모르겠다"
THOUGHTS = {
    "marked": f"<think>\n{SECRET}\n</think>\n\n",
    "unmarked": f"{SECRET}\n</think>\n\n",
    "harmony": f"<|channel|>analysis<|message|>{SECRET}<|end|><|start|>assistant<|channel|>final<|message|>",
}
ANSWERS = {
    "reply": "일곱 시에 만나요.",
    "summarize": json.dumps({"summary": "일곱 시에 만나요.", "cited": [1]}, ensure_ascii=False),
    "rewrite": "일곱 시에 만나요.",
    "translate": "Let us meet at seven.",
    "smart_replies": json.dumps({"replies": ["좋아", "어려워", "몇 시?"]}, ensure_ascii=False),
}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


@pytest.fixture
async def house(model: ModelServer) -> AsyncIterator[House]:
    async with home(ai_providers=model.toml()) as house:
        yield house


@pytest.fixture
def chat(house: House) -> Iterator[Chat]:
    with beside() as chat:
        yield chat


async def question(kind: str, house: House, chat: Chat, minji: Person) -> dict[str, Any]:
    other = ASSISTANT_ID if kind == "reply" else (junho := person(house, "준호")).id
    talk = chat.starts(minji.id, other)
    said = chat.says(talk, minji.id, "몇 시에 만날까?")
    if kind == "reply":
        chat.says(talk, other, f"<think>{SECRET}</think>언제가 좋으세요?")  # said before reasoning was taken out
        chat.says(talk, minji.id, "일곱 시")
    else:
        for one in (minji, junho):
            await allows(one, talk.id, "on_demand")
    facts: dict[str, dict[str, Any]] = {
        "rewrite": {"input": "일곱 시에 봐", "options": {"style": "polite"}},
        "translate": {"message_id": said.id, "options": {"target": "en"}},
        "summarize": {"conversation_id": talk.id, "options": {"since_seq": 0}},
    }
    return {"kind": kind, **facts.get(kind, {"conversation_id": talk.id})}


def everything() -> str:
    """All that is kept of answers, and all that waits to be said."""
    rows = [
        *AiJob.objects.values_list("partial"),
        *AiResponse.objects.values_list("data"),
        *Outbox.objects.values_list("data"),
    ]
    return "\n".join(value for (value,) in rows)


@pytest.mark.parametrize("thought", THOUGHTS)
@pytest.mark.parametrize("kind", ANSWERS)
async def test_reasoning_is_nowhere(
    house: House, chat: Chat, model: ModelServer, minji: Person, kind: str, thought: str
) -> None:
    model.answer = lambda asked: THOUGHTS[thought] + ANSWERS[kind]
    facts = await question(kind, house, chat, minji)
    for _ in range(2):
        done = await until(minji, (await asked(minji, facts))["id"])
        assert (done["state"], done["failure_code"]) == ("succeeded", "")
        assert any(
            one in json.dumps(done["result"], ensure_ascii=False) for one in ("일곱 시에 만나요.", "seven", "좋아")
        )
        assert SECRET not in json.dumps(done, ensure_ascii=False)
    assert SECRET not in await asyncio.to_thread(everything)
    assert not [one for one in model.asked if SECRET in one.words]


async def following(who: Person, job_id: str) -> AsyncIterator[Any]:
    """The job again and again."""
    while True:
        yield await job(who, job_id)


@pytest.mark.parametrize("thought", THOUGHTS)
async def test_no_draft_holds_what_it_thought_once_it_has_ended_its_thought(
    house: House, chat: Chat, model: ModelServer, minji: Person, thought: str
) -> None:
    model.next = [Answer(pieces=[*THOUGHTS[thought], "일곱 ", "시에 "], hang=len(THOUGHTS[thought]) + 2)]
    begun = await asked(minji, await question("rewrite", house, chat, minji))
    draft = await until(minji, begun["id"], "running")
    async with asyncio.timeout(20):
        async for draft in following(minji, begun["id"]):
            if draft["partial"].startswith("일곱"):
                break
    assert SECRET not in draft["partial"]
    await minji.asks("POST", f"/api/ai/jobs/{begun['id']}/cancel/", {})


async def test_an_answer_that_is_nothing_but_a_thought_fails(
    house: House, chat: Chat, model: ModelServer, minji: Person
) -> None:
    model.answer = lambda asked: f"<think>{SECRET}"
    done = await until(minji, (await asked(minji, await question("reply", house, chat, minji)))["id"])
    assert (done["state"], done["failure_code"], done["partial"]) == ("failed", "invalid_answer", "")
    assert SECRET not in await asyncio.to_thread(everything)
