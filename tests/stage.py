"""A started Doran in memory for one test: fresh databases, real threads, no port."""

from __future__ import annotations

import asyncio
import importlib
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from django.urls import clear_url_caches

from doran.kernel import config as settings
from doran.kernel.config import Config
from doran.server import wiring
from doran.server.wiring import House
from tests import stores

QUICK = {
    "DORAN_SIGNUPS_PER_MINUTE": "100000",
    "DORAN_LOGINS_PER_MINUTE": "100000",
    "DORAN_LOOKUPS_PER_MINUTE": "100000",
    "DORAN_REQUESTS_PER_SECOND": "100000",
    "DORAN_SECRET_KEY": "only for tests, but long enough to be one",
    "DORAN_DRAIN_SECONDS": "1",
}


@asynccontextmanager
async def staged(*, services: tuple[str, ...], own_keys: Any = None, **changes: Any) -> AsyncIterator[House]:
    """A house with these services on empty databases, awake until the block ends."""
    async with ground(services=services, **changes) as config, awake(config, own_keys=own_keys) as house:
        yield house


@asynccontextmanager
async def ground(*, services: tuple[str, ...], **changes: Any) -> AsyncIterator[Config]:
    """Empty databases in a folder of their own, on which a house can stand, fall and stand again."""
    with tempfile.TemporaryDirectory(prefix="doran-test-", dir=_fast_folder()) as folder:
        config = settings.load(QUICK).replace(services=services, data=Path(folder), **changes)
        yield await asyncio.to_thread(point_databases_at, config)


@asynccontextmanager
async def awake(
    config: Config, *, own_keys: Any = None, has_front: bool = True, bus: Any = None
) -> AsyncIterator[House]:
    """A house on this ground until the block ends, with another bus than its own if one is given."""
    house = wiring.build(config, own_keys=own_keys, has_front=has_front)
    house.bus = bus or house.bus
    await house.start()
    try:
        yield house
    finally:
        await house.stop()


def point_databases_at(config: Config) -> Config:
    """Give each service an empty, migrated database, or move it in where the settings say; they come back complete."""
    settings.use(config)
    _show_paths_of(config.services)
    config = config.replace(**{f"{service}_database": _settled(service, config) for service in config.services})
    settings.use(config)
    return config


def _settled(service: str, config: Config) -> str:
    given: str = getattr(config, f"{service}_database")
    return stores.move_in(service, given) if given else stores.settle(service, Path(config.data))


_shown: tuple[str, ...] = ()


def _show_paths_of(services: tuple[str, ...]) -> None:
    """A real process knows its services before it reads its paths; here they change between tests."""
    global _shown
    if services != _shown and "doran.server.urls" in sys.modules:
        importlib.reload(sys.modules["doran.server.urls"])
        clear_url_caches()
    _shown = services


def _fast_folder() -> str | None:
    """Memory where there is some: these tests are about what is written, not about the disk."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else None


async def eventually(true: Any, *, seconds: float = 20.0) -> Any:
    """What `true()` returns as soon as it is true. For what other threads do; fails when it never is."""
    until = asyncio.get_running_loop().time() + seconds
    while not (found := true()):
        if asyncio.get_running_loop().time() > until:
            raise AssertionError("it did not happen in time")
        await asyncio.sleep(0.005)
    return found
