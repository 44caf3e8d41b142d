"""ai alone on the stage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from doran.kernel import clock
from doran.server.wiring import House
from tests.ai.kitchen import Kitchen, open_kitchen
from tests.cast import Mint, Person
from tests.stage import eventually, staged

MINT = Mint()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with home() as house:
        yield house


@asynccontextmanager
async def home(**changes: Any) -> AsyncIterator[House]:
    """A house whose worker takes no job that a test stores as held for one that the dead held."""
    async with staged(services=("ai",), own_keys=MINT.published, **changes) as house:
        await eventually(lambda: not house.ai.worker._follows_the_dead)  # type: ignore[union-attr]
        yield house


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> Kitchen:
    return open_kitchen(monkeypatch)


def person(house: House, name: str) -> Person:
    user_id = str(clock.new_id())
    return Person(house.app, name, user_id, MINT.token(user_id))


@pytest.fixture
def minji(house: House) -> Person:
    return person(house, "민지")


@pytest.fixture
def sora(house: House) -> Person:
    """The outsider."""
    return person(house, "소라")
