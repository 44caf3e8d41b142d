"""Sockets by ASGI (uvicorn): the handshake, then a `Wire` for the connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

import msgspec

from doran.contracts.errors import Problem
from doran.kernel import addresses, origins, telemetry
from doran.kernel.limits import Limiter
from doran.realtime.connection import BinaryFrame, Connection, Gateway, Gone

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_NO_ROOM = "Too many sockets of this network are waiting to log in."


class AsgiWire:
    """A `Wire` over one ASGI websocket scope."""

    __slots__ = ("_receive", "_send", "send_at_once")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        # Our own protocol knows whether a text can be written without waiting; ASGI has no word for it.
        self.send_at_once: Callable[[str], bool] = getattr(getattr(send, "__self__", None), "send_at_once", _never)

    def allow_frames_of(self, size: int) -> None:
        """Of any other server its own limit stays: ASGI has no word for this."""
        allow = getattr(getattr(self._send, "__self__", None), "allow_frames_of", None)
        if allow is not None:
            allow(size)

    def charge_hidden_frames(self, charge: Callable[[], bool]) -> None:
        """Count frames that never come here. Of any other server they stay uncounted: ASGI has no word for this."""
        ask = getattr(getattr(self._send, "__self__", None), "charge_hidden_frames", None)
        if ask is not None:
            ask(charge)

    async def receive(self) -> str:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise Gone
        text = event.get("text")
        if text is None:
            raise BinaryFrame
        return str(text)

    async def send(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def abort(self) -> None:
        """A reader that reads nothing would also never read a close frame: drop the connection.

        ASGI has no word for this; uvicorn's `send` is a method of the protocol that owns the
        transport. Other servers keep the socket until their own time-out.
        """
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()


def _never(_text: str) -> bool:
    """Of any other server: it is always asked to wait."""
    return False


async def serve(scope: Scope, receive: Receive, send: Send, *, gateway: Gateway, conversation_id: str | None) -> None:
    """Serve one socket from handshake to close."""
    await receive()
    token, address = _bearer(scope), _address(scope, gateway)
    if not _origin_allowed(scope, gateway):
        return await refuse(scope, send, Problem("origin_not_allowed"))
    if token is None and not gateway.unauthenticated.has_room(address):
        telemetry.rate_limited("unready_sockets")
        return await refuse(scope, send, Problem("unavailable", _NO_ROOM, retry_after=gateway.config.auth_seconds))
    await send({"type": "websocket.accept"})
    if gateway.is_draining:  # a refused handshake would tell nobody why
        await send({"type": "websocket.close", "code": 1012})
        return None
    wire = AsgiWire(receive, send)
    wire.charge_hidden_frames(partial(_may, gateway.hidden_frames, address))
    connection = Connection(wire, gateway, conversation_id=conversation_id, token=token, address=address)
    scope.clear()  # a socket lives for hours: what its handshake said need not
    await connection.live()


async def refuse(scope: Scope, send: Send, problem: Problem) -> None:
    """Answer a handshake with a problem document, where the server has ASGI's extension for it; else with 403."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        return await send({"type": "websocket.close", "code": 1008})
    body = msgspec.json.encode(problem.body())
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"cache-control", b"no-store"))
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(problem.retry_after))))
    await send({"type": "websocket.http.response.start", "status": problem.kind.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _may(limiter: Limiter, address: str) -> bool:
    return limiter.take(address) == 0.0


def _address(scope: Scope, gateway: Gateway) -> str:
    """Return what the client's share is counted by: its address, or its IPv6 network."""
    peer = (scope.get("client") or ("",))[0]
    forwarded = _header(scope, b"x-forwarded-for") or ""
    return addresses.share_key(addresses.client_address(peer, forwarded, trusted=gateway.config.trusted_proxies))


def _origin_allowed(scope: Scope, gateway: Gateway) -> bool:
    """Pages of other sites may not connect with a visitor's browser. Programs send no Origin."""
    origin = _header(scope, b"origin")
    if origin is None:
        return True
    # Behind a proxy, `Host` may not be the name in the browser's address bar.
    ours = [f"{scheme}://{_header(scope, b'host')}" for scheme in ("http", "https")]
    return origin in gateway.config.allowed_origins or origin in map(_origin, (*ours, gateway.config.url))


def _origin(url: str) -> str:
    try:
        return origins.origin_of(url)
    except ValueError:  # a client may write anything into `Host`
        return ""


def _bearer(scope: Scope) -> str | None:
    scheme, _, token = (_header(scope, b"authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None
