"""Sockets by ASGI (uvicorn): the handshake, then a `Wire` for the connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from doran.kernel import origins
from doran.realtime.connection import BinaryFrame, Connection, Gateway, Gone

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


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
    """One socket from handshake to close."""
    await receive()
    if _refused(scope, gateway):
        await send({"type": "websocket.close", "code": 4401})
        return
    await send({"type": "websocket.accept"})
    if gateway.is_draining:  # a refused handshake would tell nobody why
        await send({"type": "websocket.close", "code": 1012})
        return
    wire = AsgiWire(receive, send)
    connection = Connection(wire, gateway, conversation_id=conversation_id, token=_bearer(scope))
    scope.clear()  # a socket lives for hours: what its handshake said need not
    await connection.live()


def _refused(scope: Scope, gateway: Gateway) -> bool:
    """Before the handshake is answered: the wrong page, or too many strangers."""
    return gateway.unready >= gateway.config.unready_sockets or not _origin_allowed(scope, gateway)


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
