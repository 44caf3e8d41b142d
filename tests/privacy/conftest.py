"""The whole house: 민지 and 준호 talk, 소라 is the outsider, and the AI would like to read along."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from doran.server.wiring import House
from tests.cast import Person
from tests.journeys.town import arriving, town


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with town() as house:
        yield house


minji, junho, sora = map(arriving, ("minji", "junho", "sora"))


@pytest.fixture
async def talk(minji: Person, junho: Person) -> str:
    """The id of the conversation that 민지 began with 준호."""
    return await minji.starts(junho)
