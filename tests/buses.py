"""Every bus there is, on a real broker, for tests: a driver joins by one line in `KINDS`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from doran.kernel.bus import Bus
from doran.kernel.bus.opening import open_bus
from tests.servers.kafka import TansuServer
from tests.servers.process import Server, private
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import LastingRedisServer

KINDS: dict[str, type[Server] | None] = {
    "memory": None,
    "RabbitMQ": RabbitMQServer,
    "Kafka": TansuServer,
    "Redis": LastingRedisServer,
}
PATIENCE = 15.0


@dataclass
class Backend:
    """One kind of bus under names that only one test uses. Each bus opened is another process's."""

    url: str
    keeps: bool
    server: Server | None = None
    opened: list[Bus] = field(default_factory=list)

    def open(self, *, listeners: Collection[str] = ()) -> Bus:
        bus = open_bus(self.url, listeners=listeners)
        self.opened.append(bus)
        return bus

    def close(self) -> None:
        for bus in self.opened:
            bus.stop()


class Servers:
    """A private server of each kind, started when the first test needs it."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}
        self._open = ExitStack()

    def backend(self, kind: str) -> Backend:
        server = self._server(kind)
        if server is None:
            return Backend("memory:", keeps=False)
        joint = "&" if "?" in server.url else "?"
        return Backend(f"{server.url}{joint}prefix=t{uuid.uuid4().hex[:12]}", keeps=True, server=server)

    def close(self) -> None:
        self._open.close()

    def _server(self, kind: str) -> Server | None:
        make = KINDS[kind]
        if make is not None and kind not in self._running:
            self._running[kind] = self._open.enter_context(private(make))
        return self._running.get(kind)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


def one(kind: str) -> Any:
    """All tests on one kind of broker share a process, and so a server."""
    return pytest.param(kind, marks=(pytest.mark.broker, pytest.mark.xdist_group(kind)) if KINDS[kind] else ())


EVERY = [one(kind) for kind in KINDS]
BROKERS = [one(kind) for kind in KINDS if KINDS[kind]]
KEEPERS = [one(kind) for kind in ("RabbitMQ", "Redis")]
STREAMS = [one("Redis")]
FORGETFUL = [one("Kafka")]  # Tansu, as it is packaged, keeps everything in memory


@pytest.fixture(params=EVERY)
def backend(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Backend]:
    """Every kind of bus."""
    made = servers.backend(request.param)
    yield made
    made.close()


@pytest.fixture
def bus(backend: Backend) -> Bus:
    """A bus that nobody has subscribed to yet; the test starts it."""
    return backend.open()


def eventually(true: Callable[[], Any], *, seconds: float = PATIENCE) -> Any:
    """What `true()` returns as soon as it is true; fails when it never is."""
    until = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)
    return found
