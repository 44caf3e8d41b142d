"""WebSocket (RFC 6455) for uvicorn, made for thousands of idle sockets and small text frames.

A chat server spends most of its processor time reading and writing frames, and most of its memory
on sockets that say nothing, so a socket here is a few fields (docs/adr/0002-raw-asgi-sockets.md has the
figures, those of the libraries included). tests/server/test_websocket.py compares it with the websockets
library, frame by frame.

Nothing that a client sends costs others their turn: reads are short, few frames are parsed at a time,
none before the application has taken those before, and frames that the application never sees are counted.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.speedups import apply_mask

from doran.contracts.errors import Problem
from doran.realtime.limits import FrameRate
from doran.server import websocket_handshake as handshake
from doran.server.peers import peers
from doran.server.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    MASKED,
    PING,
    PONG,
    TEXT,
    WHOLE_TEXT,
    ProtocolError,
    check,
    close_frame,
    control_frame,
    decode,
    header,
    measure,
    read_close,
)  # fmt: skip

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 10.0
FRAMES_AHEAD: Final = 32
FRAMES_AT_ONCE: Final = 32
HIDDEN_FRAMES_PER_SECOND: Final = 300
READ_BYTES: Final = 64 * 1024
FIRST_READ_BYTES: Final = 4 * 1024

# One buffer for all sockets: the event loop fills it and hands it over in the same step.
_buffer: Final = bytearray(READ_BYTES)
_read: Final = memoryview(_buffer)
_first_read: Final = _read[:FIRST_READ_BYTES]

_EXTENSIONS: Final[dict[str, dict[str, Any]]] = {"websocket.http.response": {}}

Charge = Callable[[], bool]


class State(IntEnum):
    """How far a socket is."""

    ASKED = 0  # the application has not answered the handshake
    OPEN = 1
    CLOSING = 2  # we have sent a close frame and wait for the client's
    GONE = 3


class SocketProtocol(asyncio.BufferedProtocol):
    """One WebSocket connection, as ASGI's `receive` and `send`."""

    __slots__ = (
        "_ahead",
        "_app",
        "_at",
        "_awaiting_pong",
        "_charge",
        "_connections",
        "_data",
        "_events",
        "_fragments",
        "_handshake",
        "_hidden",
        "_interval",
        "_limit",
        "_loop",
        "_needed",
        "_peer",
        "_pong_seconds",
        "_reader",
        "_reading_paused",
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
        self._ahead = 1
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._data: bytes | bytearray = b""
        self._at = self._needed = 0
        self._fragments: bytearray | None = None
        self._hidden: FrameRate | None = None
        self._charge: Charge | None = None
        self._timer: TimerHandle | None = None
        self._awaiting_pong = False
        self._reading_paused = True
        self._handshake = b""
        self._peer = ""

    # -- beginning ---------------------------------------------------------------------------------

    def open(
        self, transport: Transport, scope: dict[str, Any], *, path: bytes, query: bytes, early: bytes = b""
    ) -> None:
        """Take over a connection whose HTTP request asks for a WebSocket, with `early` bytes that came behind it.

        Nothing is read before the application has accepted the handshake.
        """
        self.transport = transport
        transport.pause_reading()
        transport.set_protocol(self)
        self._connections.add(self)  # type: ignore[arg-type]  # uvicorn names its own kinds
        self._data = early
        self._peer = (scope["client"] or ("",))[0]
        try:
            self._handshake = handshake.accept(scope)
        except Problem as problem:
            return self._refuse(handshake.refusal(problem))
        scope |= {
            "type": "websocket",
            "scheme": "wss" if scope["scheme"] == "https" else "ws",
            "path": unquote(path.decode("ascii", "replace")),
            "raw_path": path,
            "query_string": query,
            "subprotocols": [],
            "extensions": _EXTENSIONS,
        }
        self._add({"type": "websocket.connect"})
        task = self._loop.create_task(self._run(scope))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def charge_hidden_frames(self, charge: Charge) -> None:
        """Ask this, too, for each frame that the application does not see; False ends the socket."""
        self._charge = charge

    def _refuse(self, answer: bytes) -> None:
        self.transport.write(answer)
        self._hang_up()

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:
            log.exception("websocket: application failed")
        if self._state is State.ASKED:
            self._refuse(handshake.refusal(Problem("internal_error")))
        elif self._state is State.OPEN:
            self._hang_up()

    # -- what uvicorn and the event loop call -------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._state is not State.GONE:
            self._add({"type": "websocket.disconnect", "code": 1006 if self._state is State.ASKED else 1005})
        self._state = State.GONE
        self._data = b""
        self._stop_timer()
        self.resume_writing()
        peers.leave(self._peer)

    def pause_writing(self) -> None:
        if self._writer is None:
            self._writer = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writer = self._writer, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def shutdown(self) -> None:
        """Tell a client that is still here, when the server stops, to come back."""
        if self._state is State.OPEN:
            self._add({"type": "websocket.disconnect", "code": 1012})
            self.transport.write(close_frame(1012))
        self._hang_up()

    def get_buffer(self, _size_hint: int) -> memoryview:
        """Return where the next bytes go: little before the client has logged in."""
        return _read if self._ahead > 1 else _first_read

    def buffer_updated(self, count: int) -> None:
        if not self._data:
            self._data = bytes(_read[:count])
        else:
            self._data += _read[:count]
            if len(self._data) < self._needed:
                return
        self._parse()

    # -- frames in -----------------------------------------------------------------------------------

    def _parse(self) -> None:
        """Parse a few frames. Where more have come, reading pauses and others have their turn first."""
        try:
            rest = self._parse_some(self._data)
        except ProtocolError as error:
            return self._fail(error.code)
        if not rest:
            if self._reading_paused:
                self._read_on()
        elif self._state is not State.GONE:
            self._pause_reading()
            if self._takes_more():
                self._loop.call_soon(self._parse_rest)

    def _parse_rest(self) -> None:
        if self._data and self._takes_more():
            self._parse()

    def _takes_more(self) -> bool:
        """Return whether a frame may be parsed: the application is not behind, or only the close frame matters."""
        if self._state is State.OPEN:
            return len(self._events) < self._ahead
        return self._state is State.CLOSING

    def _parse_some(self, data: bytes | bytearray) -> int:
        """Parse up to FRAMES_AT_ONCE frames, and return how many bytes of whole frames are left."""
        start, end = self._at, len(data)
        for _ in range(FRAMES_AT_ONCE):
            if not self._takes_more():
                break
            head, size = measure(data, start)
            body = start + head
            stop = body + size
            if head:
                self._check(data[start], data[start + 1], size)
            if not head or stop > end:
                return self._keep(data, start, needed=head + size)
            self._hear(data[start], apply_mask(data[body:stop], data[body - 4 : body]))
            start = stop
            if start == end:
                return self._keep(b"", 0)
        self._data, self._at, self._needed = data, start, 0
        return end - start

    def _keep(self, data: bytes | bytearray, start: int, *, needed: int = 0) -> int:
        """Keep the beginning of a frame whose rest has not come."""
        self._data, self._at, self._needed = bytearray(data[start:]) if data else b"", 0, needed
        return 0

    def _check(self, first: int, second: int, size: int) -> None:
        """Check a frame before its payload is waited for. Nearly all are whole texts."""
        if self._fragments is not None:
            check(first, second, size, room=self._limit - len(self._fragments) + 1)
        elif first != WHOLE_TEXT or second < MASKED or size > self._limit:
            check(first, second, size, room=self._limit)

    def _hear(self, first: int, payload: bytes) -> None:
        if first == WHOLE_TEXT and self._fragments is None and self._state is State.OPEN:
            self._add({"type": "websocket.receive", "text": decode(payload)})
        elif first & 0x0F >= CLOSE:
            self._hear_control(first & 0x0F, payload)
        elif self._state is State.CLOSING:
            self._count_hidden()
        else:
            self._hear_fragment(first, payload)

    def _hear_control(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            return self._hear_close(payload)
        if opcode == PONG and self._awaiting_pong:
            self._awaiting_pong = False
            return None
        self._count_hidden()
        if opcode == PING and self._state is State.OPEN:
            self._answer_ping(payload)

    def _count_hidden(self) -> None:
        """Count a frame that the application does not see. Raises ProtocolError(1008) past the rate."""
        if self._hidden is None:
            self._hidden = FrameRate(HIDDEN_FRAMES_PER_SECOND)
        if self._hidden.over(self._loop.time()) or (self._charge is not None and not self._charge()):
            raise ProtocolError(1008)

    def _answer_ping(self, payload: bytes) -> None:
        """Answer, unless the client leaves unread what it was sent: pings alone must not fill our memory."""
        if self._writer is None:
            self.transport.write(control_frame(PONG, payload))

    def _hear_close(self, payload: bytes) -> None:
        """Answer a close frame with the same, or end what our own began."""
        code, reason = read_close(payload)
        if self._state is State.OPEN:
            self.transport.write(control_frame(CLOSE, payload))
            self._add({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._hang_up()

    def _hear_fragment(self, first: int, payload: bytes) -> None:
        """Take a message in pieces, or a binary one: `_fragments` holds its opcode, then what came so far."""
        opcode = first & 0x0F
        if (opcode == CONTINUATION) != (self._fragments is not None):
            raise ProtocolError(1002)
        if self._fragments is None:
            self._fragments = bytearray((opcode,))
        self._fragments += payload
        if not first & FIN:
            return self._count_hidden()
        kind, whole, self._fragments = self._fragments[0], bytes(self._fragments[1:]), None
        said = {"text": decode(whole)} if kind == TEXT else {"bytes": whole}
        self._add({"type": "websocket.receive", **said})

    def _fail(self, code: int) -> None:
        if self._state is State.OPEN:
            self.transport.write(close_frame(code))
            self._add({"type": "websocket.disconnect", "code": code})
        self._hang_up()

    # -- reading, or not -----------------------------------------------------------------------------

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _read_on(self) -> None:
        """Read again. A pong that waited unread has its whole time again."""
        if not self._reading_paused or self._state is State.GONE:
            return
        self._reading_paused = False
        self.transport.resume_reading()
        if self._awaiting_pong:
            self._stop_timer()
            self._expect_pong()

    # -- events for the application ------------------------------------------------------------------

    def _add(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def receive(self) -> dict[str, Any]:
        """Return the next event, as ASGI's receive. For one task only."""
        while not self._events:
            self._reader = self._loop.create_future()
            await self._reader
        event = self._events.pop(0)
        if self._reading_paused and not self._events:
            self._take_up()
        return event

    def _take_up(self) -> None:
        """Go on with what waits to be parsed, and then with reading."""
        if self._state is State.ASKED:
            return
        if self._data and len(self._data) - self._at >= self._needed:
            self._loop.call_soon(self._parse_rest)
        else:
            self._read_on()

    def allow_frames_of(self, size: int) -> None:
        """Take frames of up to `size` bytes, and several of them ahead of the application, from here on."""
        self._limit, self._ahead = size, FRAMES_AHEAD

    # -- frames out -----------------------------------------------------------------------------------

    async def send(self, message: dict[str, Any]) -> None:
        """Send an event, as ASGI's send. Waits while the client does not read; raises when it is gone."""
        if self._writer is not None:
            await asyncio.shield(self._writer)
        text = message.get("text")
        if text is None or not self.send_at_once(text):
            self._send_other(message)

    def send_at_once(self, text: str) -> bool:
        """Send a text frame if the client is there and reads; return whether it was sent."""
        if self._writer is not None or self._state is not State.OPEN:
            return False
        data = text.encode()
        self.transport.write(header(TEXT, len(data)) + data)
        return True

    def _send_other(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self._state >= State.CLOSING:
            raise ClientDisconnected
        if kind == "websocket.send" and self._state is State.OPEN:
            self.transport.write(header(BINARY, len(message["bytes"])) + message["bytes"])
        elif kind == "websocket.close" and self._state is State.OPEN:
            self._close(message.get("code", 1000), message.get("reason") or "")
        elif self._state is State.ASKED:
            self._answer_handshake(kind, message)
        else:
            raise RuntimeError(f"{kind} cannot be sent now")

    def _answer_handshake(self, kind: str, message: dict[str, Any]) -> None:
        """Accept or refuse; a refusal may be an answer of the application's own (the ASGI extension for it)."""
        if kind == "websocket.accept":
            self._accept()
        elif kind == "websocket.close":
            self._refuse(handshake.refusal(Problem("not_found")))
        elif kind == "websocket.http.response.start":
            self._handshake = handshake.head(message["status"], message["headers"])
        elif kind == "websocket.http.response.body":
            self._refuse(self._handshake + message.get("body", b""))
        else:
            raise RuntimeError(f"{kind} cannot be sent now")

    def _accept(self) -> None:
        answer, self._handshake = self._handshake, b""
        self._state = State.OPEN
        self.transport.write(answer)
        self._ping_later()
        self._take_up()

    def _close(self, code: int, reason: str) -> None:
        """Send a close frame and wait for the client's, but not for ever."""
        self._state = State.CLOSING
        self.transport.write(close_frame(code, reason))
        self._stop_timer()
        self._awaiting_pong = False
        self._fragments = None
        self._take_up()
        self._timer = self._loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def _hang_up(self) -> None:
        """Read nothing more; what was written is still sent, to a client that reads it in time."""
        self._state = State.GONE
        self._data = b""
        self._stop_timer()
        self.transport.close()
        self._timer = self._loop.call_later(CLOSE_SECONDS, self.transport.abort)

    # -- is the client there? --------------------------------------------------------------------------

    def _ping_later(self) -> None:
        if self._interval:
            self._timer = self._loop.call_later(self._interval, self._ping)

    def _ping(self) -> None:
        self._awaiting_pong = True
        self.transport.write(control_frame(PING, b""))
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
