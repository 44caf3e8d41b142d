"""From settings to an answering server: socket, data folder, databases, house; and the way back."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from doran.kernel import config as settings
from doran.kernel import faults
from doran.kernel.config import Config
from doran.server import folder
from doran.server.exits import Refused, database_refusal
from doran.server.telling import say, step

Play = Callable[[Config], str]


def serve(config: Config, *, play: Play | None = None) -> int:
    """Serve until told to stop. `play` runs once the server answers; what it returns is printed."""
    os.umask(0o077)
    began = time.perf_counter()
    with step("Taking the port"):
        listener = bind(config.host, config.port)
    config = config.replace(port=listener.getsockname()[1])
    with folder.whole_or_not(Path(config.data)):
        with step("Preparing the data folder"):
            config = furnish(config)
        migrate(config)
    with step("Waking the services"):
        server = _server(config, play, began)
    server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure
    return 0


def look(config: Config) -> None:
    """Refuse what `serve` would refuse first, and leave nothing behind."""
    bind(config.host, config.port).close()
    folder.look(Path(config.data))


def bind(host: str, port: int) -> socket.socket:
    """The listening socket. It is taken first, so that a taken port leaves nothing half made."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as wrong:
        raise _bind_refusal(wrong, host, port) from wrong
    return listener


def _bind_refusal(wrong: OSError, host: str, port: int) -> Refused:
    if wrong.errno == errno.EADDRINUSE:
        return Refused("port_taken", f"Port {port} on {host} is taken by another program: choose another with --port.")
    if wrong.errno == errno.EACCES:
        return Refused("port_taken", f"Port {port} may not be used by this user: choose one above 1023 with --port.")
    return Refused("port_taken", f"{host} is not an address of this machine: choose another with --host.")


def furnish(config: Config) -> Config:
    """The data folder made and held, the settings put in force, Django awake."""
    config = folder.prepare(config)
    folder.hold(Path(config.data))
    wake(config)
    if config.fault:
        faults.arm(config.fault)
    return config


def wake(config: Config) -> None:
    """Put the settings in force for this process and start Django with them."""
    settings.use(config)
    os.environ["DJANGO_SETTINGS_MODULE"] = "doran.server.settings"
    import django

    django.setup()


def migrate(config: Config) -> None:
    """Bring each service's own database up to date."""
    for service in config.services:
        if waiting := waiting_migrations(service, Path(config.data)):
            with step(f"Bringing {service}'s database up to date ({waiting})"):
                _migrate(service, Path(config.data))


def waiting_migrations(service: str, place: Path) -> int:
    """How many migrations the database of a service lacks."""
    from django.db import DatabaseError, connections
    from django.db.migrations.executor import MigrationExecutor

    try:
        executor = MigrationExecutor(connections[service])
        return len(executor.migration_plan(executor.loader.graph.leaf_nodes(service)))
    except DatabaseError as wrong:
        raise database_refusal(wrong, service, place) from wrong


def _migrate(service: str, place: Path) -> None:
    from django.core.management import call_command
    from django.db import DatabaseError

    try:
        call_command("migrate", service, database=service, verbosity=0, interactive=False, skip_checks=True)
    except DatabaseError as wrong:
        raise database_refusal(wrong, service, place) from wrong


def _server(config: Config, play: Play | None, began: float) -> Any:
    import uvicorn

    from doran.server import wiring

    house = wiring.build(config)

    class Server(uvicorn.Server):
        """uvicorn's, which also says when it is ready and lets the house drain before it closes."""

        failure: Exception | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                with _quiet("uvicorn.error"):
                    await super().startup(sockets)
                _settle_memory()
                await _greet(config, play, began)
            except SystemExit:
                self.failure, self.should_exit = house.failure, True
            except Refused as refused:
                self.failure, self.should_exit = refused, True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            say("Stopping: sockets are told to come back, what was accepted is finished.")
            for server in self.servers:
                server.close()
            await house.drain()
            await super().shutdown(sockets)
            say("Stopped.")

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit  # asked twice: at once
            self.should_exit = True

    return Server(uvicorn.Config(house.app, **_uvicorn_settings(config)))


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """What this logger would say is said in our own words."""
    logger = logging.getLogger(name)
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False


def _settle_memory() -> None:
    """What was loaded stays for the life of the process: the collector need not look at it again and again.

    Messages come and go by reference counts; looking for cycles every 700 allocations only costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _greet(config: Config, play: Play | None, began: float) -> None:
    if play is not None:
        say(await asyncio.to_thread(play, config))
    say(f"Doran is ready at {config.url} ({time.perf_counter() - began:.2f} s). Ctrl-C stops it.")


def _uvicorn_settings(config: Config) -> dict[str, Any]:
    from doran.server import protocols, websocket

    return {
        "loop": "uvloop",
        "http": protocols.HttpProtocol,
        "ws": websocket.SocketProtocol,
        "ws_max_size": 65_536,
        "ws_per_message_deflate": False,
        "ws_ping_interval": config.heartbeat,
        "ws_ping_timeout": config.heartbeat,
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_graceful_shutdown": max(1, round(config.drain_seconds)),
    }
