"""Engines fail as providers do: who is asked again, who instead, who is left alone, and what it costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from doran.ai.models import AiJob, Disclosure, Spending
from doran.ai.providers import About, Trouble, links
from doran.ai.translation import opening
from doran.ai.translation.desk import Desk
from doran.ai.translation.engine import Wish
from doran.kernel import breaker
from doran.kernel import config as settings
from doran.kernel.telemetry.metrics import REGISTRY
from tests.ai.conftest import home, person
from tests.ai.kitchen import asked, until
from tests.servers.translators import Translators, translators

WORDS = "밥 먹었어?"
TRANSLATE = {"kind": "translate", "input": WORDS, "options": {"target": "en"}}
PRICE = 20_000.0
"""For a million letters; these cost 120,000 millionths."""
COST = 120_000


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "FIRST_PAUSE", 0.001)


@asynccontextmanager
async def desks(toml: str, **changes: Any) -> AsyncIterator[list[Desk]]:
    opened = list(opening.opened(settings.load({}).replace(ai_providers=toml, **changes)))
    yield opened
    for one in opened:
        await one.close()


async def begins(_: About) -> None:
    pass


async def translated(desk: Desk, *, others: int = 0) -> str:
    """The translation, or the code of what was the trouble."""
    try:
        return (await desk.translate("hello", Wish("en"), began=begins, others=others)).text
    except Trouble as trouble:
        return trouble.code


# -- again, and not at all -------------------------------------------------------------------------------


async def test_what_fails_in_passing_is_asked_again(them: Translators) -> None:
    them.next = [503, 500, 429]
    async with desks(them.toml("papago")) as [papago]:
        assert await translated(papago) == "HELLO"
        them.status = 503
        assert await translated(papago, others=1) == "provider_unavailable"
    assert len(them.asked) == 4 + links.TRIES_WITH_OTHERS


async def test_a_plain_no_is_not_asked_again(them: Translators) -> None:
    them.status = 456  # DeepL: what was paid for is used up
    async with desks(them.toml("deepl")) as [deepl]:
        assert await translated(deepl) == "provider_unavailable"
    assert len(them.asked) == 1


async def test_an_engine_says_when_and_is_asked_then_or_not_waited_for(them: Translators) -> None:
    them.next, them.retry_after = [429], "0.2"
    async with desks(them.toml("papago")) as [papago]:
        began = time.monotonic()
        assert await translated(papago) == "HELLO"
        assert time.monotonic() - began >= 0.2
        them.next, them.retry_after = [429], "3600"
        assert await translated(papago) == "provider_unavailable"
    assert len(them.asked) == 3


async def test_who_keeps_failing_is_left_alone(them: Translators, monkeypatch: pytest.MonkeyPatch) -> None:
    paused_for(monkeypatch, 3600.0)
    them.status = 500
    async with desks(them.toml("papago")) as [papago]:
        for _ in range(4):
            assert await translated(papago) == "provider_unavailable"
    assert len(them.asked) == breaker.FAILURES
    assert counted("doran_ai_provider_state", provider="papago") == breaker.State.OPEN.value


async def test_who_is_well_again_is_found_again(them: Translators, monkeypatch: pytest.MonkeyPatch) -> None:
    paused_for(monkeypatch, 0.001)
    them.status = 500
    async with desks(them.toml("papago")) as [papago]:
        for _ in range(2):
            await translated(papago)
        them.status = 200
        while await translated(papago) != "HELLO":
            pass
    assert counted("doran_ai_provider_state", provider="papago") == breaker.State.CLOSED.value


def paused_for(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(breaker, name, seconds)


async def test_no_word_goes_out_before_it_is_let(them: Translators) -> None:
    async def forbidden(_: About) -> None:
        raise PermissionError

    async with desks(them.toml("papago")) as [papago]:
        with pytest.raises(PermissionError):
            await papago.translate("hello", Wish("en"), began=forbidden, others=0)
    assert them.asked == []


# -- money -----------------------------------------------------------------------------------------------


@pytest.fixture
def second() -> Iterator[Translators]:
    """The one that is asked after the first."""
    with translators() as second:
        yield second


async def rows(model: Any) -> list[Any]:
    return await asyncio.to_thread(lambda: list(model.objects.all()))


async def spent() -> dict[str, tuple[int, int, int]]:
    return {
        one.scope.partition(":")[0]: (one.reserved_micros, one.spent_micros, one.tokens) for one in await rows(Spending)
    }


async def test_a_translation_costs_its_letters(them: Translators) -> None:
    before = counted("doran_ai_cost_total", provider="papago")
    letters = counted("doran_ai_translated_letters_total", provider="papago")
    async with home(ai_providers=them.toml("papago", price=PRICE)) as house:
        minji = person(house, "민지")
        job = await until(minji, (await asked(minji, TRANSLATE))["id"])
        assert (job["state"], job["result"]["engine"]) == ("succeeded", "papago")
        assert await spent() == {"person": (0, COST, 0), "all": (0, COST, 0)}
        (row,) = await rows(AiJob)
        assert (row.cost_micros, row.tokens_in, row.provider) == (COST, 0, "papago")
    assert counted("doran_ai_cost_total", provider="papago") == pytest.approx(before + COST / 1e6)
    assert counted("doran_ai_translated_letters_total", provider="papago") == letters + len(WORDS)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_what_could_cost_more_than_is_left_is_not_translated(them: Translators) -> None:
    async with home(ai_providers=them.toml("papago", price=PRICE), ai_person_per_day=COST - 1) as house:
        minji = person(house, "민지")
        job = await until(minji, (await asked(minji, TRANSLATE))["id"])
        assert (job["failure_code"], them.asked) == ("budget_exhausted", [])
        assert await rows(Disclosure) == []
        assert await spent() == {"person": (0, 0, 0), "all": (0, 0, 0)}


async def test_who_fails_costs_nothing_and_the_next_is_asked(them: Translators, second: Translators) -> None:
    them.status = 500
    toml = them.toml("papago", price=PRICE) + second.toml("libre", price=PRICE / 2)
    async with home(ai_providers=toml) as house:
        minji = person(house, "민지")
        job = await until(minji, (await asked(minji, TRANSLATE))["id"])
        assert job["result"]["engine"] == "libre"
        assert await spent() == {"person": (0, COST // 2, 0), "all": (0, COST // 2, 0)}
    assert (len(them.asked), len(second.asked)) == (links.TRIES_WITH_OTHERS, 1)


async def test_an_engine_is_paid_for_a_translation_that_lost_something(them: Translators) -> None:
    them.says = lambda text: "lost everything"
    async with home(ai_providers=them.toml("papago", price=PRICE)) as house:
        minji = person(house, "민지")
        job = await until(minji, (await asked(minji, {**TRANSLATE, "input": "밥 👍"}))["id"])
        assert job["failure_code"] == "invalid_answer"
        (row,) = await rows(AiJob)
        assert row.cost_micros == len("밥 ⟦0⟧") * PRICE
