"""What chat does not show the asker any more when a job runs is not read for them, whatever it did when they asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from doran.ai import service
from doran.ai.jobs.work import Recipe, Work
from doran.ai.models import Disclosure
from doran.ai.recipes import RECIPES
from doran.ai.recipes.ask import NOT_FOUND
from doran.contracts.frames import JobResult
from doran.server.wiring import House
from tests.ai.kitchen import asked, until
from tests.ai.neighbours import Chat, Place
from tests.ai.privacy.test_taken_back import READING, SECRET, Regret, house, regret, scene, vendors
from tests.servers.model import ModelServer
from tests.servers.translators import Translators

__all__ = ["Regret", "house", "regret", "vendors"]

NOTHING_FOUND = {"ask": NOT_FOUND["ko"], "semantic_search": None}


@dataclass
class Door:
    """Shut, once it is told which: from then on chat does not know the two people there."""

    of: Place | None = None

    def __call__(self) -> None:
        if self.of is not None:
            self.of.people = ("somebody", "else")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    """It shuts when the job is begun."""
    door = Door()
    monkeypatch.setattr(service, "RECIPES", {kind: behind(recipe, door) for kind, recipe in RECIPES.items()})
    return door


def behind(recipe: Recipe, door: Door) -> Recipe:
    async def later(work: Work) -> JobResult:
        door()
        return await recipe(work)

    return later


@pytest.mark.parametrize("kind", READING)
async def test_who_may_not_read_when_it_runs_is_read_nothing(
    door: Door, house: House, chat: Chat, vendors: tuple[ModelServer, Translators], kind: str
) -> None:
    model, them = vendors
    play = await scene(house, chat, kind)
    model.asked.clear()
    before = await asyncio.to_thread(Disclosure.objects.filter(messages__gt=0).count)
    door.of = play.talk
    job = await until(play.minji, (await asked(play.minji, play.facts))["id"])
    if kind in NOTHING_FOUND:
        assert (job["state"], job["result"]["text"], job["result"]["citations"]) == (
            "succeeded",
            NOTHING_FOUND[kind],
            [],
        )
    else:
        assert (job["state"], job["failure_code"], job["result"]) == ("failed", "not_found", None)
    assert all(SECRET not in one.words for one in model.asked)
    assert them.asked == []
    assert await asyncio.to_thread(Disclosure.objects.filter(messages__gt=0).count) == before
