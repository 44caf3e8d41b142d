"""A chat server of a few lines that speaks Doran's frames for one pair, and can be told to misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

from bench.people import dialect
from bench.seats import BODY, Dialect, Pair, Seat

SPEECH: Dialect = dialect(door="one", marks=True)


class Toy:
    """`forget_answer`, `repeat_message`, `refuse` and `hang_up` each happen to the message of that number."""

    def __init__(self, *, forget_answer: int = 0, repeat_message: int = 0, refuse: int = 0, hang_up: int = 0) -> None:
        self.forget_answer, self.repeat_message, self.refuse, self.hang_up = (
            forget_answer,
            repeat_message,
            refuse,
            hang_up,
        )
        self.screens: dict[str, ServerConnection] = {}
        self.messages: list[str] = []
        self.marked: list[str] = []

    async def serve_one(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        who = socket.request.headers["Authorization"].removeprefix("Bearer ")
        self.screens[who] = socket
        await socket.send(json.dumps({"type": "conversation_history", "messages": [{"content": "hello"}]}))
        async for text in socket:
            await self.take(json.loads(text), socket)

    async def take(self, frame: dict[str, str], socket: ServerConnection) -> None:
        if frame["type"] == "mark_as_delivered":
            self.marked.append(frame["message_id"])
            return
        self.messages.append(frame["content"])
        number = len(self.messages)
        if number == self.hang_up:
            await socket.close(4408)
            return
        if number == self.refuse:
            await socket.send(json.dumps({"type": "error", "code": "too_many_requests"}))
            return
        if number != self.forget_answer:
            await socket.send(json.dumps({"type": "ack", "client_message_id": frame["client_message_id"]}))
        said = {
            "type": "chat_message",
            "conversation_id": "c",
            "message": {"id": f"m{number}", "content": frame["content"]},
        }
        for _ in range(2 if number == self.repeat_message else 1):
            await self.screens["junho"].send(json.dumps(said, separators=(",", ":")))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Pair]:
        """Serve on a free port; Minji writes, Junho reads."""
        async with serve(self.serve_one, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield pair(f"ws://127.0.0.1:{port}/")
            await asyncio.sleep(0)


def pair(url: str) -> Pair:
    frame = {"type": "chat_message", "client_message_id": "minji-%STAMP%", "content": BODY}
    return Pair(
        a=Seat(url, (("Authorization", "Bearer minji"),)),
        b=Seat(url, (("Authorization", "Bearer junho"),)),
        frame=json.dumps(frame).encode(),
    )
