"""Ask another service's HTTP API: in this process or over the network, same path, token and errors."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2
import msgspec

from doran.contracts.errors import Problem
from doran.kernel import config, telemetry

LocalCall = Callable[[str, Mapping[str, str]], tuple[int, bytes]]

_CONNECT_SECONDS: Final = 1.0
_LARGEST: Final = 1 << 20
_PATH = re.compile(r"/[A-Za-z0-9._~%@:+-]+(/[A-Za-z0-9._~%@:+-]*)*(\?[^\s#]*)?")

_local: dict[str, LocalCall] = {}
_client: httpx2.Client | None = None
_opening = threading.Lock()


def register_local(service: str, call: LocalCall | None) -> None:
    """This service runs in this process. `call` takes a path and headers, and answers status and body;
    it goes through the same chain as a request from outside. None takes the registration back."""
    if call is None:
        _local.pop(service, None)
    else:
        _local[service] = call


def is_there(service: str) -> bool:
    """Whether this deployment has that service at all, here or at an address."""
    return service in _local or bool(_base(service))


def get(service: str, path: str, *, token: str | None = None, timeout: float = 2.0) -> tuple[int, Any]:
    """The status and the decoded JSON of `GET path` at that service; refusals (4xx) come back as well.

    Raises `Problem("unavailable")` when the service is absent, slow, broken, or answers no JSON.
    `path` is one of ours with its ids already quoted; anything else raises ValueError.
    """
    if not _PATH.fullmatch(path):
        raise ValueError("not a path of a sibling")
    if {".", ".."} & set(path.partition("?")[0].split("/")):  # an id that would change where the path leads
        return 404, None
    headers = _headers(token)
    try:
        status, body = _local[service](path, headers) if service in _local else _remote(service, path, headers, timeout)
        return _understood(status, body)
    except (httpx2.HTTPError, httpx2.InvalidURL, msgspec.DecodeError, _Nonsense):
        raise Problem("unavailable", retry_after=1) from None


class _Nonsense(Exception):
    """The other side answered, but not as a sibling would."""


def _headers(token: str | None) -> dict[str, str]:
    headers = {"Accept": "application/json", "traceparent": telemetry.traceparent()}
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _understood(status: int, body: bytes) -> tuple[int, Any]:
    if not (200 <= status < 300 or 400 <= status < 500):
        raise _Nonsense
    return status, msgspec.json.decode(body) if body else None


def _remote(service: str, path: str, headers: Mapping[str, str], timeout: float) -> tuple[int, bytes]:
    base = _base(service)
    if not base:
        raise Problem("unavailable", retry_after=5)
    until = time.monotonic() + timeout
    limits = httpx2.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout))
    with _opened().stream("GET", base + path, headers=dict(headers), timeout=limits) as answer:
        return answer.status_code, _read(answer, until)


def _base(service: str) -> str:
    return str(getattr(config.current(), f"{service}_url", "") or "").rstrip("/")


def _read(answer: httpx2.Response, until: float) -> bytes:
    """The whole body, unless it is too large or comes too slowly."""
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _LARGEST or time.monotonic() > until:
            raise _Nonsense
    return bytes(body)


def _opened() -> httpx2.Client:
    """One pool of connections for the process. No redirects, and no proxy from the environment."""
    global _client
    with _opening:
        if _client is None:
            _client = httpx2.Client(follow_redirects=False, trust_env=False)
        return _client


def close() -> None:
    """Let go of idle connections (server stop)."""
    global _client
    with _opening:
        client, _client = _client, None
    if client is not None:
        client.close()
