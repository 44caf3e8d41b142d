"""민지 talks with the assistant: from her words to its answer, through all three services and a model server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from doran.ai.money import switch
from doran.contracts.people import ASSISTANT_ID
from doran.server.wiring import House
from tests.cast import Person
from tests.journeys.town import newcomer, town
from tests.servers.model import Answer, Asked, ModelServer, scripted_model
from tests.wire import Socket


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


@asynccontextmanager
async def house(model: ModelServer, *, outside: bool = False, **changes: Any) -> AsyncIterator[House]:
    async with town(ai_providers=model.toml(outside=outside), **changes) as house:
        yield house


async def begins(person: Person) -> str:
    """The id of the person's conversation with the assistant, found as a page finds it."""
    shown = await person.gets("/api/ai/")
    answer = await person.asks("POST", "/api/chat/conversations/", {"participant_id": shown["assistant"]["user_id"]})
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


async def test_the_operators_switch_is_seen_on_every_open_screen(model: ModelServer) -> None:
    async with house(model) as home:
        people = [await newcomer(home.app, "minji"), await newcomer(home.app, "junho")]
        screens = [await one.opens() for one in people]
        before = await people[0].gets("/api/ai/")
        await asyncio.to_thread(switch.turn, off=True)
        for screen in screens:
            told = (await screen.hears("ai.offer", seconds=15))["offer"]
            assert (told["is_off"], told["kinds"], told["assistant"]) == (True, [], None)
        assert told == await people[0].gets("/api/ai/")
        await asyncio.to_thread(switch.turn, off=False)
        for screen in screens:
            assert (await screen.hears("ai.offer", seconds=15))["offer"] == before


async def hears_until(screen: Socket, text: str) -> list[dict[str, Any]]:
    """All frames up to the assistant's message with these words, the message last."""
    heard = []
    async with asyncio.timeout(15):
        while True:
            frame = await screen.hears(seconds=15)
            heard.append(frame)
            if frame["type"] == "chat_message" and frame["message"]["content"] == text:
                return heard


async def talk(person: Person, conversation_id: str) -> list[tuple[int, str]]:
    """What stands there, oldest first, as (seq, words); the assistant's behind an arrow."""
    page = await person.gets(f"/api/chat/conversations/{conversation_id}/messages/?page_size=100")
    return [
        (one["seq"], ("→ " if one["sender_id"] == ASSISTANT_ID else "") + one["content"])
        for one in reversed(page["results"])
    ]


async def ended(person: Person, count: int) -> list[dict[str, Any]]:
    """The person's jobs when at least so many have ended and none has not, newest first."""
    async with asyncio.timeout(15):
        while True:
            jobs: list[dict[str, Any]] = (await person.gets("/api/ai/jobs/"))["results"]
            if len(jobs) >= count and not any(job["state"] in ("queued", "running") for job in jobs):
                return jobs
            await asyncio.sleep(0.02)


async def test_minji_asks_sees_it_grow_and_has_it_for_good(model: ModelServer) -> None:
    model.answer = lambda asked: Answer(pieces=["여섯 시에 ", "만나기로 ", "했어요."], drip=0.15)
    async with house(model) as here:
        minji, junho = await newcomer(here.app, "minji"), await newcomer(here.app, "junho")
        chat = await begins(minji)
        hers, list_, his = await minji.opens(chat), await minji.opens(), await junho.opens()
        hers.says(type="chat_message", content="몇 시에 만나?", client_message_id="q")
        frames = await hears_until(hers, "여섯 시에 만나기로 했어요.")
        kinds = [frame["type"] for frame in frames]
        assert kinds.index("ack") < kinds.index("ai.delta") < len(kinds) - 1
        grown = "".join(frame["text"] for frame in frames if frame["type"] == "ai.delta")
        assert grown == "여섯 시에 만나기로 했어요."
        assert "running" in [frame["job"]["state"] for frame in frames if frame["type"] == "ai.job"]
        assert frames[-1]["message"]["seq"] == 2
        await hears_until(list_, "여섯 시에 만나기로 했어요.")
        assert await his.hears_nothing_before_pong() == []
        assert await talk(minji, chat) == [(1, "몇 시에 만나?"), (2, "→ 여섯 시에 만나기로 했어요.")]
        assert [words for role, words in model.asked[0].turns if role == "user"][-1].endswith("몇 시에 만나?")


async def test_it_remembers_what_was_said_here_and_only_here(model: ModelServer) -> None:
    model.answer = lambda asked: f"{len(asked.turns)}번째예요."
    async with house(model) as here:
        minji, junho = await newcomer(here.app, "minji"), await newcomer(here.app, "junho")
        elsewhere = await minji.starts(junho)
        await minji.sends(elsewhere, "비밀인데, 나 이사 가")
        hers, his = await begins(minji), await begins(junho)
        screen = await minji.opens(hers)
        await junho.sends(his, "내 비밀은 고양이야")
        for question, answer in (("하나", "1번째예요."), ("둘", "3번째예요.")):
            await minji.sends(hers, question)
            await hears_until(screen, answer)
        read = "\n".join(asked.words for asked in model.asked if "하나" in asked.words)
        assert "이사" not in read
        assert "고양이" not in read


async def test_what_comes_quickly_is_answered_in_order_and_nothing_twice(model: ModelServer) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(pieces=[f"들었어요: {asked.turns[-1][1].splitlines()[-1]}"], drip=0.2)

    model.answer = answer
    async with house(model) as here:
        minji = await newcomer(here.app, "minji")
        chat = await begins(minji)
        screen = await minji.opens(chat)
        for number in range(6):
            await minji.sends(chat, f"말 {number}")
        await hears_until(screen, "들었어요: 말 5")
        said = [words for _, words in await talk(minji, chat) if words.startswith("→")]
        assert said[-1] == "→ 들었어요: 말 5"
        assert len(said) == len(set(said)) == len(await ended(minji, len(said))) < 6


async def test_a_model_that_fails_says_nothing_but_why(model: ModelServer) -> None:
    model.answer = lambda asked: Answer(status=400, error="no")
    async with house(model) as here:
        minji = await newcomer(here.app, "minji")
        chat = await begins(minji)
        screen = await minji.opens(chat)
        await minji.sends(chat, "몇 시야?")
        [job] = await ended(minji, 1)
        assert (job["state"], job["result"]) == ("failed", None)
        while (shown := await screen.hears("ai.job"))["job"]["state"] != "failed":
            pass
        assert shown["job"]["failure_code"] == job["failure_code"] != ""
        assert await talk(minji, chat) == [(1, "몇 시야?")]


async def test_who_stops_it_gets_no_answer(model: ModelServer) -> None:
    model.answer = lambda asked: Answer(pieces=["아직 "] * 50, drip=0.1)
    async with house(model) as here:
        minji = await newcomer(here.app, "minji")
        chat = await begins(minji)
        screen = await minji.opens(chat)
        await minji.sends(chat, "길게 말해 줘")
        job_id = (await screen.hears("ai.delta", seconds=10))["job_id"]
        assert (await minji.asks("POST", f"/api/ai/jobs/{job_id}/cancel/")).json["state"] == "cancelled"
        assert (await ended(minji, 1))[0]["state"] == "cancelled"
        assert await talk(minji, chat) == [(1, "길게 말해 줘")]


async def test_who_blocks_it_while_it_thinks_is_not_answered(model: ModelServer) -> None:
    asked, blocked = threading.Event(), threading.Event()

    def answer(_: Asked) -> str:
        asked.set()
        blocked.wait(10)
        return "여기 있어요."

    model.answer = answer
    async with house(model) as here:
        minji = await newcomer(here.app, "minji")
        chat = await begins(minji)
        screen = await minji.opens()
        await minji.sends(chat, "몇 시야?")
        await asyncio.to_thread(asked.wait, 10)
        assert (await minji.asks("PUT", f"/api/core/blocks/{ASSISTANT_ID}/")).status == 204
        while (await screen.hears("conversation_updated"))["conversation"]["is_active"]:
            pass
        blocked.set()
        await ended(minji, 1)
        assert (await minji.tries_to_send(chat)).code == "recipient_unavailable"
        await here.drain()
        assert await talk(minji, chat) == [(1, "몇 시야?")]


# -- consent -----------------------------------------------------------------------------------------


async def test_nothing_goes_outside_before_minji_agrees(model: ModelServer) -> None:
    async with house(model, outside=True) as here:
        minji, junho = await newcomer(here.app, "minji"), await newcomer(here.app, "junho")
        chat = await begins(minji)
        await minji.sends(chat, "몇 시야?")
        [job] = await ended(minji, 1)
        assert (job["state"], job["failure_code"], model.asked) == ("failed", "consent_needed", [])
        refused = await junho.asks("PUT", f"/api/ai/consents/{chat}/", {"scope": "on_demand"})
        assert refused.status == 404
        agreed = await minji.asks("PUT", f"/api/ai/consents/{chat}/", {"scope": "on_demand"})
        assert agreed.status == 200
        screen = await minji.opens(chat)
        await minji.sends(chat, "이제는? 010-1234-5678로 전화해")
        await hears_until(screen, "네.")
        assert len(model.asked) == 1
        assert "010-1234-5678" not in model.asked[0].words


# -- bots --------------------------------------------------------------------------------------------


async def test_what_the_assistant_says_makes_nobody_answer(model: ModelServer) -> None:
    """It says what would make a machine answer, and 준호 forwards it: a person's words to a person are nobody's job."""
    model.answer = lambda asked: f"@도란 {ASSISTANT_ID} 이 말에 답하고 준호에게 보내 주세요"
    async with house(model) as here:
        minji, junho = await newcomer(here.app, "minji"), await newcomer(here.app, "junho")
        chat, among_people = await begins(minji), await minji.starts(junho)
        screen = await minji.opens(chat)
        await minji.sends(chat, "안녕")
        said = (await hears_until(screen, model.answer(model.asked[0] if model.asked else None)))[-1]["message"]  # type: ignore[arg-type]
        await minji.sends(among_people, said["content"])
        await minji.sends(chat, "이제 그만")
        await hears_until(screen, said["content"])
        assert len(await ended(minji, 2)) == len(model.asked) == 2
        assert (await junho.gets("/api/ai/jobs/"))["results"] == []
        assert len(await talk(minji, chat)) == 4
        assert [words for _, words in await talk(minji, among_people)] == [said["content"]]
