"""Thread pools of REST: calls that hash a password have threads and a queue of their own.

A hash takes tens of milliseconds of all cores. In a shared pool a flood of log-ins would delay every other call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Final

from doran.kernel.config import Config
from doran.server import admin
from doran.server.django_pool import DjangoPool, Receive, Scope, Send

HASHING: Final = frozenset({
    ("POST", "/api/core/users"),
    ("POST", "/api/core/tokens"),
    ("DELETE", "/api/core/users/me"),
    ("POST", admin.PATH + "login"),
    ("POST", admin.PATH + "password_change"),
})  # fmt: skip
"""Every call that hashes, without the slash at its end."""


class Pools:
    """ASGI application for `http` scopes that passes each call to the pool of its route."""

    def __init__(self, config: Config) -> None:
        pool = partial(DjangoPool, body_bytes=config.body_bytes, patience=config.database_patience)
        self.rest = pool(threads=config.threads, queue=config.queue)
        self.hashing = pool(
            threads=config.hash_threads, queue=config.hash_queue, name="hashing", goes_first=_known_device(config)
        )

    def load(self) -> None:
        """Load the middleware: from now on `rest.ask` answers."""
        self.rest.load()
        self.hashing.load()

    def start(self) -> None:
        """Start the threads, after `load`."""
        self.rest.start()
        self.hashing.start()

    async def close(self, seconds: float) -> None:
        """Let queued calls finish, for at most `seconds`, and end the threads."""
        await asyncio.gather(self.rest.close(seconds), self.hashing.close(seconds))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        is_hashing = (scope["method"], scope["path"].rstrip("/")) in HASHING
        return (self.hashing if is_hashing else self.rest)(scope, receive, send)


def _known_device(config: Config) -> Callable[[Scope], bool] | None:
    """Return the test for calls that go first in the queue: those with a known-device cookie."""
    if "core" not in config.services:
        return None
    goes_first = import_module("doran.core.devices").goes_first
    return lambda scope: goes_first(_cookie(scope))


def _cookie(scope: Scope) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"), "")
