"""Clients that keep to the letter of WebSocket and mean harm: what they send costs us no more than it costs them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from doran.server import websocket
from doran.server.websocket import FIRST_READ_BYTES, FRAMES_AT_ONCE, HIDDEN_FRAMES_PER_SECOND, SocketProtocol
from tests.stage import eventually

LIMIT = 65_536


class Pipe(asyncio.Transport):
    """What the client would read; it never does."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.aborted = False
        self.is_read = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = self.closed = True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


class Visit:
    """One socket whose application notes what it hears."""

    def __init__(self, *, ping_interval: float | None = None) -> None:
        self.heard: list[Any] = []
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.hearing = asyncio.Event()
        self.hearing.set()
        self.taking = asyncio.Event()
        self.taking.set()
        self.feeding: asyncio.Task[None] | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.pipe = Pipe()
        config: Any = SimpleNamespace(
            loaded_app=self.app, ws_ping_interval=ping_interval, ws_ping_timeout=ping_interval, ws_max_size=LIMIT
        )
        server: Any = SimpleNamespace(connections=set(), tasks=self.tasks)
        self.protocol = SocketProtocol(config, server, {})
        headers = [(b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"sec-websocket-version", b"13")]
        scope = {
            "method": "GET",
            "http_version": "1.1",
            "scheme": "http",
            "client": ("192.0.2.1", 1),
            "headers": headers,
        }
        self.protocol.open(self.pipe, scope, path=b"/ws/", query=b"")

    async def app(self, _scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await self.accepting.wait()
        await send({"type": "websocket.accept"})
        await self.taking.wait()
        while (event := await receive())["type"] == "websocket.receive":
            await self.hearing.wait()
            self.heard.append(event.get("text"))

    async def opened(self) -> Visit:
        await asyncio.sleep(0)
        self.pipe.written.clear()
        self.protocol.allow_frames_of(LIMIT)
        return self

    async def hears(self, data: bytes) -> None:
        """Let the event loop read this as fast as the protocol takes it."""
        while (data or not self.pipe.is_read) and not self.pipe.closed:
            if data and self.pipe.is_read:
                room = self.protocol.get_buffer(-1)
                piece, data = data[: len(room)], data[len(room) :]
                room[: len(piece)] = piece
                self.protocol.buffer_updated(len(piece))
            await asyncio.sleep(0)

    async def ends(self) -> None:
        self.taking.set()
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.tasks)

    async def says(self, opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> None:
        await self.hears(frame(opcode, data, fin=fin))


def frame(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return bytes(Frame(opcode, data, fin).serialize(mask=True))


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CONT], ids=["pings", "pongs", "empty pieces"])
async def test_frames_that_the_application_does_not_see_end_the_socket(opcode: Opcode) -> None:
    visit = await Visit().opened()
    await visit.says(Opcode.TEXT, b"x", fin=False)
    await visit.hears(frame(opcode, fin=opcode is not Opcode.CONT) * 10_000)
    assert visit.pipe.closed
    assert visit.pipe.written.endswith(b"\x88\x02" + (1008).to_bytes(2, "big"))
    await visit.ends()
    assert visit.heard == []


async def test_pings_at_their_usual_pace_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    visit = await Visit().opened()
    await visit.hears(frame(Opcode.PING) * (HIDDEN_FRAMES_PER_SECOND // 2))
    assert bytes(visit.pipe.written) == b"\x8a\x00" * (HIDDEN_FRAMES_PER_SECOND // 2)
    await visit.ends()


async def test_others_have_their_turn_while_many_frames_of_one_read_are_parsed() -> None:
    visit = await Visit().opened()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while len(visit.heard) < 5000:
            turns += 1
            await asyncio.sleep(0)

    await asyncio.gather(other(), visit.hears(frame(Opcode.TEXT, b"x") * 5000))
    assert turns > 5000 / FRAMES_AT_ONCE
    await visit.ends()


async def test_before_the_log_in_one_frame_is_parsed_and_little_is_read() -> None:
    visit = Visit()
    visit.taking.clear()
    await asyncio.sleep(0)
    feeding = asyncio.create_task(visit.hears(frame(Opcode.TEXT, b"x") * 40_000))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not visit.pipe.is_read
    assert len(visit.protocol._events) == 1
    assert len(visit.protocol._data) <= FIRST_READ_BYTES
    feeding.cancel()
    await visit.ends()


async def test_who_pings_and_never_reads_fills_no_memory() -> None:
    visit = await Visit().opened()
    await visit.says(Opcode.PING, b"heard")
    answered = len(visit.pipe.written)
    assert answered > 0
    visit.protocol.pause_writing()
    for _ in range(HIDDEN_FRAMES_PER_SECOND // 2):
        await visit.says(Opcode.PING, b"x" * 125)
    assert len(visit.pipe.written) == answered
    visit.protocol.resume_writing()
    await visit.says(Opcode.PING, b"again")
    assert visit.pipe.written.endswith(b"again")
    await visit.ends()


@pytest.mark.parametrize(("last", "code"), [(b"y" * (LIMIT // 2), None), (b"y" * (LIMIT // 2 + 1), 1009)])
async def test_pieces_count_together(last: bytes, code: int | None) -> None:
    visit = await Visit().opened()
    await visit.says(Opcode.TEXT, b"x" * (LIMIT // 2), fin=False)
    await visit.says(Opcode.CONT, last)
    await asyncio.sleep(0)
    assert [len(text) for text in visit.heard] == ([LIMIT] if code is None else [])
    assert bytes(visit.pipe.written) == (b"" if code is None else b"\x88\x02" + code.to_bytes(2, "big"))
    await visit.ends()


@pytest.mark.parametrize("first", [frame(Opcode.CLOSE, b"\x03\xe8"), b"\xf1\x80abcd", frame(Opcode.TEXT, b"\xff")])
async def test_who_ends_as_soon_as_it_began_leaves_nothing_running(first: bytes) -> None:
    visit = Visit()
    visit.accepting.clear()
    await asyncio.sleep(0)
    assert not visit.pipe.is_read
    visit.accepting.set()
    await visit.hears(first)
    assert visit.pipe.closed
    await visit.ends()
    assert (visit.heard, visit.tasks) == ([], set())


async def test_after_goodbye_nothing_is_heard() -> None:
    visit = await Visit().opened()
    await visit.says(Opcode.CLOSE, b"\x03\xe8")
    for _ in range(3):
        await visit.says(Opcode.TEXT, b"still here")
    await visit.ends()
    assert visit.heard == []


async def flooded() -> Visit:
    """A visit whose application is busy, so that nothing more is read; the client was pinged meanwhile."""
    visit = await Visit(ping_interval=3600).opened()
    visit.hearing.clear()
    visit.feeding = asyncio.create_task(
        visit.hears(b"".join(frame(Opcode.TEXT, b"%d" % number) for number in range(60)))
    )
    await eventually(lambda: not visit.pipe.is_read)
    visit.protocol._ping()
    return visit


async def test_who_answers_pings_that_we_do_not_read_is_not_cut_off() -> None:
    """Sixty changes at once while the database is locked: the pong waits behind them, unread."""
    visit = await flooded()
    visit.protocol._look_for_pong()
    assert not visit.pipe.aborted
    visit.hearing.set()
    await eventually(lambda: len(visit.heard) == 60)
    assert visit.pipe.is_read
    assert visit.protocol._timer is not None
    await visit.says(Opcode.PONG)
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
    await visit.says(Opcode.TEXT, b"x" * size)
    await visit.ends()
    assert [len(text) for text in visit.heard] == ([size] if code is None else [])
    assert (code is not None) == visit.pipe.closed


@pytest.mark.parametrize("first", [frame(Opcode.CLOSE, b"\x03\xe8"), b"\xf3\x80abcd"], ids=["close frame", "bad frame"])
async def test_who_says_goodbye_and_does_not_read_is_dropped(first: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.01)
    visit = await Visit().opened()
    dropped = asyncio.Event()
    monkeypatch.setattr(visit.pipe, "abort", dropped.set)
    await visit.hears(first)
    await asyncio.wait_for(dropped.wait(), 20)
    await visit.ends()
