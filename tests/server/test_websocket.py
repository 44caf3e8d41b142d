"""Our WebSocket protocol says and hears exactly what the websockets library does, frame by frame."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import websockets
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from doran.kernel.config import load
from doran.server import protocols, serving
from doran.server.protocols import HttpProtocol
from doran.server.websocket import SocketProtocol
from tests.stage import eventually

LIMIT = 65_536


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Says back what it hears, with its kind and size; ends when the other side does."""
    await receive()
    await send({"type": "websocket.accept"})
    if isinstance(protocol := getattr(send, "__self__", None), SocketProtocol):
        protocol.allow_frames_of(LIMIT)
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        said = f"text {text}" if text is not None else f"bytes {event['bytes'].hex()}"
        await send({"type": "websocket.send", "text": said})


async def hello(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


SERVERS: list[uvicorn.Server] = []


@asynccontextmanager
async def served(protocol: type[asyncio.Protocol], app: Any = echo, **more: Any) -> AsyncIterator[int]:
    settings = {
        "http": HttpProtocol, "ws": protocol, "log_config": None, "ws_max_size": LIMIT, "ws_per_message_deflate": False, **more,
    }  # fmt: skip
    config = uvicorn.Config(app, port=0, **{**settings, "lifespan": "off"})
    server = uvicorn.Server(config)
    SERVERS[:] = [server]
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await server.shutdown()


async def heard_back(port: int, stream: bytes, cuts: list[int]) -> list[Any]:
    """What a server answers to these raw bytes, sent in these pieces, up to its close."""
    async with websockets.connect(f"ws://127.0.0.1:{port}/", max_size=None, ping_interval=None) as client:
        edges = sorted({0, *(cut % (len(stream) + 1) for cut in cuts), len(stream)})
        for low, high in zip(edges, edges[1:], strict=False):
            client.transport.write(stream[low:high])
            await asyncio.sleep(0)
        return [frame async for frame in _until_closed(client)]


async def _until_closed(client: Any) -> AsyncIterator[Any]:
    try:
        while True:
            yield await asyncio.wait_for(client.recv(), 20)
    except websockets.ConnectionClosed as closed:
        yield closed.rcvd.code if closed.rcvd else None


def _frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


CLOSE = _frame(Opcode.CLOSE, b"\x03\xe8")
ordinary = st.text(max_size=40).map(lambda text: _frame(Opcode.TEXT, text.encode()))
long = st.sampled_from([125, 126, 127, 1000, LIMIT]).map(lambda size: _frame(Opcode.TEXT, b"a" * size))
binary = st.binary(max_size=20).map(lambda data: _frame(Opcode.BINARY, data))
ping = st.binary(max_size=10).map(lambda data: _frame(Opcode.PING, data))
fragments = st.tuples(st.text(max_size=5), st.text(max_size=5)).map(
    lambda two: _frame(Opcode.TEXT, two[0].encode(), False) + _frame(Opcode.PING, b"!") + _frame(Opcode.CONT, two[1].encode())
)  # fmt: skip
odd = st.sampled_from([
    _frame(Opcode.TEXT, b"\xff\xfe"), _frame(Opcode.TEXT, b"b" * (LIMIT + 1)), Frame(Opcode.TEXT, b"bare").serialize(mask=False),
    _frame(Opcode.CONT, b"of what"), b"\xf1\x80abcd", _frame(Opcode.TEXT, b"x", False) + _frame(Opcode.TEXT, b"y"),
])  # fmt: skip
streams = st.lists(ordinary | ordinary | long | binary | ping | fragments, max_size=6)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(streams, st.none() | odd, st.lists(st.integers(0, 10**6), max_size=8))
def test_both_ways_answer_alike(frames: list[bytes], last: bytes | None, cuts: list[int]) -> None:
    stream = b"".join(frames) + (last or CLOSE)

    async def both() -> tuple[list[Any], list[Any]]:
        async with served(SocketProtocol) as short, served(WebSocketsSansIOProtocol) as book:
            return await heard_back(short, stream, cuts), await heard_back(book, stream, cuts)

    ours, theirs = asyncio.run(both())
    assert ours == theirs


async def test_half_a_request_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "HEADER_SECONDS", 0.05)
    async with served(SocketProtocol) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: loc")
        with pytest.raises(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
            raise ConnectionError("closed")
        writer.close()


async def test_long_texts_come_back_whole() -> None:
    async with served(SocketProtocol) as port, websockets.connect(f"ws://127.0.0.1:{port}/") as client:
        for size in (0, 1, 125, 126, 65_000, LIMIT):
            said = os.urandom(size // 2).hex() + "가" * (size % 2 and 0)
            await client.send(said)
            assert await client.recv() == f"text {said}"


IDLE_SECONDS = {"Caddy": 120, "nginx": 60, "HAProxy": 60, "Traefik": 90}
"""How long a proxy keeps an idle connection to us, if its file says nothing else, as ours do."""


@pytest.mark.parametrize("seconds", [None, 620])
async def test_an_idle_connection_stays_open_for_longer_than_proxies_keep_it(seconds: int | None) -> None:
    """Otherwise a proxy now and then sends a request into a connection that is just being closed: 502."""
    config = load({} if seconds is None else {"DORAN_KEEP_ALIVE_SECONDS": str(seconds)})
    async with served(SocketProtocol, hello, **serving._uvicorn_settings(config)) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        (protocol,) = SERVERS[-1].server_state.connections
        await eventually(lambda: protocol.timeout_keep_alive_task is not None)
        left = protocol.timeout_keep_alive_task.when() - asyncio.get_running_loop().time()
        assert left > max(IDLE_SECONDS.values()) + 10
        assert (left > 600) == (seconds == 620)
        writer.close()
