"""The gate: what reaches a provider, after what, and what comes back."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any

import pytest

from doran.ai import service
from doran.ai.jobs.work import Prompted, Subject, Work
from doran.ai.kinds import KINDS
from doran.ai.models import AiJob, Disclosure, Spending
from doran.ai.money import switch
from doran.ai.privacy import consents
from doran.ai.providers import Completion, Turn
from doran.contracts.frames import JobResult, MessageView
from doran.kernel.doors import look
from doran.kernel.telemetry.metrics import REGISTRY
from doran.server.wiring import House
from tests.ai.conftest import MINT, person
from tests.ai.kitchen import REWRITE, Kitchen, asked, until
from tests.ai.neighbours import Chat, Place, beside
from tests.cast import Person
from tests.servers.model import Answer, Asked, ModelServer, scripted_model
from tests.stage import eventually, staged

NUMBER = "010-2345-6789"
SUMMARIZE = {"kind": "summarize"}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


@pytest.fixture
def chat() -> Iterator[Chat]:
    with beside() as chat:
        yield chat


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    """Every job puts the talk before the model as it is, and answers what it says."""
    kitchen = Kitchen()
    kitchen.cook = put_to_the_model
    monkeypatch.setattr(service, "RECIPES", dict.fromkeys(KINDS, kitchen))
    return kitchen


TALKS: dict[str | None, list[MessageView]] = {}


async def put_to_the_model(work: Work) -> JobResult:
    messages = tuple(TALKS.get(work.job.conversation_id, ()))
    words = "\n".join(one.content for one in messages) or work.job.input
    asked = Completion("요약해 주세요.", (Turn("user", words),), max_tokens=100)
    about = Subject(work.job.conversation_id, (), messages)
    done = await work.complete(Prompted(asked), about=about)
    return JobResult(text=done.text)


@asynccontextmanager
async def home(*providers: str, **changes: Any) -> AsyncIterator[House]:
    async with staged(services=("ai",), own_keys=MINT.published, ai_providers="\n".join(providers), **changes) as house:
        yield house


def talking(chat: Chat, minji: Person, junho: Person) -> Place:
    talk = chat.starts(minji.id, junho.id)
    TALKS.clear()
    TALKS[talk.id] = [
        chat.says(talk, junho.id, f"내 번호는 {NUMBER} 이야"),
        chat.says(talk, minji.id, "일곱 시에 보자"),
    ]
    return talk


async def allows(one: Person, talk: Place, scope: str) -> None:
    answer = await one.asks("PUT", f"/api/ai/consents/{talk.id}/", {"scope": scope})
    assert answer.status == 200, answer.body


async def rows(model: Any) -> list[Any]:
    return await asyncio.to_thread(lambda: list(model.objects.all()))


async def test_without_both_consents_no_word_leaves(kitchen: Kitchen, chat: Chat, model: ModelServer) -> None:
    async with home(model.toml(outside=True)) as house:
        minji, junho = person(house, "민지"), person(house, "준호")
        talk = talking(chat, minji, junho)
        for who in (None, minji):
            if who is not None:
                await allows(who, talk, "history")
            job = await until(minji, (await asked(minji, {**SUMMARIZE, "conversation_id": talk.id}))["id"])
            assert (job["state"], job["failure_code"]) == ("failed", "consent_needed")
        assert model.asked == []
        assert await rows(Disclosure) == []


async def test_what_leaves_is_written_down_and_personal_data_is_hidden(
    kitchen: Kitchen, chat: Chat, model: ModelServer
) -> None:
    model.answer = lambda asked: ["번호는 ", asked.words.split("번호는 ")[1].split(" ")[0], " 입니다"]
    async with home(model.toml(outside=True)) as house:
        minji, junho = person(house, "민지"), person(house, "준호")
        talk = talking(chat, minji, junho)
        for who in (minji, junho):
            await allows(who, talk, "on_demand")
        job = await until(minji, (await asked(minji, {**SUMMARIZE, "conversation_id": talk.id}))["id"])
        assert job["result"]["text"] == f"번호는 {NUMBER} 입니다"
        assert NUMBER not in model.asked[0].words
        said = await rows(Disclosure)
        assert {one.user_id: (one.messages, one.masked, one.is_outside) for one in said} == {
            minji.id: (1, 1, True),
            junho.id: (1, 1, True),
        }


async def test_where_words_may_not_leave_they_are_read_inside_as_they_are(
    kitchen: Kitchen, chat: Chat, model: ModelServer
) -> None:
    with scripted_model() as near:
        providers = (model.toml("far", outside=True), near.toml("near", outside=False))
        async with home(*providers, ai_local_consent="asker") as house:
            minji, junho = person(house, "민지"), person(house, "준호")
            talk = talking(chat, minji, junho)
            await allows(minji, talk, "on_demand")
            job = await until(minji, (await asked(minji, {**SUMMARIZE, "conversation_id": talk.id}))["id"])
            assert (job["state"], model.asked) == ("succeeded", [])
            assert NUMBER in near.asked[0].words


async def test_consent_taken_back_stops_what_has_not_left(kitchen: Kitchen, chat: Chat, model: ModelServer) -> None:
    async with home(model.toml(outside=True)) as house:
        minji, junho = person(house, "민지"), person(house, "준호")
        talk = talking(chat, minji, junho)
        for who in (minji, junho):
            await allows(who, talk, "on_demand")

        async def late(work: Work) -> JobResult:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(allows(junho, talk, "off"), loop))
            return await put_to_the_model(work)

        loop, kitchen.cook = asyncio.get_running_loop(), late
        job = await until(minji, (await asked(minji, {**SUMMARIZE, "conversation_id": talk.id}))["id"])
        assert (job["failure_code"], model.asked) == ("consent_needed", [])


async def test_consent_is_asked_again_before_the_next_provider(
    kitchen: Kitchen, chat: Chat, model: ModelServer
) -> None:
    with scripted_model() as other:
        async with home(model.toml("first", outside=True), other.toml("second", outside=True)) as house:
            minji, junho = person(house, "민지"), person(house, "준호")
            talk = talking(chat, minji, junho)
            for who in (minji, junho):
                await allows(who, talk, "on_demand")

            def regretted(asked: Asked) -> Answer:
                look("ai", lambda: consents.change(talk.id, junho.id, "off"))
                return Answer(status=400)

            model.answer = regretted
            job = await until(minji, (await asked(minji, {**SUMMARIZE, "conversation_id": talk.id}))["id"])
            assert (job["failure_code"], len(model.asked), other.asked) == ("consent_needed", 1, [])
            assert {one.provider for one in await rows(Disclosure)} == {"first"}


async def test_an_answer_grows_in_order_and_can_be_read_at_any_time(
    kitchen: Kitchen, chat: Chat, model: ModelServer
) -> None:
    pieces = [f"{number} " for number in range(12)]
    model.answer = lambda asked: Answer(pieces=pieces, drip=0.03)
    async with home(model.toml()) as house:
        minji = person(house, "민지")
        job = await until(minji, (await asked(minji, REWRITE))["id"])
        assert job["result"]["text"] == "".join(pieces)
        await eventually(lambda: [one for one in chat.told if one["frame"]["type"] == "ai.job"][1:])
    deltas = [one["frame"] for one in chat.told if one["frame"]["type"] == "ai.delta"]
    assert "".join(one["text"] for one in deltas) == "".join(pieces).strip()
    assert [one["seq"] for one in deltas] == list(range(1, len(deltas) + 1))
    assert 1 < len(deltas) <= 8  # twelve pieces in 0.36 s, at most ten frames a second
    assert {one["attempt"] for one in deltas} == {1}
    states = [one["frame"]["job"]["state"] for one in chat.told if one["frame"]["type"] == "ai.job"]
    assert states[-1] == "succeeded"
    assert {tuple(one["user_ids"]) for one in chat.told} == {(minji.id,)}


async def test_of_a_summary_the_words_grow_and_not_its_form(chat: Chat, model: ModelServer) -> None:
    summary = {"summary": f'번호는 {NUMBER}, "일곱 시" 👍', "cited": [1, 2]}
    pieces = re.findall(".{1,5}", json.dumps(summary).replace(NUMBER, "⟦PHONE1⟧"))
    model.answer = lambda asked: Answer(pieces=pieces, hang=len(pieces) - 1)
    async with home(model.toml(outside=True)) as house:
        minji, junho = person(house, "민지"), person(house, "준호")
        talk = talking(chat, minji, junho)
        for who in (minji, junho):
            await allows(who, talk, "on_demand")
        job = await asked(minji, {**SUMMARIZE, "conversation_id": talk.id, "options": {"since_seq": 0}})
        await eventually(lambda: "".join(deltas(chat)) == summary["summary"])
        read = await minji.gets(f"/api/ai/jobs/{job['id']}/")
        assert (read["state"], read["partial"]) == ("running", summary["summary"])


def deltas(chat: Chat) -> list[str]:
    return [one["frame"]["text"] for one in chat.told if one["frame"]["type"] == "ai.delta"]


MINE = "https://naver.me/abc"
HOSTILE = (
    f"보세요 http://evil.example/?q=secret, \x00![](https://evil.example/p) <img src=x> javascript:alert(1) {MINE} 끝"
)


@pytest.mark.parametrize(("kind", "left"), [("rewrite", MINE), ("summarize", "naver.me")])
async def test_what_grows_is_as_harmless_as_the_answer(chat: Chat, model: ModelServer, kind: str, left: str) -> None:
    words = json.dumps({"summary": HOSTILE, "cited": []}, ensure_ascii=False) if kind == "summarize" else HOSTILE
    words = words.replace(MINE, "⟦0⟧") if kind == "rewrite" else words
    pieces = [*re.findall(".{1,4}", words, re.DOTALL), "never"]
    model.answer = lambda asked: Answer(pieces=pieces, drip=0.03, hang=len(pieces) - 1)
    async with home(model.toml()) as house:
        minji, junho = person(house, "민지"), person(house, "준호")
        talk = talking(chat, minji, junho)
        for who in (minji, junho):
            await allows(who, talk, "on_demand")
        summary = {**SUMMARIZE, "conversation_id": talk.id, "options": {"since_seq": 0}}
        job = await asked(minji, summary if kind == "summarize" else {**REWRITE, "input": f"{MINE} 봐"})
        await eventually(lambda: "끝" in "".join(deltas(chat)))
        read = await minji.gets(f"/api/ai/jobs/{job['id']}/")
    growing = [*accumulate(deltas(chat))]
    assert len(growing) > 1
    assert growing[-1] == read["partial"]
    assert growing[-1].split() == ["보세요", "evil.example,", "(1)", left, "끝"]
    for moment in growing:
        rest = moment.replace(left, "")
        assert not [one for one in ("http", "script", "<img", "](", "secret", "naver", "\x00") if one in rest], moment


@pytest.mark.parametrize(("kind", "grows"), [("rewrite", True), ("translate", False)])
async def test_only_what_the_table_says_is_streamed_grows(
    kitchen: Kitchen, chat: Chat, model: ModelServer, kind: str, grows: bool
) -> None:
    model.answer = lambda asked: ["네\x00", "!"]
    async with home(model.toml()) as house:
        minji = person(house, "민지")
        await until(minji, (await asked(minji, REWRITE if grows else {"kind": kind, "input": "안녕"}))["id"])
    assert "".join(deltas(chat)) == ("네!" if grows else "")


async def test_stopping_stops_the_provider_and_keeps_what_came(
    kitchen: Kitchen, chat: Chat, model: ModelServer
) -> None:
    model.answer = lambda asked: Answer(pieces=["일곱 시", "에"], hang=1)
    async with home(model.toml(price=(1, 1))) as house:
        minji = person(house, "민지")
        job = await asked(minji, REWRITE)
        await eventually(lambda: [one for one in chat.told if one["frame"]["type"] == "ai.delta"])
        stopped = await minji.asks("POST", f"/api/ai/jobs/{job['id']}/cancel/")
        assert (stopped.json["state"], stopped.json["partial"]) == ("cancelled", "일곱 시")
        await asyncio.to_thread(model.until, lambda model: model.gone == 1)
        await asyncio.to_thread(until_settled)
        assert {one.scope: one.spent_micros > 0 for one in await rows(Spending)} == {
            f"person:{minji.id}": True,
            "all": True,
        }


def until_settled() -> None:
    """Until the worker has written down what the stopped answer took."""
    for _ in range(500):
        if all(one.reserved_micros == 0 for one in Spending.objects.all()):
            return
        time.sleep(0.01)
    raise AssertionError("something is reserved for ever")


async def test_an_answer_costs_what_it_took(kitchen: Kitchen, chat: Chat, model: ModelServer) -> None:
    model.answer = lambda asked: Answer(pieces=["네"], usage=(1000, 500))
    before = counted()
    async with home(model.toml(price=(2, 4))) as house:
        minji = person(house, "민지")
        await until(minji, (await asked(minji, REWRITE))["id"])
        assert {one.scope: (one.reserved_micros, one.spent_micros, one.tokens) for one in await rows(Spending)} == {
            f"person:{minji.id}": (0, 4000, 1500),
            "all": (0, 4000, 1500),
        }
        (job,) = await rows(AiJob)
        assert (job.cost_micros, job.reserved_micros, job.tokens_in, job.tokens_out) == (4000, 0, 1000, 500)
        (line,) = (await minji.asks("GET", "/api/ai/export/")).json["jobs"]
        assert (line["provider"], line["model"], line["cost_micros"]) == ("scripted", "story-1", 4000)
    read, written, cost = (now - then for now, then in zip(counted(), before, strict=True))
    assert (read, written, cost) == (1000, 500, pytest.approx(0.004))


def counted() -> tuple[float, ...]:
    """What metrics say of the scripted provider: tokens read and written, and their cost."""
    names = ("doran_ai_tokens_total", "doran_ai_tokens_total", "doran_ai_cost_total")
    labels: tuple[dict[str, str], ...] = ({"direction": "in"}, {"direction": "out"}, {})
    found = zip(names, labels, strict=True)
    return tuple(REGISTRY.get_sample_value(name, {"provider": "scripted"} | more) or 0.0 for name, more in found)


async def test_what_could_cost_more_than_is_left_is_not_asked(kitchen: Kitchen, chat: Chat, model: ModelServer) -> None:
    async with home(model.toml(price=(1, 10)), ai_person_per_day=900) as house:  # 100 tokens could cost 1000
        minji = person(house, "민지")
        job = await until(minji, (await asked(minji, REWRITE))["id"])
        assert (job["failure_code"], model.asked) == ("budget_exhausted", [])
        assert {(one.reserved_micros, one.spent_micros) for one in await rows(Spending)} == {(0, 0)}


async def test_switched_off_nothing_more_is_asked(kitchen: Kitchen, chat: Chat, model: ModelServer) -> None:
    async with home(model.toml()) as house:
        minji = person(house, "민지")

        async def late(work: Work) -> JobResult:
            await work.aside(switch.turn, off=True)
            return await put_to_the_model(work)

        kitchen.cook = late
        job = await until(minji, (await asked(minji, REWRITE))["id"])
        assert (job["failure_code"], model.asked) == ("ai_off", [])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=400), "provider_unavailable"),
        (Answer(pieces=["아"], end="refusal"), "provider_refused"),
        (Answer(pieces=["일곱", " 시"], cut=1), "cut_off"),
    ],
)
async def test_a_failure_says_why_and_costs_no_reservation(
    kitchen: Kitchen, chat: Chat, model: ModelServer, answer: Answer, code: str
) -> None:
    model.answer = lambda asked: answer
    async with home(model.toml(price=(1, 1))) as house:
        minji = person(house, "민지")
        job = await until(minji, (await asked(minji, REWRITE))["id"])
        assert (job["state"], job["failure_code"], job["result"]) == ("failed", code, None)
        assert {one.reserved_micros for one in await rows(Spending)} == {0}
