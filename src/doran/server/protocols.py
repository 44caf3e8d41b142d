"""HTTP with deadlines under uvicorn, and where its connections become sockets."""

from __future__ import annotations

import socket
from asyncio import BaseTransport, TimerHandle, Transport
from typing import Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from doran.server.websocket import SocketProtocol

HEADER_SECONDS: Final = 10.0
HEADER_BYTES: Final = 64 * 1024
SEND_BUFFER: Final = 128 * 1024


class HttpProtocol(HttpToolsProtocol):
    """HTTP whose client must say its headers in time and briefly.

    Half a request must not hold a connection, nor the memory that endless headers would fill.
    """

    _deadline: TimerHandle | None = None
    _unfinished = 0

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        _bound_send_buffer(transport)
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._unfinished = 0 if self._deadline is None else self._unfinished + len(data)
        if self._unfinished > HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response("The headers are too long.")

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

    def handle_websocket_upgrade(self) -> None:
        """The request is read already; the socket takes it as it is."""
        self.connections.discard(self)
        path, _, query = self.url.partition(b"?")
        if self.ws_protocol_class is SocketProtocol:
            taken = SocketProtocol(self.config, self.server_state, self.app_state)
            self.transport.set_protocol(taken)
            taken.open(self.transport, dict(self.scope), path=path, query=query)
            self._let_go()
        else:
            super().handle_websocket_upgrade()

    def _let_go(self) -> None:
        """Parser and protocol know each other; taken apart, their memory is free now and not some day."""
        self.parser = self.scope = self.headers = self.transport = self.flow = None  # type: ignore[assignment]

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


def _bound_send_buffer(transport: BaseTransport) -> None:
    """A reader that reads nothing is noticed after this much, not after the kernel's megabytes."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
