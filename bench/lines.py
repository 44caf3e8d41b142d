"""Connections to the servers measured: WebSocket, and XMPP over plain TCP. Each hands every frame to one function."""

import asyncio
import base64
import socket
from collections.abc import Callable
from typing import Protocol, cast
from urllib.parse import urlsplit

import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from bench.seats import Seat

CLOSED = b"closed with "
"""How the end of a connection by the server is heard."""
READY = b"ready"
"""What an XMPP line says first, once somebody is logged in and present."""
STREAM = (
    b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams'>"
)
AUTH = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"
BIND = b"<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>bench</resource></bind></iq>"
HERE = b"<iq type='set' id='s1'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq><presence/>"
STANZA = b"</message>"
Hear = Callable[[bytes], None]


class Line(Protocol):
    """An open connection. `gone` is set when the server ended it."""

    gone: asyncio.Event

    def send(self, data: bytes) -> None: ...

    def disconnect(self) -> None: ...


async def connect(seat: Seat, hear: Hear) -> Line:
    """Connect as this seat says; every frame from now on goes to `hear`."""
    return await (_xmpp if seat.url.startswith("xmpp:") else _websocket)(seat, hear)


class _Ear(WSListener):
    """Hands each text frame to one function and remembers that the connection ended."""

    def __init__(self, hear: Hear) -> None:
        self.hear = hear
        self.gone = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.hear(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            self.hear(CLOSED + str(frame.get_close_code()).encode())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.gone.set()


class _WebSocket:
    def __init__(self, transport: WSTransport, gone: asyncio.Event) -> None:
        self.transport, self.gone = transport, gone

    def send(self, data: bytes) -> None:
        self.transport.send(WSMsgType.TEXT, data)

    def disconnect(self) -> None:
        self.transport.disconnect()


async def _websocket(seat: Seat, hear: Hear) -> Line:
    ear = _Ear(hear)
    transport, _ = await picows.ws_connect(lambda: ear, seat.url, extra_headers=list(seat.headers))
    return _WebSocket(transport, ear.gone)


class _Xmpp(asyncio.Protocol):
    """The smallest client: stream, SASL PLAIN, bind, session, presence; then whole message stanzas."""

    def __init__(self, name: str, password: str, hear: Hear) -> None:
        proof = base64.b64encode(b"\0" + name.encode() + b"\0" + password.encode())
        self.steps = [
            (b"</stream:features>", AUTH % proof),
            (b"<success", STREAM),
            (b"</stream:features>", BIND),
            (b"</iq>", HERE),
            (b"'s1'", b""),
        ]
        self.hear, self.rest = hear, b""
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(STREAM)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        self.rest += data
        if self.steps:
            self._step()
        else:
            self._stanzas()

    def _step(self) -> None:
        awaited, answer = self.steps[0]
        if b"<failure" in self.rest or b"<stream:error" in self.rest:
            return self.hear(self.rest)
        if awaited in self.rest.replace(b'"', b"'"):
            self.rest = b""
            del self.steps[0]
            self.transport.write(answer)
            if not self.steps:
                self.hear(READY)
        return None

    def _stanzas(self) -> None:
        *whole, self.rest = self.rest.split(STANZA)
        for one in whole:
            self.hear(one[max(0, one.rfind(b"<message")) :])

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def disconnect(self) -> None:
        self.transport.close()


async def _xmpp(seat: Seat, hear: Hear) -> Line:
    where = urlsplit(seat.url)
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(
        lambda: _Xmpp(where.username or "", where.password or "", hear), where.hostname, where.port
    )
    return line
