"""Plugs the services of this process into each other: bus, keys, paths, sockets.

Services are known here by name and loaded only if the settings ask for them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.db import connections

from doran.kernel import auth, siblings, telemetry
from doran.kernel.bus.memory import MemoryBus
from doran.kernel.config import Config
from doran.kernel.inbox import Consumer
from doran.kernel.jwks import Source
from doran.kernel.outbox import Relay
from doran.server.django_pool import DjangoPool

if TYPE_CHECKING:
    from doran.chat.service import ChatService

log = logging.getLogger(__name__)


@dataclass
class House:
    """All that runs in this process, from the first request to the last."""

    config: Config
    own_keys: Source | None = None
    bus: MemoryBus = field(default_factory=MemoryBus)
    relays: list[Relay] = field(default_factory=list)
    consumers: list[Consumer] = field(default_factory=list)
    chat: ChatService | None = None
    is_draining: bool = False
    failure: Exception | None = None

    def __post_init__(self) -> None:
        config = self.config
        self.pool = DjangoPool(threads=config.threads, queue=config.queue, body_bytes=config.body_bytes)
        self.app = _application(self)

    async def start(self) -> None:
        """Wake everything, in the order in which it leans on each other."""
        telemetry.configure(self.config)
        own_keys = self.own_keys or await asyncio.to_thread(_own_keys, self.config)
        auth.use(auth.verifier(self.config, own_keys=own_keys))
        self.pool.start()
        for service in self.config.services:
            siblings.register_local(service, self.pool.ask)
            telemetry.health.register(f"{service} database", partial(_look_at_database, service))
            if service != "chat":
                self._plug(service)
        if "chat" in self.config.services:
            await self._start_chat()
        self.bus.start()
        for relay in self.relays:
            relay.start()

    async def drain(self) -> None:
        """Stop taking what is new; finish what was taken. Safe to call twice."""
        if not self.is_draining:
            self.is_draining = True
            if self.chat is not None:
                await self.chat.drain()

    async def stop(self) -> None:
        await self.drain()
        await self.pool.close(self.config.drain_seconds)
        for relay in self.relays:
            await asyncio.to_thread(relay.stop)
        await asyncio.to_thread(self.bus.stop)
        if self.chat is not None:
            await self.chat.stop()
        for service in self.config.services:
            siblings.register_local(service, None)
            telemetry.health.unregister(f"{service} database")
        siblings.close()
        auth.use(None)

    # -- plugging --------------------------------------------------------------------------------

    def _plug(self, service: str) -> None:
        """A service without sockets: its outbox, its ears."""
        models = import_module(f"doran.{service}.models")
        subscriptions: dict[str, Any] = import_module(f"doran.{service}.subscribers").SUBSCRIPTIONS
        self.relays.append(Relay(models.Outbox, self.bus))
        if subscriptions:
            consumer = Consumer(service, subscriptions, models.Inbox, models.DeadLetter)
            consumer.attach(self.bus)
            self.consumers.append(consumer)

    async def _start_chat(self) -> None:
        from doran.chat.service import ChatService

        self.chat = ChatService(self.config, bus=self.bus, core_knows=self._core_knows)
        await self.chat.start()
        self.relays.append(self.chat.relay)

    def _core_knows(self, user_id: str, token: str) -> bool:
        """Asked only where chat's own projection has a gap, with the token of whoever wants to know."""
        if not siblings.is_there("core"):
            return False
        status, _ = siblings.get("core", f"/api/core/users/{user_id}/", token=token)
        return status == 200


def _own_keys(config: Config) -> Source | None:
    """Core's published keys, asked for directly where core runs here."""
    if "core" not in config.services:
        return None
    keys = import_module("doran.core.keys")
    keys.ensure()
    published: Source = keys.published
    return published


def _look_at_database(service: str) -> None:
    try:
        with connections[service].cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connections[service].close()


def _application(house: House) -> Any:
    from doran.server.asgi import Application

    return Application(house)


def build(config: Config, *, own_keys: Source | None = None) -> House:
    """The house of these settings, not yet awake: its `app` starts it on ASGI's lifespan.

    `own_keys` gives core's key set where core neither runs here nor has an address.
    """
    return House(config, own_keys)
