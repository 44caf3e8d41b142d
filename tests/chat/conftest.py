"""Chat alone on the stage: people come by core's events, tokens by a mint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from doran.contracts import events
from doran.kernel import clock
from doran.server.wiring import House
from tests.cast import Mint, Person
from tests.stage import staged


class Play:
    """A house with chat in it, and a way to let people in."""

    def __init__(self, house: House, mint: Mint) -> None:
        self.house, self.mint = house, mint

    @property
    def app(self) -> Any:
        return self.house.app

    async def person(self, name: str, *, session_id: str = "") -> Person:
        """Somebody core has told chat about."""
        user_id = str(clock.new_id())
        await self.happens(events.UserCreated(user_id, name, name, clock.rfc3339(clock.now())))
        return Person(self.app, name, user_id, self.mint.token(user_id, session_id=session_id))

    async def happens(self, event: events.Event, *, event_id: str = "") -> Any:
        """Core says something; returns when chat has dealt with it."""
        chat = self.house.chat
        assert chat is not None
        return await asyncio.to_thread(chat.consumer.handle, envelope(event, event_id=event_id))


def envelope(event: events.Event, *, event_id: str = "") -> events.Envelope:
    return events.Envelope(
        event_type=event.NAME,
        timestamp=clock.rfc3339(clock.now()),
        data=msgspec.Raw(events.encode(event)),
        event_id=event_id or str(clock.new_id()),
        schema_version=1,
        producer="core",
        key=event.key(),
        trace_id="0" * 32,
    )


@pytest.fixture
async def play(request: pytest.FixtureRequest) -> AsyncIterator[Play]:
    """Chat alone. `@pytest.mark.settings(name=value)` changes settings for one test."""
    mint = Mint()
    marker = request.node.get_closest_marker("settings")
    changes: dict[str, Any] = dict(marker.kwargs) if marker else {}
    async with staged(services=("chat",), own_keys=mint.published, **changes) as house:
        yield Play(house, mint)


@pytest.fixture
async def minji(play: Play) -> Person:
    return await play.person("민지")


@pytest.fixture
async def junho(play: Play) -> Person:
    return await play.person("준호")


@pytest.fixture
async def sora(play: Play) -> Person:
    """The outsider."""
    return await play.person("소라")
