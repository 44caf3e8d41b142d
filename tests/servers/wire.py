"""A wire between Doran and a database that can be cut around a COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

Cut = Literal["", "question", "answer"]
COMMIT = b"COMMIT"


class Wire:
    """Carries bytes to `port` of this machine.

    `cut` says what is lost of the next COMMIT, once: the question, so that it never happens, or only the answer.
    While the wire `is_down`, nobody gets through.
    """

    def __init__(self, port: int) -> None:
        self._to, self.port = port, 0
        self.cut: Cut = ""
        self.is_down = False
        self._lines: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Wire]:
        listening = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listening.close()
            self._hang_up()

    async def _carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self.is_down:
            return to_client.close()
        server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        ends = {to_client, to_server}
        self._lines |= ends
        back = asyncio.create_task(_pump(server, to_client))
        with suppress(ConnectionError):
            while data := await client.read(65536):
                if COMMIT in data and self.cut:
                    await self._lose(data, to_server, back)
                    break
                to_server.write(data)
        for end in ends:
            end.close()
        self._lines -= ends

    async def _lose(self, data: bytes, to_server: asyncio.StreamWriter, back: asyncio.Task[None]) -> None:
        lost, self.cut = self.cut, ""
        back.cancel()
        if lost == "answer":
            to_server.write(data)
            await to_server.drain()
            await asyncio.sleep(0.2)  # the server has it, and commits; its answer goes nowhere

    def _hang_up(self) -> None:
        for end in self._lines:
            end.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
