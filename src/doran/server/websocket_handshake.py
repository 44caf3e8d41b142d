"""The handshake of RFC 6455, section 4: what a request must hold, and the bytes that answer it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from doran.contracts.errors import Problem

Headers = Iterable[tuple[bytes, bytes]]

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ONCE: Final = (b"host", b"sec-websocket-key", b"sec-websocket-version")


def accept(scope: Mapping[str, Any]) -> bytes:
    """Return the 101 answer to a proper handshake. Raises Problem for any other request."""
    if scope["method"] != "GET":
        raise Problem("method_not_allowed", "A WebSocket handshake is a GET request.")
    if scope["http_version"] < "1.1":
        raise Problem("bad_request", "A WebSocket handshake needs HTTP/1.1.")
    for name in _ONCE:
        if sum(key == name for key, _ in scope["headers"]) > 1:
            raise Problem("bad_request", f"The header {name.decode()} may stand in a request once only.")
    headers = dict(scope["headers"])
    if headers.get(b"sec-websocket-version", b"").strip() != b"13":
        raise Problem("upgrade_required", "Sec-WebSocket-Version must be 13.")
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + _proof(headers.get(b"sec-websocket-key", b"").strip()) + b"\r\n\r\n"
    )


def _proof(key: bytes) -> bytes:
    """Return the value that shows the client that its key was read (RFC 6455, 4.2.2)."""
    try:
        is_proper = len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        is_proper = False
    if not is_proper:
        raise Problem("bad_request", "Sec-WebSocket-Key must be 16 bytes in base64.")
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def refusal(problem: Problem) -> bytes:
    """Return a whole HTTP answer with a problem document that ends its connection."""
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if problem.code == "upgrade_required":
        headers += [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    if problem.code == "method_not_allowed":
        headers.append((b"allow", b"GET"))
    if problem.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(problem.retry_after))))
    body = msgspec.json.encode(problem.body())
    return head(problem.kind.status, [*headers, (b"content-length", b"%d" % len(body))]) + body


def head(status: int, headers: Headers) -> bytes:
    """Return the status line and headers of an answer that ends its connection."""
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"connection: close", b"x-content-type-options: nosniff", b"", b""])
