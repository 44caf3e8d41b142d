"""What hashes a password waits in a line of its own: a flood of log-ins holds nobody else's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from argon2 import PasswordHasher

from doran.core import passwords
from doran.server.wiring import House
from tests.stage import eventually, staged
from tests.wire import Answer, call, refuses

PASSWORD = "봄비가 내리는 밤에"
QUEUE = 2


class Held(PasswordHasher):
    """A hasher that compares and hashes only while the story lets it."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.released = threading.Event()
        self.released.set()
        self.inside = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        self._wait()
        return super().verify(hash, password)

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._wait()
        return super().hash(password, salt=salt)

    def _wait(self) -> None:
        self.inside += 1
        assert self.released.wait(60)
        self.inside -= 1


@pytest.fixture
async def hasher() -> AsyncIterator[Held]:
    held = Held()
    passwords.use(passwords.Passwords(held))
    try:
        yield held
    finally:
        held.released.set()
        passwords.use(None)


@pytest.fixture
async def house(hasher: Held) -> AsyncIterator[House]:
    async with staged(services=("core",), threads=1, hash_threads=1, hash_queue=QUEUE) as one:
        yield one


def signs_up(house: House, name: str) -> Awaitable[Answer]:
    return call(house.app, "POST", "/api/core/users/", {"username": name, "password": PASSWORD})


def logs_in(house: House, name: str, *, cookie: str = "") -> Awaitable[Answer]:
    named = {"username": name, "password": PASSWORD}
    return call(house.app, "POST", "/api/core/tokens", named, headers={"cookie": cookie} if cookie else {})


async def joins(house: House, name: str) -> dict[str, str]:
    """Sign up and log in; return the header that says so."""
    assert (await signs_up(house, name)).status == 201
    return {"authorization": f"Bearer {(await logs_in(house, name)).json['access_token']}"}


@asynccontextmanager
async def waiting(hasher: Held, *calls: Awaitable[Answer]) -> AsyncIterator[list[asyncio.Task[Answer]]]:
    """One of these calls hashes until the block ends, the others wait behind it."""
    hasher.released.clear()
    tasks = [asyncio.ensure_future(one) for one in calls]
    await eventually(lambda: hasher.inside == 1)
    yield tasks
    hasher.released.set()
    await asyncio.wait(tasks)


async def test_while_log_ins_wait_everybody_else_is_served(house: House, hasher: Held) -> None:
    minji = await joins(house, "minji")
    async with waiting(hasher, *(logs_in(house, "minji") for _ in range(1 + QUEUE))) as log_ins:
        await eventually(lambda: house.pools.hashing.waiting == QUEUE)
        for _ in range(5):
            assert (await call(house.app, "GET", "/api/core/users/me/", headers=minji)).status == 200
        shown = (await call(house.app, "GET", "/metrics")).body.decode()
        assert 'doran_memory_entries{kind="log-ins waiting"} 2.0' in shown
        assert 'doran_memory_entries{kind="rest calls waiting"} 0.0' in shown
        assert 'doran_memory_entries_bound{kind="log-ins waiting"}' in shown
        assert not any(one.done() for one in log_ins)
    assert [one.result().status for one in log_ins] == [200] * (1 + QUEUE)


async def test_who_finds_the_line_full_is_told_when_to_come_back_and_nothing_happened(
    house: House, hasher: Held
) -> None:
    minji = await joins(house, "minji")
    async with waiting(hasher, *(logs_in(house, "minji") for _ in range(1 + QUEUE))):
        await eventually(lambda: house.pools.hashing.waiting == QUEUE)
        for refused in (await signs_up(house, "sora"), await logs_in(house, "minji")):
            refuses(refused, 503, "unavailable")
            assert int(refused.headers["retry-after"]) >= 1
        found = await call(house.app, "GET", "/api/core/users/?username=sora", headers=minji)
        assert found.json["count"] == 0
    assert (await signs_up(house, "sora")).status == 201


async def test_a_device_that_was_here_before_has_a_place_in_front_of_strangers(house: House, hasher: Held) -> None:
    await joins(house, "minji")
    cookie = (await logs_in(house, "minji")).headers["set-cookie"].partition(";")[0]
    served: list[str] = []
    strangers = [logs_in(house, f"stranger{number}") for number in range(1 + QUEUE)]
    async with waiting(hasher, *strangers) as log_ins:
        await eventually(lambda: house.pools.hashing.waiting == QUEUE)
        hers = asyncio.ensure_future(logs_in(house, "minji", cookie=cookie))
        forged = await logs_in(house, "minji", cookie=cookie[:-1] + ("A" if cookie[-1] != "A" else "Q"))
        refuses(forged, 503, "unavailable")
        await eventually(lambda: house.pools.hashing.waiting == QUEUE + 1)
        for name, one in [*((f"stranger{number}", one) for number, one in enumerate(log_ins)), ("minji", hers)]:
            one.add_done_callback(lambda _, name=name: served.append(name))
    await eventually(lambda: len(served) == 2 + QUEUE)
    assert hers.result().status == 200
    assert served == ["stranger0", "minji", "stranger1", "stranger2"]


@pytest.mark.parametrize("route", ["sign up", "log in", "erase"])
async def test_each_call_that_hashes_leaves_the_threads_of_the_others(house: House, hasher: Held, route: str) -> None:
    minji, junho = await joins(house, "minji"), await joins(house, "junho")
    calls = {
        "sign up": lambda: signs_up(house, "sora"),
        "log in": lambda: logs_in(house, "junho"),
        "erase": lambda: call(house.app, "DELETE", "/api/core/users/me/", {"password": PASSWORD}, headers=junho),
    }
    async with waiting(hasher, calls[route]()):
        assert (await call(house.app, "GET", "/api/core/users/me/", headers=minji)).status == 200
