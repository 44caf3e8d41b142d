"""HTTP with deadlines and limits under uvicorn, and where its connections become sockets."""

from __future__ import annotations

import socket
from asyncio import BaseTransport, TimerHandle, Transport
from typing import Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from doran.contracts.errors import Problem
from doran.server import websocket_handshake as handshake
from doran.server.peers import peers
from doran.server.websocket import SocketProtocol

HEADER_SECONDS: Final = 10.0
HEADER_BYTES: Final = 64 * 1024
HEADERS: Final = 128
SEND_BUFFER: Final = 128 * 1024
WRITE_SECONDS: Final = 30.0
WRITE_BYTES: Final = 4 * 1024
"""What a client must read of an answer in WRITE_SECONDS."""


class HttpProtocol(HttpToolsProtocol):
    """HTTP whose client must send its headers in time and briefly, and read its answers.

    Neither half a request nor an unread answer holds a connection, and no address holds most of them.
    """

    _deadline: TimerHandle | None = None
    _writing: TimerHandle | None = None
    _unsent = 0
    _unfinished = 0
    _header_bytes = 0
    _is_refused = False
    _peer = ""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(cast(Transport, transport))
        self._peer = self.client[0] if self.client else ""
        if not peers.join(self._peer):
            return self.transport.abort()
        _bound_send_buffer(transport)
        self.transport.set_write_buffer_limits(high=0)
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        self._stop_watching_writes()
        peers.leave(self._peer)
        super().connection_lost(exc)

    # -- requests ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return None
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            return self._refuse(cause if isinstance(cause, Problem) else Problem("bad_request", "This is not HTTP."))
        self._unfinished = 0 if self._deadline is None else self._unfinished + len(data)
        if self._unfinished > HEADER_BYTES and not self.transport.is_closing():
            self._refuse(Problem("headers_too_large"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self._too_late)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_header(len(name) + len(value) + 4)

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES or len(self.headers) > HEADERS:
            raise Problem("headers_too_large")

    def on_headers_complete(self) -> None:
        self._forget_deadline()
        _check_headers(self.headers)
        super().on_headers_complete()

    # -- what cannot be answered ---------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem("bad_request", msg))

    def _refuse(self, problem: Problem) -> None:
        """Answer and close. Behind a request that is still being answered, close when that is done."""
        self._is_refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.transport.write(handshake.refusal(problem))
            self.transport.close()

    # -- sockets -------------------------------------------------------------------------------------

    def _get_upgrade(self) -> bytes | None:
        """Return what the request asks to change to. `Connection` may be said in several headers (RFC 9110, 5.3)."""
        said = b",".join(value for name, value in self.headers if name == b"connection")
        if b"upgrade" not in (token.strip().lower() for token in said.split(b",")):
            return None
        return next((value.strip().lower() for name, value in self.headers if name == b"upgrade"), None)

    def _upgrade(self, early: bytes) -> None:
        """Hand the connection over to a socket. The request is read already; the socket takes it as it is."""
        if not self._should_upgrade():
            return self._refuse(Problem("bad_request", "Only an upgrade to websocket is offered."))
        if self.cycle is not None and not self.cycle.response_complete:
            return self._refuse(Problem("bad_request"))
        path, _, query = self.url.partition(b"?")
        if not _is_ours(self.ws_protocol_class):
            peers.leave(self._peer)
            return super().handle_websocket_upgrade()
        self.connections.discard(self)
        self._unset_keepalive_if_required()
        taken = SocketProtocol(self.config, self.server_state, self.app_state)
        taken.open(self.transport, dict(self.scope), path=path, query=query, early=early)
        self._let_go()

    def _let_go(self) -> None:
        """Free the memory of what was needed for HTTP: the event loop may keep this object as long as the socket."""
        vars(self).clear()

    # -- answers -------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writes()

    def resume_writing(self) -> None:
        self._stop_watching_writes()
        super().resume_writing()

    def _watch_writes(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._writing = self.loop.call_later(WRITE_SECONDS, self._look_at_writes)

    def _look_at_writes(self) -> None:
        """Drop a client that reads nothing, or next to nothing."""
        if self._unsent - self.transport.get_write_buffer_size() < WRITE_BYTES:
            self.transport.abort()
        else:
            self._watch_writes()

    def _stop_watching_writes(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    # -- deadlines -----------------------------------------------------------------------------------

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.abort()


def _is_ours(ws: object) -> bool:
    return ws is SocketProtocol


def _check_headers(headers: list[tuple[bytes, bytes]]) -> None:
    """Refuse what two readers could understand differently (RFC 9112, 3.2 and 6.1; RFC 9110, 10.1.1)."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or any(sign in host for host in hosts for sign in (b"@", b",", b"/", b" ")):
        raise Problem("bad_request", "A request names one host, without a user.")
    for name, value in headers:
        if name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            raise Problem("not_implemented", "The only transfer coding offered is chunked.")
        if name == b"expect" and value.strip().lower() != b"100-continue":
            raise Problem("expectation_failed")


def _bound_send_buffer(transport: BaseTransport) -> None:
    """Notice a reader that reads nothing after this much and this long, not after the kernel's megabytes and hours."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
