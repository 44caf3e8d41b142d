"""Consent that is taken back between the question and the work: whatever was asked for, no word of the other one leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from doran.ai import service
from doran.ai.gate import Passage
from doran.ai.jobs.work import Recipe, Work
from doran.ai.kinds import KINDS
from doran.ai.models import AiResponse, Disclosure
from doran.ai.privacy import consents
from doran.ai.providers import About
from doran.ai.recipes import RECIPES
from doran.contracts.frames import JobResult
from doran.contracts.people import ASSISTANT_ID
from doran.server.wiring import House
from tests.ai.conftest import home, person
from tests.ai.kitchen import asked, until
from tests.ai.neighbours import Chat, Place, beside
from tests.ai.privacy.conftest import allows
from tests.cast import Person
from tests.servers.model import Answer, ModelServer, scripted_model
from tests.servers.translators import Translators, translators

SECRET = "한강 다리 밑"
READING = ("reply", "smart_replies", "summarize", "translate", "moderate", "embed", "ask", "semantic_search")
"""The kinds that read what somebody else may have said. `rewrite` reads nothing but its asker's own words."""


def test_all_kinds_are_here() -> None:
    assert {*READING, "rewrite"} == set(KINDS)


@dataclass
class Regret:
    """Takes the consent back, once it is told of whom and where."""

    of: tuple[str, str] | None = None
    taken: list[str] = field(default_factory=list)

    def __call__(self) -> None:
        if self.of is not None:
            (place, person), self.of = self.of, None
            self.taken.append(person)
            consents.change(place, person, "off")


@pytest.fixture
def regret() -> Regret:
    return Regret()


@pytest.fixture
def vendors() -> Iterator[tuple[ModelServer, Translators]]:
    with scripted_model() as model, translators() as them:
        yield model, them


@pytest.fixture
async def house(vendors: tuple[ModelServer, Translators], regret: Regret) -> AsyncIterator[House]:
    model, them = vendors
    toml = model.toml("vendor", embedding_model="vectors", outside=True) + them.toml("papago", outside=True)
    async with home(ai_providers=toml) as house:
        yield house


@dataclass
class Scene:
    """민지 and 준호 allow everything; she is about to ask something."""

    minji: Person
    talk: Place
    facts: dict[str, Any]
    who_regrets: tuple[str, str]


async def scene(house: House, chat: Chat, kind: str) -> Scene:
    minji, junho = person(house, "민지"), person(house, "준호")
    other = ASSISTANT_ID if kind == "reply" else junho.id
    talk = chat.starts(minji.id, other)
    said = chat.says(talk, minji.id if kind == "reply" else junho.id, f"{SECRET}에서 보자")
    for one in (minji,) if kind == "reply" else (minji, junho):
        await allows(one, talk.id, "history")
    await until(minji, (await asked(minji, {"kind": "embed", "conversation_id": talk.id}))["id"])
    about: dict[str, Any] = {
        "translate": {"message_id": said.id, "options": {"target": "en"}}, "moderate": {"message_id": said.id},
        "ask": {"input": "어디서 봐?"}, "semantic_search": {"input": "어디서 봐?"},
        "summarize": {"conversation_id": talk.id, "options": {"since_seq": 0}},
    }.get(kind, {"conversation_id": talk.id})  # fmt: skip
    return Scene(minji, talk, {"kind": kind, **about}, (talk.id, minji.id if kind == "reply" else junho.id))


def regretting(recipe: Recipe, regret: Regret) -> Recipe:
    async def later(work: Work) -> JobResult:
        await work.aside(regret)
        return await recipe(work)

    return later


@pytest.fixture
def before_it_reads(monkeypatch: pytest.MonkeyPatch, regret: Regret) -> None:
    """The consent goes when the job is begun."""
    monkeypatch.setattr(service, "RECIPES", {kind: regretting(recipe, regret) for kind, recipe in RECIPES.items()})


@pytest.fixture
def before_it_asks(monkeypatch: pytest.MonkeyPatch, regret: Regret) -> None:
    """The consent goes when everything is read and a provider is about to be asked with it."""
    enter = Passage.enter

    async def later(passage: Passage, provider: About) -> None:
        if passage.subject.messages:
            await passage.work.aside(regret)
        await enter(passage, provider)

    monkeypatch.setattr(Passage, "enter", later)


async def nothing_leaves(
    house: House, chat: Chat, vendors: tuple[ModelServer, Translators], regret: Regret, kind: str
) -> Any:
    """The job as it ended."""
    model, them = vendors
    play = await scene(house, chat, kind)
    model.asked.clear()
    before = await asyncio.to_thread(Disclosure.objects.filter(messages__gt=0).count)
    regret.of = play.who_regrets
    job = await until(play.minji, (await asked(play.minji, play.facts))["id"])
    assert regret.taken == [play.who_regrets[1]]
    assert not [one for one in model.asked if SECRET in one.words]
    assert them.asked == []
    assert await asyncio.to_thread(Disclosure.objects.filter(messages__gt=0).count) == before
    return job


@pytest.mark.parametrize("kind", READING)
@pytest.mark.usefixtures("before_it_reads")
async def test_no_kind_reads_what_is_not_allowed_any_more(
    house: House, chat: Chat, vendors: tuple[ModelServer, Translators], regret: Regret, kind: str
) -> None:
    job = await nothing_leaves(house, chat, vendors, regret, kind)
    assert (job["state"], job["failure_code"]) == ("failed", "consent_needed")
    assert vendors[0].asked == [], "not even the question"


@pytest.mark.parametrize("kind", [kind for kind in READING if kind not in ("embed", "semantic_search")])
@pytest.mark.usefixtures("before_it_asks")
async def test_no_kind_sends_what_was_allowed_when_it_was_read(
    house: House, chat: Chat, vendors: tuple[ModelServer, Translators], regret: Regret, kind: str
) -> None:
    job = await nothing_leaves(house, chat, vendors, regret, kind)
    assert (job["state"], job["failure_code"]) == ("failed", "consent_needed")


# -- while the model answers -------------------------------------------------------------------------

ANSWERING = ("reply", "smart_replies", "summarize", "translate", "moderate", "ask", "semantic_search")


@pytest.fixture
async def only_a_model(vendors: tuple[ModelServer, Translators]) -> AsyncIterator[House]:
    async with home(ai_providers=vendors[0].toml("vendor", embedding_model="vectors", outside=True)) as house:
        yield house


@pytest.fixture
def beside_it(only_a_model: House) -> Iterator[Chat]:
    with beside() as chat:
        yield chat


async def in_the_middle(only_a_model: House, chat: Chat, model: ModelServer, kind: str) -> tuple[Scene, str]:
    """A job whose words a provider has, and which hangs in the middle of its answer."""
    play = await scene(only_a_model, chat, kind)
    count = len(model.asked)
    hanging = Answer(pieces=[*f'{{"summary": "{SECRET}에서', "never"], hang=len(SECRET) + 15)
    model.answer = lambda asked: hanging
    if kind == "semantic_search":
        model.next = [Answer(hang=0)]
    job = await asked(play.minji, play.facts)
    wanted = count + (2 if kind == "ask" else 1)
    await asyncio.to_thread(model.until, lambda model: len(model.asked) == wanted and model.under_way == 1)
    if KINDS[kind].is_streamed:
        async with asyncio.timeout(20):
            while not (await play.minji.gets(f"/api/ai/jobs/{job['id']}/"))["partial"]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    return play, str(job["id"])


@pytest.mark.parametrize("kind", ANSWERING)
async def test_what_is_being_answered_fails_at_once_and_nothing_of_it_stays(
    only_a_model: House, beside_it: Chat, vendors: tuple[ModelServer, Translators], kind: str
) -> None:
    model, _ = vendors
    play, job_id = await in_the_middle(only_a_model, beside_it, model, kind)
    await asyncio.to_thread(consents.change, *play.who_regrets, "off")
    ended = await play.minji.gets(f"/api/ai/jobs/{job_id}/")
    assert (ended["state"], ended["failure_code"]) == ("failed", "consent_needed")
    assert (ended["partial"], ended["result"]) == ("", None)
    await asyncio.to_thread(model.until, lambda model: model.gone == 1)
    assert await play.minji.gets(f"/api/ai/jobs/{job_id}/") == ended
    assert await asyncio.to_thread(AiResponse.objects.filter(job_id=job_id).count) == 0


@pytest.mark.parametrize("kind", ANSWERING)
async def test_what_needs_no_more_than_is_left_goes_on(
    only_a_model: House, beside_it: Chat, vendors: tuple[ModelServer, Translators], kind: str
) -> None:
    model, _ = vendors
    play, job_id = await in_the_middle(only_a_model, beside_it, model, kind)
    await asyncio.to_thread(consents.change, *play.who_regrets, "on_demand")
    job = await play.minji.gets(f"/api/ai/jobs/{job_id}/")
    needs_history = KINDS[kind].scope == "history"
    assert (job["state"], job["failure_code"]) == (("failed", "consent_needed") if needs_history else ("running", ""))
    await play.minji.asks("POST", f"/api/ai/jobs/{job_id}/cancel/", {})


async def test_ones_own_text_is_rewritten_whoever_takes_back_what(
    only_a_model: House, beside_it: Chat, vendors: tuple[ModelServer, Translators]
) -> None:
    model, _ = vendors
    play = await scene(only_a_model, beside_it, "summarize")
    model.answer = lambda asked: Answer(pieces=["네", "요"], hang=1)
    facts = {"kind": "rewrite", "input": "내일 봐", "options": {"style": "polite"}, "conversation_id": play.talk.id}
    job = await asked(play.minji, facts)
    await asyncio.to_thread(model.until, lambda model: model.under_way == 1)
    await asyncio.to_thread(consents.change, *play.who_regrets, "off")
    assert (await play.minji.gets(f"/api/ai/jobs/{job['id']}/"))["state"] == "running"
    await play.minji.asks("POST", f"/api/ai/jobs/{job['id']}/cancel/", {})
