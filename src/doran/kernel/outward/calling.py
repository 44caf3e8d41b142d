"""One outward call: look up, check, connect, ask, read no more than was wanted."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import httpcore2

from doran.kernel.outward.targets import Rules, Target, as_address

Resolver = Callable[[str], Sequence[str]]

_CONNECT_SECONDS: Final = 5.0
_MOST_ADDRESSES: Final = 4
_IDLE_SECONDS: Final = 5.0
_MOST_IDLE: Final = 64


class Failed(Exception):
    """No answer came; `reason` is a word of ours, never of the other side."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `body` ends early where `is_whole` is false: too long, too slow, or broken off."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_whole: bool


class Outward:
    """Calls under these rules, each within `seconds` in all. Belongs to one event loop.

    `resolve` tells a name's addresses and may block; `trust` replaces the system's certificate authorities.
    """

    def __init__(
        self, rules: Rules, *, seconds: float, resolve: Resolver | None = None, trust: ssl.SSLContext | None = None
    ) -> None:
        self._seconds = seconds
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trust or httpcore2.default_ssl_context(),
            max_connections=None,
            max_keepalive_connections=_MOST_IDLE,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=_Checked(rules, resolve or look_up),
        )

    async def call(
        self, method: str, target: Target, *, headers: Mapping[str, str], body: bytes = b"", most_bytes: int
    ) -> Answer:
        """The answer, whatever its status, with at most `most_bytes` of its body. Raises `Failed`."""
        until = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(until):
                response = await self._pool.handle_async_request(_request(method, target, headers, body))
        except Exception as wrong:
            raise Failed(_reason(wrong)) from None
        try:
            content, is_whole = await _read(response, most_bytes, until)
        finally:
            await response.aclose()
        return Answer(response.status, _headers(response), content, is_whole)

    async def close(self) -> None:
        await self._pool.aclose()


def _request(method: str, target: Target, headers: Mapping[str, str], body: bytes) -> httpcore2.Request:
    url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    ours = {"Host": target.authority, "Accept-Encoding": "identity", "Content-Length": str(len(body))}
    steps = {"timeout": {"connect": _CONNECT_SECONDS}}  # the deadline around the call limits all others
    return httpcore2.Request(method, url, headers=list({**ours, **headers}.items()), content=body, extensions=steps)


async def _read(response: httpcore2.Response, most_bytes: int, until: float) -> tuple[bytes, bool]:
    """The status is known already: a body that goes wrong does not take it back."""
    body = bytearray()
    try:
        async with asyncio.timeout_at(until):
            async for piece in response.aiter_stream():
                body += piece
                if len(body) > most_bytes:
                    return bytes(body[:most_bytes]), False
    except (TimeoutError, httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
        return bytes(body), False
    return bytes(body), True


def _headers(response: httpcore2.Response) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}


def _reason(wrong: Exception) -> str:
    if isinstance(wrong, Failed):
        return wrong.reason
    if isinstance(wrong, TimeoutError | httpcore2.TimeoutException):
        return "timeout"
    if isinstance(wrong, httpcore2.ConnectError):  # past TCP, or `_Checked` had given its own reason
        return "certificate" if any(isinstance(one, ssl.SSLCertVerificationError) for one in _causes(wrong)) else "tls"
    if isinstance(wrong, httpcore2.NetworkError | httpcore2.ProtocolError):
        return "broken_answer"
    raise wrong


def _causes(wrong: BaseException | None) -> Iterator[BaseException]:
    while wrong is not None:
        yield wrong
        wrong = wrong.__cause__ or wrong.__context__


# -- the connection ----------------------------------------------------------------------------------


class _Checked(httpcore2.AsyncNetworkBackend):
    """Opens connections to addresses that the rules allow. Nothing else here resolves a name."""

    def __init__(self, rules: Rules, resolve: Resolver) -> None:
        self._rules, self._resolve = rules, resolve
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        wrong: Exception = Failed("no_address")
        for address in await self._addresses(host):
            try:
                return await self._network.connect_tcp(address, port, timeout=timeout)
            except httpcore2.ConnectTimeout:
                wrong = Failed("timeout")
            except httpcore2.ConnectError:
                wrong = Failed("no_connection")
        raise wrong

    async def _addresses(self, host: str) -> list[str]:
        """All that the name stands for, if every one of them is allowed."""
        texts = [host] if as_address(host) else await _elsewhere(self._resolve, host)
        addresses = [as_address(text) for text in texts]
        if any(address is None or not self._rules.allow(address) for address in addresses):
            raise Failed("not_allowed")
        return [str(address) for address in addresses][:_MOST_ADDRESSES]


def look_up(name: str) -> list[str]:
    """The addresses of a name, as the system knows them; none if it does not."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(one[4][0]) for one in found))


async def _elsewhere(resolve: Resolver, name: str) -> Sequence[str]:
    """In a thread of its own, which nobody waits for longer than they want to."""
    found: Future[Sequence[str]] = Future()
    found.set_running_or_notify_cancel()  # from now on it cannot be cancelled, only no longer waited for

    def ask() -> None:
        try:
            found.set_result(resolve(name))
        except Exception as wrong:
            found.set_exception(wrong)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return await asyncio.wrap_future(found)
