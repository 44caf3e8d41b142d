"""The way to a server under test: REST calls and sockets, over the network or to a simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

Json = dict[str, Any]

LONGEST_FRAME = 262_144
"""Bytes that a server may send at once."""
TOO_LONG = "frame_too_long"


class Answer(NamedTuple):
    """What a call was answered with; `body` is {} where there was none."""

    status: int
    body: Json

    @property
    def code(self) -> str:
        return str(self.body.get("code", self.status))


class Unreachable(Exception):
    """Nobody was there: the question was certainly not heard."""


class Lost(Exception):
    """No answer came: the question may have been heard or not. `code` is a close code, or 0."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


class Wire(Protocol):
    """One open socket. Every call raises `Lost` once it is gone."""

    async def say(self, frame: Json) -> None: ...
    async def hear(self) -> Json: ...
    async def close(self) -> None: ...


class Gate(Protocol):
    """A server as its clients see it."""

    async def ask(self, method: str, path: str, *, token: str = "", body: Json | None = None) -> Answer:
        """One REST call. Raises `Unreachable` or `Lost`."""
        ...

    async def open(self, path: str, *, token: str, in_band: bool = False) -> Wire:
        """A socket; the token goes as a header, or (`in_band`) as the first frame."""
        ...


class NetworkGate:
    """A real server, by its base URL. `patience` is how long an answer may take, in seconds."""

    def __init__(self, url: str, *, patience: float = 5.0) -> None:
        self._url = url.rstrip("/")
        self._patience = patience
        self._http = httpx2.AsyncClient(
            base_url=self._url,
            timeout=patience,
            trust_env=False,
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=32),
        )

    async def ask(self, method: str, path: str, *, token: str = "", body: Json | None = None) -> Answer:
        try:
            answer = await self._http.request(method, path, headers=_bearer(token), json=body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as gone:
            raise Unreachable from gone
        except httpx2.TransportError as gone:
            raise Lost from gone
        return Answer(answer.status_code, _json(answer.content))

    async def open(self, path: str, *, token: str, in_band: bool = False) -> Wire:
        url = "ws" + self._url.removeprefix("http") + path
        try:
            socket = await connect(
                url,
                additional_headers={} if in_band else _bearer(token),
                compression=None,
                proxy=None,
                open_timeout=self._patience,
                close_timeout=1,
                ping_interval=None,
                max_queue=None,
                max_size=None,
            )
        except (OSError, WebSocketException) as gone:
            raise Unreachable from gone
        wire = _NetworkWire(socket)
        if in_band:
            await wire.say({"type": "auth", "token": token})
        return wire

    async def ready(self) -> bool:
        """Whether the server says that it serves."""
        try:
            return (await self.ask("GET", "/health/ready")).status == 200
        except (Unreachable, Lost):
            return False

    async def read(self, path: str) -> bytes:
        """What the server says at a path, whatever it is; nothing where it does not answer."""
        try:
            return (await self._http.get(path)).content
        except httpx2.TransportError:
            return b""

    async def aclose(self) -> None:
        await self._http.aclose()


class _NetworkWire:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def say(self, frame: Json) -> None:
        try:
            await self._socket.send(msgspec.json.encode(frame).decode())
        except ConnectionClosed as closed:
            raise Lost(_code(closed)) from closed

    async def hear(self) -> Json:
        try:
            return _frame(await self._socket.recv(decode=False))
        except ConnectionClosed as closed:
            raise Lost(_code(closed)) from closed

    async def close(self) -> None:
        with suppress(Exception):
            await asyncio.wait_for(self._socket.close(), 2)


def _code(closed: ConnectionClosed) -> int:
    return 0 if closed.rcvd is None else closed.rcvd.code


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _frame(content: bytes) -> Json:
    """Return the frame, or in place of one that is longer than promised, that it was."""
    return _json(content) if len(content) <= LONGEST_FRAME else {"type": TOO_LONG, "bytes": len(content)}


def _json(content: str | bytes) -> Json:
    try:
        decoded = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {"results": decoded}
