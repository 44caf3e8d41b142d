"""uvicorn's protocols with what a chat server needs: deadlines, and a short way for ordinary frames.

Nearly every frame of a chat is one whole, small, masked text frame. Those are read and written
here with a few slices; everything else (handshake, fragments, control frames, frames that are too
long, errors) goes through the websockets library as before, which only ever sees whole frames.
docs/adr/0002-raw-asgi-sockets.md has the figures; tests/server/test_protocols.py holds the two
ways against each other.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import BaseTransport, TimerHandle, Transport
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import OPEN
from websockets.speedups import apply_mask

HEADER_SECONDS: Final = 10.0
SEND_BUFFER: Final = 128 * 1024
FRAMES_AHEAD: Final = 32

_WHOLE_TEXT: Final = 0x81
_MASKED: Final = 0x80


class HttpProtocol(HttpToolsProtocol):
    """HTTP whose client must say its headers in time: half a request must not hold a connection."""

    _deadline: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:  # type: ignore[override]
        super().connection_made(cast(Transport, transport))
        _bound_send_buffer(transport)
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def on_headers_complete(self) -> None:
        self._forget_deadline()
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


class SocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket; frames arrive in pieces and in bunches, and are cut into whole ones first."""

    def __init__(self, *what: Any, **more: Any) -> None:
        super().__init__(*what, **more)
        self._rest = b""
        self._limit = self.config.ws_max_size
        self.queue = Inbound()  # type: ignore[assignment]  # an asyncio.Queue is four times its size

    def data_received(self, data: bytes) -> None:
        if not self.handshake_complete or self.close_sent or self.conn.state is not OPEN:
            return self._by_the_book(data)
        data, self._rest = self._rest + data if self._rest else data, b""
        start, end = 0, len(data)
        while start < end and self.conn.parser_exc is None:
            if self.conn.state is not OPEN:
                return self._by_the_book(data[start:])
            head, size = _measured(data, start)
            if head == 0 or (start + head + size > end and size <= self._limit):
                self._rest = data[start:]
                return None
            stop = start + head + size if size <= self._limit else end
            self._one_frame(data, start, head, stop)
            start = stop
        return None

    def _one_frame(self, data: bytes, start: int, head: int, stop: int) -> None:
        """An ordinary text frame between fragments of nothing goes straight to the application."""
        ordinary = data[start] == _WHOLE_TEXT and data[start + 1] & _MASKED and self.conn.current_size is None
        if not ordinary or stop - start - head > self._limit:
            return self._by_the_book(data[start:stop])
        body = start + head
        try:
            text = apply_mask(data[body:stop], data[body - 4 : body]).decode()
        except UnicodeDecodeError:
            return self._by_the_book(data[start:stop])
        self.queue.put_nowait({"type": "websocket.receive", "text": text})
        if not self.read_paused and self.queue.qsize() > FRAMES_AHEAD:
            self.read_paused = True
            self.transport.pause_reading()
        return None

    def _by_the_book(self, data: bytes) -> None:
        super().data_received(data)

    async def receive(self) -> Any:
        if not self.queue.qsize():
            await self.queue.arrival()  # type: ignore[attr-defined]
        event = self.queue.get_nowait()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()
        return event

    async def send(self, message: Any) -> None:
        text = message.get("text")
        if text is None and message["type"] == "websocket.accept":
            await super().send(message)
            return self._forget_handshake()
        if text is None or not self.handshake_complete or self.close_sent or self.conn.state is not OPEN:
            return await super().send(message)
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self.transport.is_closing():
            raise ClientDisconnected
        data = text.encode()
        self.transport.write(_heading(len(data)) + data)
        return None

    def _forget_handshake(self) -> None:
        """Thousands of sockets are open for hours; what was said at their beginning is not kept for each."""
        self.request = self.response = None  # type: ignore[assignment]


class Inbound:
    """Events for the one task that reads a socket: what uvicorn needs of a queue, in a few hundred bytes."""

    __slots__ = ("_events", "_waiter")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def get_nowait(self) -> Any:
        return self._events.pop(0)

    async def get(self) -> Any:
        if not self._events:
            await self.arrival()
        return self.get_nowait()

    def arrival(self) -> asyncio.Future[None]:
        """To be awaited while there is nothing. A reader that was cancelled just asks again."""
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def qsize(self) -> int:
        return len(self._events)

    def empty(self) -> bool:
        return not self._events


def _measured(data: bytes, start: int) -> tuple[int, int]:
    """Bytes of a frame's header and of its payload; header 0 if it has not wholly arrived."""
    if len(data) - start < 2:
        return 0, 0
    mask = 4 if data[start + 1] & _MASKED else 0
    size = data[start + 1] & 0x7F
    more = 2 if size == 126 else 8 if size == 127 else 0
    head = 2 + more + mask
    if len(data) - start < head:
        return 0, 0
    return head, int.from_bytes(data[start + 2 : start + 2 + more], "big") if more else size


def _heading(size: int) -> bytes:
    """The header of a whole, unmasked text frame (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((_WHOLE_TEXT, size))
    if size < 65_536:
        return bytes((_WHOLE_TEXT, 126, size >> 8, size & 0xFF))
    return bytes((_WHOLE_TEXT, 127)) + size.to_bytes(8, "big")


def _bound_send_buffer(transport: BaseTransport) -> None:
    """A reader that reads nothing is noticed after this much, not after the kernel's megabytes."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
