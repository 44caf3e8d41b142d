"""ai alone on the stage."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from doran.kernel import clock
from doran.server.wiring import House
from tests.cast import Mint, Person
from tests.stage import staged

MINT = Mint()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with staged(services=("ai",), own_keys=MINT.published) as house:
        yield house


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
