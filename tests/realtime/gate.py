"""A gateway without a service behind it, and wires that are only memory."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from doran.contracts import frames
from doran.contracts.errors import Problem
from doran.kernel import config as settings
from doran.kernel.auth import Principal
from doran.realtime.connection import BinaryFrame, Connection, Gateway, Gone, History
from doran.realtime.hub import Delivery, Hub
from doran.realtime.presence.memory import MemoryPresence
from tests.stage import eventually


def person(name: str) -> Principal:
    return Principal(name, f"session of {name}", "us", int(time.time()) + 600, "token")


class Wire:
    """The other end of a socket: what it says, what it was told, whether it reads."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.told: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.closed: int | None = None
        self.aborted = False
        self.longest: int | None = None

    def allow_frames_of(self, size: int) -> None:
        self.longest = size

    async def receive(self) -> str:
        said = await self.says.get()
        if isinstance(said, type) and issubclass(said, Exception):
            raise said
        return said if isinstance(said, str) else json.dumps(said)

    def send_at_once(self, text: str) -> bool:
        return False

    async def send(self, text: str) -> None:
        await self.reads.wait()
        self.told.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        await self.reads.wait()
        self.closed = code

    def abort(self) -> None:
        self.aborted = True


class Gate:
    """Tokens are names; `open` is what a conversation's socket shows first."""

    def __init__(self, **changes: Any) -> None:
        self.hub = Hub(sockets_per_person=changes.pop("sockets_per_person", 30))
        self.presence = MemoryPresence(self.hub, grace=0.0)
        self.heard: list[Any] = []
        self.settled = asyncio.Event()
        self.settled.set()
        self.gateway = Gateway(
            config=settings.load({}).replace(**changes),
            hub=self.hub,
            presence=self.presence,
            verify=self.verify,
            handlers=dict.fromkeys(frames.CLIENT_FRAMES, self.handle),
            open_conversation=self.open,
            epoch=lambda: "epoch",
            settled=self.settle,
        )

    async def verify(self, token: str) -> Principal:
        if token == "bad":
            raise Problem("not_authenticated")
        if token == "away":
            raise Problem("unavailable", retry_after=1)
        if token == "slow":
            await asyncio.Event().wait()
        return person(token)

    async def settle(self) -> None:
        """What was said is answered when `settled` is set."""
        await self.settled.wait()

    async def open(self, connection: Connection) -> History:
        if connection.conversation_id == "not yours":
            raise Problem("not_found")
        return History('{"type":"conversation_history"}', 7, 5)

    def handle(self, connection: Connection, frame: Any) -> None:
        self.heard.append(frame)
        if isinstance(frame, frames.Typing):
            raise RuntimeError("something nobody thought of")
        if isinstance(frame, frames.EditMessage):
            raise Problem("too_late")

    def enters(self, token: str | None = "minji", *, conversation_id: str | None = None) -> Visit:
        return Visit(self, token, conversation_id)


class Visit:
    """One socket from its handshake on."""

    def __init__(self, gate: Gate, token: str | None, conversation_id: str | None) -> None:
        self.wire = Wire()
        self.connection = Connection(self.wire, gate.gateway, conversation_id=conversation_id, token=token)
        self.life = asyncio.create_task(self.connection.live())

    async def ends(self) -> int | None:
        """The close code; None when there was no close frame."""
        await asyncio.wait_for(asyncio.shield(self.life), 20)
        return self.wire.closed

    async def settles(self) -> list[str]:
        """The types of everything told so far, when all that was said is dealt with."""
        self.wire.says.put_nowait({"type": "ping", "ref": "settled"})
        await eventually(lambda: any(one.get("ref") == "settled" for one in self.wire.told))
        return [one["type"] for one in self.wire.told[:-1]]

    async def leaves(self) -> None:
        self.wire.says.put_nowait(Gone)
        await self.ends()


def news(number: int, *, to: str = "minji", conversation_id: str | None = None, **more: Any) -> Delivery:
    return Delivery((to,), json.dumps({"type": "news", "number": number}), conversation_id, **more)


__all__ = ["BinaryFrame", "Gate", "Gone", "Visit", "Wire", "news", "person"]
