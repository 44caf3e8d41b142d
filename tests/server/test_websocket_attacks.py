"""Clients that keep to the letter of WebSocket and mean harm: what they send costs us no more than it costs them."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from doran.server.websocket import SocketProtocol
from tests.stage import eventually

LIMIT = 65_536


class Pipe(asyncio.Transport):
    """What the client would read; it never does."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.aborted = False
        self.reads = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Visit:
    """One socket whose application notes what it hears."""

    def __init__(self, *, ping_interval: float | None = None) -> None:
        self.heard: list[Any] = []
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.hearing = asyncio.Event()
        self.hearing.set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.pipe = Pipe()
        config: Any = SimpleNamespace(
            loaded_app=self.app, ws_ping_interval=ping_interval, ws_ping_timeout=ping_interval, ws_max_size=LIMIT
        )
        server: Any = SimpleNamespace(connections=set(), tasks=self.tasks)
        self.protocol = SocketProtocol(config, server, {})
        headers = [(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"sec-websocket-version", b"13")]
        self.protocol.open(self.pipe, {"scheme": "http", "headers": headers}, path=b"/ws/", query=b"")

    async def app(self, _scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await self.accepting.wait()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            await self.hearing.wait()
            self.heard.append(event.get("text"))

    async def opened(self) -> Visit:
        await asyncio.sleep(0)
        self.pipe.written.clear()
        return self

    async def ends(self) -> None:
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.tasks)

    def says(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        self.protocol.data_received(frame(opcode, data, fin=fin))


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin).serialize(mask=True))


async def test_endless_empty_pieces_cost_no_more_than_their_bytes() -> None:
    visit = await Visit().opened()
    visit.says(Opcode.TEXT, b"x", fin=False)
    many = frame(Opcode.CONT, fin=False) * 1000
    began = time.process_time()  # others on the machine do not count
    for _ in range(60):
        visit.protocol.data_received(many)
    assert time.process_time() - began < 3
    visit.says(Opcode.CONT, b"y")
    await asyncio.sleep(0)
    assert visit.heard == ["xy"]
    await visit.ends()


async def test_who_pings_and_never_reads_fills_no_memory() -> None:
    visit = await Visit().opened()
    visit.says(Opcode.PING, b"heard")
    answered = len(visit.pipe.written)
    assert answered > 0
    visit.protocol.pause_writing()
    for _ in range(1000):
        visit.says(Opcode.PING, b"x" * 125)
    assert len(visit.pipe.written) == answered
    visit.protocol.resume_writing()
    visit.says(Opcode.PING, b"again")
    assert visit.pipe.written.endswith(b"again")
    await visit.ends()


@pytest.mark.parametrize(("last", "code"), [(b"y" * (LIMIT // 2), None), (b"y" * (LIMIT // 2 + 1), 1009)])
async def test_pieces_count_together(last: bytes, code: int | None) -> None:
    visit = await Visit().opened()
    visit.says(Opcode.TEXT, b"x" * (LIMIT // 2), fin=False)
    visit.says(Opcode.CONT, last)
    await asyncio.sleep(0)
    assert [len(text) for text in visit.heard] == ([LIMIT] if code is None else [])
    assert visit.pipe.written == (b"" if code is None else b"\x88\x02" + code.to_bytes(2, "big"))
    await visit.ends()


@pytest.mark.parametrize("first", [frame(Opcode.CLOSE, b"\x03\xe8"), b"\xf1\x80abcd", frame(Opcode.TEXT, b"\xff")])
async def test_who_ends_before_it_began_leaves_nothing_running(first: bytes) -> None:
    visit = Visit()
    visit.accepting.clear()
    await asyncio.sleep(0)
    visit.protocol.data_received(first)
    assert visit.pipe.closed
    visit.accepting.set()
    await visit.ends()
    assert (visit.heard, visit.tasks) == ([], set())


async def test_after_goodbye_nothing_is_heard() -> None:
    visit = await Visit().opened()
    visit.says(Opcode.CLOSE, b"\x03\xe8")
    for _ in range(3):
        visit.says(Opcode.TEXT, b"still here")
    await visit.ends()
    assert visit.heard == []


async def flooded() -> Visit:
    """A visit whose application is busy, so that nothing more is read; the client was pinged meanwhile."""
    visit = await Visit(ping_interval=3600).opened()
    visit.hearing.clear()
    for number in range(60):
        visit.says(Opcode.TEXT, b"%d" % number)
        await asyncio.sleep(0)
    assert not visit.pipe.reads
    visit.protocol._ping()
    return visit


async def test_who_answers_pings_that_we_do_not_read_is_not_cut_off() -> None:
    """Sixty changes at once while the database is locked: the pong waits behind them, unread."""
    visit = await flooded()
    visit.protocol._look_for_pong()
    assert not visit.pipe.aborted
    visit.hearing.set()
    await eventually(lambda: len(visit.heard) == 60)
    assert visit.pipe.reads
    assert visit.protocol._timer is not None
    visit.says(Opcode.PONG)
    visit.protocol._look_for_pong()
    assert not visit.pipe.aborted
    await visit.ends()
    assert visit.heard == [str(number) for number in range(60)]


async def test_who_answers_no_ping_is_cut_off_when_everything_is_read() -> None:
    visit = await flooded()
    visit.protocol._look_for_pong()
    visit.hearing.set()
    await eventually(lambda: len(visit.heard) == 60)
    visit.protocol._look_for_pong()
    assert visit.pipe.aborted
    await visit.ends()


@pytest.mark.parametrize(("size", "code"), [(2 * LIMIT, None), (2 * LIMIT + 1, 1009)])
async def test_longer_frames_are_taken_when_they_are_allowed(size: int, code: int | None) -> None:
    visit = await Visit().opened()
    visit.protocol.allow_frames_of(2 * LIMIT)
    visit.says(Opcode.TEXT, b"x" * size)
    await visit.ends()
    assert [len(text) for text in visit.heard] == ([size] if code is None else [])
    assert (code is not None) == visit.pipe.closed
