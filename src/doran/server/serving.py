"""From settings to an answering server: socket, data folder, databases, house; and the way back."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from doran.kernel import config as settings
from doran.kernel import faults
from doran.kernel.config import Config
from doran.server import beforehand, databases, folder
from doran.server.databases import in_use
from doran.server.exits import EXITS, Refused, database_refusal
from doran.server.telling import say, step

Play = Callable[[Config], str]
LAST_SECONDS = 5.0
Greet = Callable[[], Awaitable[None]]


def serve(config: Config, *, play: Play | None = None) -> int:
    """Serve until told to stop. `play` runs once the server answers; what it returns is printed."""
    began = time.perf_counter()
    beforehand.look(config)
    with step("Taking the port"):
        listener = bind(config.host, config.port)
    config = _moved_in(config.replace(port=listener.getsockname()[1]))
    with step("Waking the services"):
        server = _server(config, lambda: _greet(config, play, began), is_demo=play is not None)
    return _run(server, [listener])


def work(config: Config, *, listens: bool) -> int:
    """Carry events and do what is due until told to stop. It `listens` only for health and metrics."""
    began = time.perf_counter()
    beforehand.look(config)
    listeners = [bind(config.host, config.port)] if listens else []
    config = _moved_in(config)
    with step("Waking the workers"):
        server = _server(config, lambda: _say_it_works(config, listeners, began), has_front=False)
    return _run(server, listeners)


def _moved_in(config: Config) -> Config:
    os.umask(0o077)
    with folder.whole_or_not(Path(config.data)):
        with step("Preparing the data folder"):
            config = furnish(config)
        trust(config)
        migrate(config)
        in_use.mark(config)
    return config


def _run(server: Any, listeners: list[socket.socket]) -> int:
    try:
        server.run(sockets=listeners)
    finally:
        in_use.put_away()
    if server.failure is not None:
        raise server.failure
    return 0


def look(config: Config) -> None:
    """Refuse what `serve` would refuse first, and leave nothing behind."""
    bind(config.host, config.port).close()
    if folder.is_needed(config):
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
    from doran.server.peers import raise_file_limit

    raise_file_limit()
    config = folder.prepare(config)
    folder.hold(config)
    in_use.refuse_torn(config)
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


def trust(config: Config) -> None:
    """Production mode refuses a database that may lose what it has committed; in development it is said."""
    from django.db import DatabaseError, connections

    from doran.server.databases import readings

    for service in config.services:
        try:
            found = readings.undurable(connections[service])
        except DatabaseError as wrong:
            raise database_refusal(wrong, service, Path(config.data)) from wrong
        if found and config.production:
            raise Refused("unsafe_database", f"production mode refuses {service}'s database: {'; '.join(found)}.")
        for sentence in found:
            say(f"Warning: {service}'s database: {sentence}")


def migrate(config: Config) -> None:
    """Bring each service's own database up to date."""
    refuse_half_moved(config)
    for service in config.services:
        if waiting := waiting_migrations(service, Path(config.data)):
            with step(f"Bringing {service}'s database up to date ({waiting})"):
                bring_up_to_date(service, Path(config.data))
    if "ai" in config.services:
        _plant_prompts(Path(config.data))
        _let_the_database_compare(Path(config.data))
    folder.note_made(config)


def _plant_prompts(place: Path) -> None:
    """A release may bring better prompts than the one before."""
    from django.db import DatabaseError

    from doran.ai.prompts import planting
    from doran.server.databases.alone import alone

    try:
        with alone("ai"):  # copies that start together would wait for each other's rows, each holding one
            planting.plant()
    except DatabaseError as wrong:
        raise database_refusal(wrong, "ai", place) from wrong


def _let_the_database_compare(place: Path) -> None:
    """pgvector may have come after the tables were made."""
    from django.db import DatabaseError

    from doran.ai.retrieval import pgvector
    from doran.server.databases.alone import alone

    try:
        if not pgvector.may_come():
            return
        with alone("ai"):
            if pgvector.make():
                with step("Bringing ai's vectors to pgvector"):
                    pgvector.complete()
    except DatabaseError as wrong:
        raise database_refusal(wrong, "ai", place) from wrong


def refuse_half_moved(config: Config) -> None:
    """What is in a database before its move was compared to the end is nobody's to use."""
    from django.db import DatabaseError

    for service in config.services:
        try:
            is_half = is_half_moved(service)
        except DatabaseError as wrong:
            raise database_refusal(wrong, service, Path(config.data)) from wrong
        if is_half:
            raise Refused("bad_database", f"{service}'s database is half moved: run `doran move` to its end first.")


def refuse_outdated(config: Config) -> None:
    """Raises `Refused` where a database lacks tables or columns of this version."""
    for service in config.services:
        if waiting := waiting_migrations(service, Path(config.data)):
            raise Refused(
                "bad_database", f"{service}'s database lacks {waiting} migrations: run `doran migrate {service}` first."
            )


def is_half_moved(service: str) -> bool:
    from django.db import connections

    return databases.MOVING in connections[service].introspection.table_names()


def waiting_migrations(service: str, place: Path, *, alias: str = "") -> int:
    """How many migrations the database of a service lacks, or that of another name with the tables of this service."""
    from django.db import DatabaseError, connections
    from django.db.migrations.executor import MigrationExecutor

    try:
        executor = MigrationExecutor(connections[alias or service])
        leaves = [leaf for label in databases.labels(service) for leaf in executor.loader.graph.leaf_nodes(label)]
        return len(executor.migration_plan(leaves))
    except DatabaseError as wrong:
        raise database_refusal(wrong, service, place) from wrong


def bring_up_to_date(service: str, place: Path) -> None:
    from django.core.management import call_command
    from django.db import DatabaseError

    from doran.server.databases.alone import alone

    try:
        with alone(service):
            for label in databases.labels(service):
                call_command("migrate", label, database=service, verbosity=0, interactive=False, skip_checks=True)
    except DatabaseError as wrong:
        raise database_refusal(wrong, service, place) from wrong


def _server(config: Config, greet: Greet, *, has_front: bool = True, is_demo: bool = False) -> Any:
    import uvicorn

    from doran.server import wiring

    house = wiring.build(config, has_front=has_front)
    if is_demo:
        from doran.server.demo import Door

        house.app.open_demo(Door(config))

    class Server(uvicorn.Server):
        """uvicorn's, which also says when it is ready and lets the house drain before it closes."""

        failure: Exception | None = None

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            try:
                with _quiet("uvicorn.error"):
                    await super().startup(sockets)
                _settle_memory()
                await greet()
            except SystemExit:
                self.failure, self.should_exit = house.failure, True
            except Refused as refused:
                self.failure, self.should_exit = refused, True

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            say("Stopping: sockets are told to come back, what was accepted is finished.")
            _leave_in_time(config)
            await self._let_proxies_notice()
            for server in self.servers:
                server.close()
            await house.drain()
            await super().shutdown(sockets)
            self.failure = self.failure or house.failure
            in_use.put_away()
            say("Stopped.")

        async def _let_proxies_notice(self) -> None:
            house.leave()
            until = time.monotonic() + config.drain_delay_seconds
            while time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110  a signal handler sets it
                await asyncio.sleep(0.05)

        def end(self) -> None:
            self.should_exit = True

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit  # asked twice: at once
            self.should_exit = True

    server = Server(uvicorn.Config(house.app, **_uvicorn_settings(config)))
    house.end = server.end
    return server


def _leave_in_time(config: Config) -> None:
    """Whatever hangs, this process ends before it would be killed; either way nothing acknowledged is lost."""
    seconds = config.drain_delay_seconds + 2 * config.drain_seconds + LAST_SECONDS
    last = threading.Timer(seconds, _leave_at_once)
    last.daemon = True
    last.start()


def _leave_at_once() -> None:
    say("Stopped without waiting any longer: something did not answer.")
    os._exit(EXITS["failed"][0])


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """What this logger would say is said in our own words."""
    logger = logging.getLogger(name)
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False


@contextmanager
def _only_warnings(name: str) -> Iterator[None]:
    """The demo's people do what everybody does; that each signed up is no news to whoever waits for the log-ins."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _settle_memory() -> None:
    """What was loaded stays for the life of the process: the collector need not look at it again and again.

    Messages come and go by reference counts; looking for cycles every 700 allocations only costs.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _greet(config: Config, play: Play | None, began: float) -> None:
    if play is not None:
        with _only_warnings("doran"):
            played = await asyncio.to_thread(play, config)
        say(played)
    say(f"Doran is ready at {config.url} ({time.perf_counter() - began:.2f} s). Ctrl-C stops it.")


async def _say_it_works(config: Config, listeners: list[socket.socket], began: float) -> None:
    names = " and ".join(config.services)
    where = "".join(f"; health at port {one.getsockname()[1]}" for one in listeners)
    say(f"Doran works for {names}{where} ({time.perf_counter() - began:.2f} s). Ctrl-C stops it.")


def _uvicorn_settings(config: Config) -> dict[str, Any]:
    from doran.contracts.frames import FIRST_FRAME_BYTES  # here, for `bin/up` looks before anything is installed
    from doran.server import protocols, websocket

    return {
        "loop": "uvloop",
        "http": protocols.HttpProtocol,
        "ws": websocket.SocketProtocol,
        "ws_max_size": FIRST_FRAME_BYTES,
        "ws_per_message_deflate": False,
        "ws_ping_interval": config.heartbeat,
        "ws_ping_timeout": config.heartbeat,
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": config.keep_alive_seconds,
        "timeout_graceful_shutdown": max(1, round(config.drain_seconds)),
    }
