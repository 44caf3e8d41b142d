"""Chat alone on the stage: people come by core's events, tokens by a mint."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from doran.contracts import events
from doran.kernel import clock, siblings
from doran.kernel.config import Config
from doran.server.wiring import House
from tests import stores
from tests.cast import Mint, Person
from tests.stage import awake, eventually, ground


class Play:
    """A house with chat in it, and a way to let people in. `told` is what chat said, oldest first."""

    def __init__(self, house: House, mint: Mint) -> None:
        self.house, self.mint = house, mint
        self.told: list[events.Envelope] = []
        self.known_to_core: set[str] = set()
        siblings.register_local("core", self._core)
        house._way_back.callback(siblings.register_local, "core", None)
        house.bus.subscribe("audience", events.EVENTS.keys(), self.told.append)

    @property
    def app(self) -> Any:
        return self.house.app

    async def person(self, name: str, *, session_id: str = "", **claims: Any) -> Person:
        """Somebody core has told chat about."""
        user_id = str(clock.new_id())
        await self.happens(events.UserCreated(user_id, name, name, clock.rfc3339(clock.now())))
        return self.again(Person(self.app, name, user_id, ""), session_id=session_id, **claims)

    def again(self, person: Person, **claims: Any) -> Person:
        """The same person with a new token, perhaps in another house."""
        return Person(self.app, person.name, person.id, self.mint.token(person.id, **claims))

    def stranger(self, user_id: str) -> Person:
        """Somebody with a token of whom chat has not heard."""
        return self.again(Person(self.app, user_id, user_id, ""))

    async def happens(self, event: events.Event, *, event_id: str = "") -> Any:
        """Core says something; returns when chat has dealt with it."""
        chat = self.house.chat
        assert chat is not None
        return await asyncio.to_thread(chat.consumer.handle, envelope(event, event_id=event_id))

    async def blocks(self, one: Person, other: Person) -> None:
        await self.happens(events.UserBlocked(one.id, other.id, clock.rfc3339(clock.now())))

    async def unblocks(self, one: Person, other: Person) -> None:
        await self.happens(events.UserUnblocked(one.id, other.id, clock.rfc3339(clock.now())))

    @asynccontextmanager
    async def held_up(self) -> AsyncIterator[Callable[[], int]]:
        """Until the block ends nothing is committed; then everything at once. Gives how much waits."""
        assert self.house.chat is not None
        await eventually(lambda: self.rows("outbox") == [])
        writer, begun, done = self.house.chat.writer, threading.Event(), threading.Event()

        def wait() -> None:
            begun.set()
            done.wait(30)

        holding = asyncio.create_task(asyncio.to_thread(writer.run, wait))
        await eventually(begun.is_set)
        try:
            yield lambda: writer.waiting
        finally:
            done.set()
            await holding

    def said(self, kind: str) -> list[dict[str, Any]]:
        """The data of every event of this kind that has left chat."""
        return [json.loads(bytes(one.data)) for one in list(self.told) if one.event_type == kind]

    def rows(self, table: str, where: str = "1 = 1") -> list[dict[str, Any]]:
        """What is stored, as a program beside the house sees it."""
        return stores.say(self.house.config.chat_database, f"SELECT * FROM chat_{table} WHERE {where} ORDER BY 1")

    def stored(self) -> dict[str, list[dict[str, Any]]]:
        """Everything a refusal must not have touched."""
        return {table: self.rows(table) for table in TABLES}

    def _core(self, question: siblings.Question) -> tuple[int, bytes]:
        if question.method == "POST":
            return 200, b'{"access_token":"a service token","expires_in":300}'
        is_known = question.path.removeprefix("/api/core/users/").rstrip("/") in self.known_to_core
        return (200, b"{}") if is_known else (404, b"{}")


TABLES = (
    "conversation", "member", "message", "hiddenmessage", "deliveryreceipt", "person", "block", "deadletter",
)  # fmt: skip


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


class Deployment:
    """Chat alone, which may end and begin again on the same database."""

    def __init__(self, config: Config) -> None:
        self.config, self.mint = config, Mint()

    @asynccontextmanager
    async def day(self, *, bus: Any = None, **changes: Any) -> AsyncIterator[Play]:
        """It runs until the block ends."""
        async with awake(self.config.replace(**changes), own_keys=self.mint.published, bus=bus) as house:
            yield Play(house, self.mint)


@pytest.fixture
async def deployment(request: pytest.FixtureRequest) -> AsyncIterator[Deployment]:
    """`@pytest.mark.settings(name=value)` changes settings for one test."""
    marker = request.node.get_closest_marker("settings")
    async with ground(services=("chat",), **(marker.kwargs if marker else {})) as config:
        yield Deployment(config)


@pytest.fixture
async def play(deployment: Deployment) -> AsyncIterator[Play]:
    """Chat alone, for one day."""
    async with deployment.day() as play:
        yield play


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


@pytest.fixture
async def talk(minji: Person, junho: Person) -> str:
    """The id of the conversation that 민지 began with 준호."""
    return await minji.starts(junho)
