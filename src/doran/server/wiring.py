"""Plugs the services of this process into each other: bus, keys, paths, sockets.

Services are known here by name and loaded only if the settings ask for them.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from django.db import connections

from doran.contracts.errors import Problem
from doran.kernel import auth, clock, limits, siblings, telemetry
from doran.kernel import config as settings
from doran.kernel.bus import Bus, every
from doran.kernel.bus.memory import MemoryBus
from doran.kernel.bus.opening import open_bus
from doran.kernel.config import Config
from doran.kernel.inbox import Consumer, Replayer
from doran.kernel.jwks import FETCH_SECONDS, Keep, Source
from doran.kernel.keysets import KeptKeys
from doran.kernel.limits.memory import keys_counted
from doran.kernel.outbox import Relay
from doran.server import neighbours
from doran.server.databases import served_files, sqlite
from doran.server.exits import Refused
from doran.server.pools import Pools

if TYPE_CHECKING:
    from doran.ai.service import AiService
    from doran.chat.service import ChatService

log = logging.getLogger(__name__)
telemetry.readings.at_end.append(connections.close_all)


class Worker(Protocol):
    """Who works beside those who answer, in threads of its own: a relay, or whoever looks for rows that are due.

    Many copies may work at the same time; `stop` finishes the step under way and gives up what it held.
    """

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class House:
    """All that runs in this process, from the first request to the last.

    Without a front it answers nobody: it carries events and does what is due (`doran work`).
    With `work` off it only answers, and others work (settings).
    """

    config: Config
    own_keys: Source | None = None
    has_front: bool = True
    bus: Bus = field(init=False)
    relays: list[Relay] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    chat: ChatService | None = None
    ai: AiService | None = None
    is_leaving: bool = False
    is_draining: bool = False
    failure: Exception | None = None
    end: Callable[[], None] = lambda: None
    """Stops the process around this house, in order."""

    def __post_init__(self) -> None:
        config = self.config
        self.bus = open_bus(config.bus, listeners=config.listeners)
        self.pools = Pools(config)
        self.app = _application(self)
        self._way_back = AsyncExitStack()

    async def start(self) -> None:
        """Wake everything, in the order in which it leans on each other. If one fails, all go back to rest."""
        try:
            await self._wake()
        except BaseException:
            await self.stop()
            raise

    def leave(self) -> None:
        """Say that this house will close: it is not ready any more and keeps no connection, but goes on answering."""
        self.is_leaving = True

    async def drain(self) -> None:
        """Stop taking what is new; finish what was taken. Safe to call twice."""
        self.leave()
        if not self.is_draining:
            self.is_draining = True
            if self.ai is not None:
                self.ai.drain()
            if self.chat is not None:
                await self.chat.drain()

    async def stop(self) -> None:
        """Drain, then put to rest what was woken, the last first. Safe to call twice, and after half a start."""
        await self.drain()
        await self._way_back.aclose()

    # -- waking ----------------------------------------------------------------------------------

    async def _wake(self) -> None:
        settings.use(self.config)
        telemetry.configure(self.config)
        await self._believe_tokens()
        await self._count_together()
        self._introduce_each_other()
        for service in self.config.services:
            self._watch(f"{service} database", partial(_look_at_database, service), source=f"{service} database")
            if connections[service].vendor == "sqlite":
                file = Path(connections[service].settings_dict["NAME"])
                self._way_back.callback(telemetry.watch_wal(service, partial(sqlite.wal_bytes, file)))
            if service == "chat":
                await self._start_chat()
            else:
                self._plug(service)
            if service == "ai":
                await self._open_ai()
        if "core" in self.config.services:
            await asyncio.to_thread(_welcome_assistant)
        if self.config.work:
            self._begin_to_work()
        if self.has_front:
            self._open_front()

    async def _believe_tokens(self) -> None:
        own_keys = self.own_keys or await asyncio.to_thread(_own_keys, self.config)
        verifier = auth.verifier(self.config, own_keys=own_keys, keep=_keep(self.config))
        self._way_back.callback(auth.use, None)
        auth.use(verifier)
        self._show_size("known tokens", lambda: verifier.known)
        self._show_size("ended sessions", lambda: len(auth.ended))
        self._watch("clock", _look_at_clock, needed=False, quiet=True)
        for issuer, ring in verifier.rings.items():
            if own_keys is None or issuer != self.config.issuer_name:
                needed = self.has_front and verifier.needs(issuer)
                self._watch(f"keys of {issuer}", ring.check, timeout=FETCH_SECONDS, needed=needed)

    async def _count_together(self) -> None:
        self._show_size("keys of limits", keys_counted)
        self._way_back.push_async_callback(asyncio.to_thread, limits.stop, self.config)
        await asyncio.to_thread(limits.start, self.config)
        if self.config.redis:
            self._watch("redis", partial(limits.ping, self.config), needed=False)

    def _show_size(self, kind: str, count: Callable[[], int]) -> None:
        self._way_back.callback(telemetry.watch_memory(kind, count))

    def _watch(self, name: str, check: telemetry.health.Check, **more: Any) -> None:
        """Show in `/health/ready` whether this is well."""
        self._way_back.callback(telemetry.health.unregister, name)
        telemetry.health.register(name, check, **more)

    def _begin_to_work(self) -> None:
        for consumer in self.consumers:
            consumer.attach(self.bus)
        self._way_back.callback(telemetry.health.unregister, "bus")
        telemetry.health.register("bus", self.bus.look, needed=False)  # without it, events wait and people talk
        parts: list[Worker] = [self.bus, *self.relays, *map(Replayer, self.consumers), *self.workers]
        for part in parts:
            self._way_back.push_async_callback(asyncio.to_thread, part.stop)
            part.start()

    def _introduce_each_other(self) -> None:
        self._way_back.callback(siblings.close)
        self.pools.load()
        for service in self.config.services:
            self._way_back.callback(siblings.register_local, service, None)
            siblings.register_local(service, self.pools.rest.ask)
        for service in neighbours.elsewhere(self.config):
            self._watch(service, partial(_look_at_sibling, service), needed=False)

    def _open_front(self) -> None:
        for kind, pool in (("rest calls waiting", self.pools.rest), ("log-ins waiting", self.pools.hashing)):
            self._show_size(kind, partial(getattr, pool, "waiting"))
            self._way_back.callback(telemetry.watch_memory_bound(kind, pool.most_waiting))
        self._way_back.push_async_callback(self.pools.close, self.config.drain_seconds)
        self.pools.start()

    # -- plugging --------------------------------------------------------------------------------

    def _plug(self, service: str) -> None:
        """A service without sockets: its outbox, its ears."""
        models = import_module(f"doran.{service}.models")
        ears = import_module(f"doran.{service}.subscribers")
        self.relays.append(Relay(models.Outbox, self.bus, shared=self._is_one_of_many))
        if ears.SUBSCRIPTIONS:
            self.consumers.append(
                Consumer(
                    service,
                    ears.SUBSCRIPTIONS,
                    models.Inbox,
                    models.DeadLetter,
                    concerns=getattr(ears, "concerns", every),
                )
            )
        if service == "core":
            self._plug_webhooks()

    def _plug_webhooks(self) -> None:
        from doran.core.webhooks.hearing import ear
        from doran.core.webhooks.worker import Worker

        self.consumers.append(ear())
        self.workers.append(Worker(self.config))

    async def _open_ai(self) -> None:
        from doran.ai.service import AiService

        self.ai = AiService(self.config)
        self._way_back.push_async_callback(self.ai.stop)
        self.ai.start()
        await asyncio.to_thread(self.ai.tell)
        self.workers.append(self.ai.worker)

    async def _start_chat(self) -> None:
        from doran.chat.service import ChatService

        self.chat = ChatService(
            self.config,
            bus=self.bus,
            is_one_of_many=self._is_one_of_many,
            core_knows=self._core_knows,
            outlived=self._outlived,
        )
        self.relays.append(self.chat.relay)
        self.consumers.append(self.chat.consumer)
        self._way_back.push_async_callback(self.chat.stop)
        await self.chat.start()

    def _outlived(self) -> None:
        """Whoever runs this process starts it again, on the timeline that is there now."""
        self.failure = Refused(
            "bad_database", "chat's database was put back while this process ran: it has to start again."
        )
        self.end()

    @property
    def _is_one_of_many(self) -> bool:
        """Whether other copies may carry the same outboxes. The memory bus reaches nobody beyond this process."""
        return not isinstance(self.bus, MemoryBus)

    def _core_knows(self, user_id: str) -> bool:
        """Asked only where chat's own projection has a gap. Whether somebody exists is nobody's right in particular,
        so chat asks in its own name. Raises `Problem("unavailable")`."""
        if not siblings.is_there("core"):
            return False
        status, _ = siblings.get("core", f"/api/core/users/{user_id}/", asker="chat")
        if status not in (200, 404):
            raise Problem("unavailable", "core does not answer chat's question.", retry_after=1)
        return status == 200


def _own_keys(config: Config) -> Source | None:
    """Core's published keys, asked for directly where core runs here."""
    if "core" not in config.services:
        return None
    keys = import_module("doran.core.keys")
    keys.ensure()
    published: Source = keys.published
    return published


def _welcome_assistant() -> None:
    import_module("doran.core.assistant").welcome()


def _keep(config: Config) -> Callable[[str], Keep] | None:
    """Where keys of issuers outlive this process: in the database of a service that needs them."""
    for service in ("chat", "ai"):
        if service in config.services:
            return partial(KeptKeys, import_module(f"doran.{service}.models").KeySet)
    return None


def _look_at_clock() -> None:
    """What shows that this machine's clock is wrong, or another's: whoever is refused for that is refused here."""
    if found := clock.disagreements():
        raise telemetry.health.Unwell(found)


def _look_at_sibling(service: str) -> None:
    """Through its breaker: so it is also found again when nobody else asks."""
    siblings.get(service, "/health/live", seconds=1.0)


def _look_at_database(service: str) -> None:
    """On a connection that is kept as long as it works."""
    connection = connections[service]
    if served_files.is_lost(str(connection.settings_dict["NAME"])):
        raise telemetry.health.Unwell("lost")
    if connection.connection is not None and not connection.is_usable():
        connection.close()
    connection.ensure_connection()


def _application(house: House) -> Any:
    from doran.server.asgi import Application

    return Application(house)


def build(config: Config, *, own_keys: Source | None = None, has_front: bool = True) -> House:
    """The house of these settings, not yet awake: its `app` starts it on ASGI's lifespan.

    `own_keys` gives core's key set where core neither runs here nor has an address.
    """
    return House(_with_own_secret(config), own_keys, has_front)


def _with_own_secret(config: Config) -> Config:
    """Services that share a process with core prove themselves by a secret of this process."""
    if "core" not in config.services:
        return config
    secret = config.service_secret or secrets.token_urlsafe(32)
    ours = tuple((service, siblings.fingerprint(secret)) for service in config.services)
    return config.replace(service_secret=secret, service_secrets=(*config.service_secrets, *ours))
