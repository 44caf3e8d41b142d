"""The whole house, and people who come to it as anybody would: sign up, log in, talk."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import uvicorn
from argon2 import PasswordHasher

from doran.core import keys, passwords
from doran.kernel.config import Config
from doran.server import wiring
from doran.server.serving import _uvicorn_settings
from doran.server.wiring import House
from tests.cast import Person
from tests.stage import eventually, ground, staged
from tests.wire import call

PASSWORD = "봄비가 내리는 밤에"
OPERATOR_TOKEN = "the operator's token, long enough for production"
ALL = ("core", "chat", "ai")


@asynccontextmanager
async def town(**changes: Any) -> AsyncIterator[House]:
    """All three services on empty databases; hashing a password costs next to nothing."""
    with quick_passwords():
        async with staged(services=ALL, **changes) as house:
            yield house


@contextmanager
def quick_passwords() -> Iterator[None]:
    passwords.use(passwords.Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))
    keys.forget()
    try:
        yield
    finally:
        passwords.use(None)
        keys.forget()


async def newcomer(app: Any, username: str, **headers: str) -> Person:
    """Somebody who has just signed up and logged in."""
    named = {"username": username, "password": PASSWORD}
    made = await call(app, "POST", "/api/core/users/", named, headers=headers)
    assert made.status == 201, made.body
    pair = (await call(app, "POST", "/api/core/tokens/", named, headers=headers)).json
    return Person(app, username, pair["user_id"], pair["access_token"])


def arriving(username: str) -> Any:
    """A fixture: somebody who has just come to the house of the test."""

    @pytest.fixture(name=username)
    async def arrives(house: House) -> Person:
        return await newcomer(house.app, username)

    return arrives


@contextmanager
def served(**changes: Any) -> Iterator[Config]:
    """The whole house behind a real port of this machine, in a loop and thread of its own."""
    with quick_passwords():
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        opened, closing = threading.Event(), threading.Event()
        found: list[Config] = []

        async def serve() -> None:
            async with ground(services=ALL, port=port, **changes) as config:
                found.append(config)
                server = uvicorn.Server(uvicorn.Config(wiring.build(config).app, **_uvicorn_settings(config)))
                server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
                serving = asyncio.create_task(server.serve(sockets=[listener]))
                await eventually(lambda: server.started)
                opened.set()
                await asyncio.to_thread(closing.wait)
                server.should_exit = True
                await serving

        thread = threading.Thread(target=asyncio.run, args=(serve(),), name="served")
        thread.start()
        try:
            assert opened.wait(20), "the server did not start"
            yield found[0]
        finally:
            closing.set()
            thread.join(20)
            assert not thread.is_alive(), "the server did not stop"
