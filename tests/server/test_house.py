"""The house wakes whole or not at all, with a front or without, and works or lets others work."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from doran.kernel import auth, clock, siblings, telemetry
from doran.kernel.config import Config
from doran.kernel.telemetry import health
from doran.server import wiring
from doran.server.wiring import House
from tests.journeys.town import newcomer, town
from tests.servers.process import private
from tests.servers.redis import RedisServer
from tests.stage import awake, eventually, ground
from tests.wire import Closed, Socket, call, refuses

MINJI = {"username": "minji", "password": "봄비가 내리는 밤"}


def assert_nothing_is_left() -> None:
    """No service is taken for one of this process, nothing is watched, no token is believed."""
    assert not any(siblings.is_there(service) for service in ("core", "chat", "ai"))
    assert health.ready()[1] == {}
    with pytest.raises(RuntimeError, match="no verifier"):
        auth.verify("")


class Trouble(Exception):
    """Something that keeps a part from waking."""


async def test_a_start_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def trouble(_relay: object) -> None:
        raise Trouble

    async with ground(services=("core", "chat", "ai")) as config:
        with monkeypatch.context() as broken:
            broken.setattr(wiring.Relay, "start", trouble)
            house = wiring.build(config)
            with pytest.raises(Trouble):
                await house.start()
        assert_nothing_is_left()
        async with awake(config) as again:
            assert (await call(again.app, "GET", "/health/ready")).status == 200
    assert_nothing_is_left()


async def test_a_start_that_is_given_up_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def never(_house: House) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with ground(services=("core",)) as config:
        monkeypatch.setattr(House, "_believe_tokens", never)
        starting = asyncio.create_task(wiring.build(config).start())
        await begun.wait()
        starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled()
    assert_nothing_is_left()


async def test_a_server_that_is_cancelled_puts_its_house_to_rest() -> None:
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with ground(services=("core",)) as config:
        house = wiring.build(config)
        told.put_nowait({"type": "lifespan.startup"})
        life = asyncio.create_task(house.app({"type": "lifespan"}, told.get, said.put))
        assert (await said.get())["type"] == "lifespan.startup.complete"
        assert siblings.is_there("core")
        life.cancel()
        await asyncio.wait([life])
        assert_nothing_is_left()


async def test_what_grows_is_shown_while_the_house_is_awake() -> None:
    async with ground(services=("core", "chat")) as config:
        async with awake(config) as house:
            shown = (await call(house.app, "GET", "/metrics")).body.decode()
            for kind in ("rest calls waiting", "reads waiting", "recipients waited for", "typing signs", "people last seen",
                         "known tokens", "ended sessions"):  # fmt: skip
                assert f'doran_memory_entries{{kind="{kind}"}} 0.0' in shown
            for kind in ("keys of limits", "ids of conversations"):  # also of earlier stories
                assert f'doran_memory_entries{{kind="{kind}"}}' in shown
            is_file = config.chat_database.startswith("sqlite")
            assert ('doran_sqlite_wal_bytes{service="chat"}' in shown) == is_file
        left = telemetry.render()[0].decode()
        assert 'doran_memory_entries{kind="reads waiting"}' not in left
        assert 'doran_sqlite_wal_bytes{service="chat"}' not in left


async def test_a_house_without_a_front_answers_only_its_operator() -> None:
    async with ground(services=("core", "chat")) as config, awake(config, has_front=False) as house:
        assert (await call(house.app, "GET", "/health/live")).status == 200
        ready = await call(house.app, "GET", "/health/ready")
        assert set(ready.json["dependencies"]) == {
            "core database", "core outbox", "chat database", "chat outbox", "bus", "webhooks",
        }  # fmt: skip
        assert (await call(house.app, "GET", "/metrics")).status == 200
        refuses(await call(house.app, "POST", "/api/core/users/", MINJI), 404, "not_found")
        refuses(await call(house.app, "GET", "/"), 404, "not_found")
        with pytest.raises(Closed):
            await Socket(house.app, "/ws/").accepted()
    assert_nothing_is_left()


async def test_a_redis_that_is_away_is_shown_and_makes_nobody_unready() -> None:
    with private(RedisServer) as redis:
        async with ground(services=("core",), redis=redis.url) as config, awake(config) as house:
            ready = await call(house.app, "GET", "/health/ready")
            assert ready.json["dependencies"]["redis"] == {"ok": True, "needed": False, "detail": ""}
            redis.stop()
            await eventually(
                lambda: health.ready()[1]["redis"] == {"ok": False, "needed": False, "detail": "ConnectionError"}
            )
            assert (await call(house.app, "GET", "/health/ready")).status == 200
    assert_nothing_is_left()


async def test_who_only_answers_leaves_the_events_to_who_works() -> None:
    async with ground(services=("core",), work=False) as config:
        async with awake(config) as house:
            assert (await call(house.app, "POST", "/api/core/users/", MINJI)).status == 201
        assert waiting(config) == ["user.created"]
        async with awake(config.replace(work=True), has_front=False):
            await eventually(lambda: waiting(config) == [])


async def test_chat_asks_core_in_its_own_name_for_whom_it_has_not_heard_of() -> None:
    async with town(work=False) as house:
        minji, junho = [await newcomer(house.app, name) for name in ("minji", "junho")]
        assert await minji.starts(junho)
        unknown = await minji.asks("POST", "/api/chat/conversations/", {"participant_id": str(clock.new_id())})
        refuses(unknown, 404, "recipient_unavailable")


def waiting(config: Config) -> list[str]:
    """The events that core has committed and nobody has published yet."""
    with closing(sqlite3.connect(f"{config.data}/core.sqlite3")) as database:
        return [kind for (kind,) in database.execute("SELECT event_type FROM core_outbox")]
