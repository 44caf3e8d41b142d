"""WebSocket (RFC 6455) for uvicorn, made for thousands of idle sockets and small text frames.

A chat server spends most of its processor time reading and writing frames, and most of its memory
on sockets that say nothing. uvicorn's own protocols keep a full parser, three queues and the
handshake for each of them; this one keeps a few fields (docs/adr/0002-raw-asgi-sockets.md has the
figures). tests/server/test_websocket.py holds it against the websockets library, frame by frame.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
from asyncio import TimerHandle, Transport
from enum import IntEnum
from typing import Any, Final
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.speedups import apply_mask

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 10.0
FRAMES_AHEAD: Final = 32

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_WHOLE_TEXT: Final = 0x81
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_KNOWN: Final = frozenset({_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG})
_SAYABLE: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


class State(IntEnum):
    """How far a socket is."""

    ASKED = 0  # the application has not answered the handshake
    OPEN = 1
    CLOSING = 2  # we have sent a close frame, or hung up
    GONE = 3


class Failed(Exception):
    """The other side broke the protocol; the connection ends with this close code."""

    def __init__(self, code: int) -> None:
        self.code = code


class SocketProtocol(asyncio.Protocol):
    """One WebSocket connection, as ASGI's `receive` and `send`."""

    __slots__ = (
        "_app",
        "_awaiting_pong",
        "_connections",
        "_events",
        "_fragments",
        "_handshake",
        "_interval",
        "_limit",
        "_loop",
        "_pong_seconds",
        "_reader",
        "_reading_paused",
        "_rest",
        "_state",
        "_tasks",
        "_timer",
        "_writer",
        "transport",
    )

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._app = config.loaded_app
        self._connections, self._tasks = server_state.connections, server_state.tasks
        self._interval, self._pong_seconds = config.ws_ping_interval, config.ws_ping_timeout
        self._limit = config.ws_max_size
        self._loop = asyncio.get_running_loop()
        self._state = State.ASKED
        self._events: list[dict[str, Any]] = []
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._rest = b""
        self._fragments: bytearray | None = None
        self._timer: TimerHandle | None = None
        self._awaiting_pong = False
        self._reading_paused = False
        self._handshake = b""

    # -- beginning ---------------------------------------------------------------------------------

    def open(self, transport: Transport, scope: dict[str, Any], *, path: bytes, query: bytes) -> None:
        """Take over a connection whose HTTP request asks for a WebSocket."""
        self.transport = transport
        self._connections.add(self)  # type: ignore[arg-type]  # uvicorn names its own kinds
        accept = _accepted(dict(scope["headers"]))
        if accept is None:
            return self._refuse(b"400 Bad Request")
        self._handshake = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        scope |= {
            "type": "websocket",
            "scheme": "wss" if scope["scheme"] == "https" else "ws",
            "path": unquote(path.decode("ascii", "replace")),
            "raw_path": path,
            "query_string": query,
            "subprotocols": [],
        }
        self._add({"type": "websocket.connect"})
        task = self._loop.create_task(self._run(scope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _refuse(self, status: bytes) -> None:
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self._hang_up()

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:
            log.exception("the application failed on a socket")
        if self._state is State.ASKED:
            self._refuse(b"500 Internal Server Error")
        elif self._state is State.OPEN:
            self._hang_up()

    # -- what uvicorn and the event loop call -------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._state is not State.GONE:
            self._add({"type": "websocket.disconnect", "code": 1006 if self._state is State.ASKED else 1005})
        self._state = State.GONE
        self._stop_timer()
        self.resume_writing()

    def pause_writing(self) -> None:
        if self._writer is None:
            self._writer = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writer = self._writer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def shutdown(self) -> None:
        """The server stops. Whoever is still here is told to come back."""
        if self._state is State.OPEN:
            self._add({"type": "websocket.disconnect", "code": 1012})
            self.transport.write(_close_frame(1012, ""))
        self._hang_up()

    def data_received(self, data: bytes) -> None:
        data, self._rest = self._rest + data if self._rest else data, b""
        try:
            self._read_frames(data)
        except Failed as failed:
            self._fail(failed.code)

    # -- frames in -----------------------------------------------------------------------------------

    def _read_frames(self, data: bytes) -> None:
        start, end = 0, len(data)
        while start < end and self._state is not State.GONE:
            head, size = _measured(data, start)
            if head:
                self._check(data[start], data[start + 1], size)
            if not head or start + head + size > end:
                self._rest = data[start:]
                return
            body, stop = start + head, start + head + size
            self._hear(data[start], apply_mask(data[body:stop], data[body - 4 : body]))
            start = stop

    def _check(self, first: int, second: int, size: int) -> None:
        """What is wrong with a frame can be seen from its header, before its payload is waited for."""
        opcode = first & 0x0F
        if first & _RESERVED or opcode not in _KNOWN or not second & _MASKED:
            raise Failed(1002)
        if opcode >= _CLOSE and (size > 125 or not first & _FIN):
            raise Failed(1002)
        if size + len(self._fragments or b".") - 1 > self._limit:
            raise Failed(1009)

    def _hear(self, first: int, payload: bytes) -> None:
        if self._state is State.CLOSING and first & 0x0F != _CLOSE:
            return  # we are done with this client; only its close frame still matters
        if first == _WHOLE_TEXT and self._fragments is None:
            self._add({"type": "websocket.receive", "text": _text(payload)})
            self._read_slower()
        elif first & 0x0F >= _CLOSE:
            self._hear_control(first & 0x0F, payload)
        else:
            self._hear_fragment(first, payload)

    def _hear_control(self, opcode: int, payload: bytes) -> None:
        if opcode == _PING:
            self._answer_ping(payload)
        elif opcode == _PONG:
            self._awaiting_pong = False
        else:
            self._hear_close(payload)

    def _answer_ping(self, payload: bytes) -> None:
        """Unless the client leaves unread what it was sent: who only pings must not fill our memory."""
        if self._writer is None:
            self.transport.write(bytes((_FIN | _PONG, len(payload))) + payload)

    def _hear_close(self, payload: bytes) -> None:
        """Answer a close frame with the same, or end what our own began."""
        code, reason = _read_close(payload)
        if self._state is State.OPEN:
            self.transport.write(bytes((_FIN | _CLOSE, len(payload))) + payload)
            self._add({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._hang_up()

    def _hear_fragment(self, first: int, payload: bytes) -> None:
        """A message in pieces, or a binary one: `_fragments` holds its opcode, then what came so far."""
        opcode = first & 0x0F
        if (opcode == _CONTINUATION) != (self._fragments is not None):
            raise Failed(1002)
        if self._fragments is None:
            self._fragments = bytearray((opcode,))
        self._fragments += payload
        if first & _FIN:
            kind, whole, self._fragments = self._fragments[0], bytes(self._fragments[1:]), None
            said = {"text": _text(whole)} if kind == _TEXT else {"bytes": whole}
            self._add({"type": "websocket.receive", **said})
            self._read_slower()

    def _fail(self, code: int) -> None:
        if self._state is State.OPEN:
            self.transport.write(_close_frame(code, ""))
            self._add({"type": "websocket.disconnect", "code": code})
        self._hang_up()

    # -- events for the application ------------------------------------------------------------------

    def _add(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _read_slower(self) -> None:
        if not self._reading_paused and len(self._events) > FRAMES_AHEAD:
            self._reading_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        """A pong that waited unread has its whole time again."""
        self._reading_paused = False
        self.transport.resume_reading()
        if self._awaiting_pong:
            self._stop_timer()
            self._expect_pong()

    async def receive(self) -> dict[str, Any]:
        """ASGI's receive. For one task only."""
        while not self._events:
            self._reader = self._loop.create_future()
            await self._reader
        event = self._events.pop(0)
        if self._reading_paused and not self._events:
            self._read_on()
        return event

    # -- frames out -----------------------------------------------------------------------------------

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI's send. Waits while the client does not read; raises when it is gone."""
        if self._writer is not None:
            await asyncio.shield(self._writer)
        text = message.get("text")
        if text is None or not self.send_at_once(text):
            self._send_other(message)

    def allow_frames_of(self, size: int) -> None:
        """Take frames of up to so many bytes from here on."""
        self._limit = size

    def send_at_once(self, text: str) -> bool:
        """Send a text frame if the client is there and reads; say whether it was sent."""
        if self._writer is not None or self._state is not State.OPEN:
            return False
        data = text.encode()
        self.transport.write(_header(_TEXT, len(data)) + data)
        return True

    def _send_other(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self._state >= State.CLOSING:
            raise ClientDisconnected
        if kind == "websocket.accept" and self._state is State.ASKED:
            self._accept()
        elif kind == "websocket.close" and self._state is State.ASKED:
            self._refuse(b"403 Forbidden")
        elif kind == "websocket.close":
            self._close(message.get("code", 1000), message.get("reason") or "")
        elif kind == "websocket.send" and self._state is State.OPEN:
            self.transport.write(_header(_BINARY, len(message["bytes"])) + message["bytes"])
        else:
            raise RuntimeError(f"{kind} cannot be said now")

    def _accept(self) -> None:
        handshake, self._handshake = self._handshake, b""
        self._state = State.OPEN
        self.transport.write(handshake)
        self._ping_later()

    def _close(self, code: int, reason: str) -> None:
        """Say goodbye and wait, but not for ever, for the other side to say it too."""
        self._state = State.CLOSING
        self.transport.write(_close_frame(code, reason))
        self._stop_timer()
        self._awaiting_pong = False
        if self._reading_paused:
            self._read_on()
        self._timer = self._loop.call_later(CLOSE_SECONDS, self.transport.close)

    def _hang_up(self) -> None:
        """Nothing more is read; what was written is still sent."""
        self._state = State.GONE
        self._stop_timer()
        self.transport.close()

    # -- is anybody there? -----------------------------------------------------------------------------

    def _ping_later(self) -> None:
        if self._interval:
            self._timer = self._loop.call_later(self._interval, self._ping)

    def _ping(self) -> None:
        self._awaiting_pong = True
        self.transport.write(bytes((_FIN | _PING, 0)))
        self._expect_pong()

    def _expect_pong(self) -> None:
        self._timer = self._loop.call_later(self._pong_seconds or self._interval or 0, self._look_for_pong)

    def _look_for_pong(self) -> None:
        if self._awaiting_pong and self._reading_paused:
            self._timer = None  # it may be here, unread: we are the slow side, until `_read_on`
        elif self._awaiting_pong:
            self.transport.abort()
        else:
            self._ping_later()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _accepted(headers: dict[bytes, bytes]) -> bytes | None:
    """The answer to a proper handshake (RFC 6455, 4.2), or None."""
    key = headers.get(b"sec-websocket-key", b"").strip()
    try:
        is_proper = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        is_proper = False
    if not is_proper or headers.get(b"sec-websocket-version", b"").strip() != b"13":
        return None
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def _measured(data: bytes, start: int) -> tuple[int, int]:
    """Bytes of a frame's header and of its payload; header 0 if it has not wholly arrived."""
    if len(data) - start < 2:
        return 0, 0
    size = data[start + 1] & 0x7F
    more = 2 if size == 126 else 8 if size == 127 else 0
    head = 2 + more + (4 if data[start + 1] & _MASKED else 0)
    if len(data) - start < head:
        return 0, 0
    return head, int.from_bytes(data[start + 2 : start + 2 + more], "big") if more else size


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise Failed(1007) from None


def _read_close(payload: bytes) -> tuple[int, str]:
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _SAYABLE:
        raise Failed(1002)
    return code, _text(payload[2:])


def _close_frame(code: int, reason: str) -> bytes:
    payload = code.to_bytes(2, "big") + reason.encode()
    return bytes((_FIN | _CLOSE, len(payload))) + payload


def _header(opcode: int, size: int) -> bytes:
    """The header of a whole, unmasked frame (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((_FIN | opcode, size))
    if size < 65_536:
        return bytes((_FIN | opcode, 126, size >> 8, size & 0xFF))
    return bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big")
