"""Two core processes, one Redis: who guesses passwords at both doors gets no more tries than at one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.house.running import Running, running
from tests.servers.process import private
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

SETTINGS = {
    "DORAN_SECRET_KEY": "only for tests, but long enough to be one",
    "DORAN_ISSUER": "https://chat.example.test",
    "DORAN_FAILED_LOGINS_PER_MINUTE": "4",
}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with private(RedisServer) as server:
        yield server


@pytest.fixture
def doors(redis: RedisServer, tmp_path: Path) -> Iterator[tuple[Running, Running]]:
    """Two processes of core on one database."""
    shared = {"DORAN_REDIS": redis.url, "DORAN_CORE_DATABASE": f"sqlite:///{tmp_path}/core.sqlite3", **SETTINGS}
    with ExitStack() as street:
        one, other = (street.enter_context(_core(tmp_path / name, shared)) for name in ("one", "other"))
        yield one, other


def _core(folder: Path, settings: dict[str, str]) -> AbstractContextManager[Running]:
    folder.mkdir()
    return running("core", command="serve", folder=folder, **settings)


def signs_up(door: Running, name: str) -> None:
    assert door.asks("/api/core/users/", {"username": name, "password": "봄비가 내리는 밤"})[0] == 201


def guesses(door: Running, name: str) -> int:
    """The status of a log-in with a wrong password."""
    return door.asks("/api/core/tokens/", {"username": name, "password": "아닌 것 같은데"})[0]


def test_guesses_at_two_doors_are_counted_together(doors: tuple[Running, Running], redis: RedisServer) -> None:
    """And while Redis is frozen each door still counts, and nobody waits for it."""
    for name in ("minji", "junho"):
        signs_up(doors[0], name)
    began = time.monotonic()
    assert [guesses(doors[number % 2], "minji") for number in range(8)] == [401] * 4 + [429] * 4
    usual = time.monotonic() - began
    redis.freeze()
    began = time.monotonic()
    for door in doors:
        assert [guesses(door, "junho") for _ in range(6)] == [401] * 4 + [429] * 2
    assert time.monotonic() - began < 4 * usual + 4, "they waited for Redis"
    redis.thaw()
