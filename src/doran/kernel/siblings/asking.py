"""One question to a sibling: here or over the network, same path, token and errors."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from doran.contracts.errors import Problem
from doran.kernel import config, telemetry
from doran.kernel.auth import ACTING_FOR
from doran.kernel.siblings.network import Line, Question
from doran.kernel.siblings.tokens import PATH, Tokens

LocalCall = Callable[[Question], tuple[int, bytes]]

_PATH: Final = re.compile(r"/[A-Za-z0-9._~%@:+-]+(/[A-Za-z0-9._~%@:+-]*)*(\?[^\s#]*)?")

_local: dict[str, LocalCall] = {}
_line: Line | None = None
_opening = threading.Lock()


def register_local(service: str, call: LocalCall | None) -> None:
    """This service runs in this process. `call` answers status and body; it goes through the same chain
    as a request from outside. None takes the registration back."""
    if call is None:
        _local.pop(service, None)
    else:
        _local[service] = call


def is_there(service: str) -> bool:
    """Whether this deployment has that service at all, here or at an address."""
    return service in _local or bool(_base(service))


def get(
    service: str, path: str, *, asker: str | None = None, acting_for: str | None = None, seconds: float | None = None
) -> tuple[int, Any]:
    """The status and the decoded JSON of `GET path` at that service; refusals (4xx) come back as well.

    `asker` is the service that asks, with its own token; without it nobody in particular asks.
    `acting_for` is the person whose rights decide. `seconds` may shorten `sibling_seconds`.
    Raises `Problem("unavailable")` when the service is absent, slow, broken, too busy, or answers no JSON.
    `path` is one of ours with its ids already quoted; anything else raises ValueError.
    """
    headers = {} if acting_for is None else {ACTING_FOR: acting_for}
    return _with_token(service, "GET", path, asker, headers, None, seconds)


def tell(service: str, path: str, body: bytes, *, asker: str, seconds: float | None = None) -> tuple[int, Any]:
    """The status and the decoded JSON of `POST path` with this JSON body. Raises as `get`.

    Only for what may be told twice: like every question, it is repeated when no answer came.
    """
    return _with_token(service, "POST", path, asker, {"Content-Type": "application/json"}, body, seconds)


def _with_token(
    service: str,
    method: str,
    path: str,
    asker: str | None,
    headers: dict[str, str],
    body: bytes | None,
    seconds: float | None,
) -> tuple[int, Any]:
    if not _PATH.fullmatch(path):
        raise ValueError("not a path of a sibling")
    if {".", ".."} & set(path.partition("?")[0].split("/")):  # an id that would change where the path leads
        return 404, None

    def once() -> tuple[int, Any]:
        proof = {} if asker is None else {"Authorization": f"Bearer {tokens.get(asker, service)}"}
        return ask(service, method, path, {**headers, **proof}, body, seconds=seconds)

    status, answer = once()
    if status == 401 and asker is not None:  # its keys changed, or the token was cut short: once more with a new one
        tokens.forget(asker, service)
        status, answer = once()
    return status, answer


def ask(
    service: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    seconds: float | None = None,
) -> tuple[int, Any]:
    """One question as it stands. Raises as `get`."""
    surroundings = {"Accept": "application/json", "Accept-Encoding": "identity", "traceparent": telemetry.traceparent()}
    question = Question(method, path, {**surroundings, **headers}, body)
    if service in _local:
        return _understood(*_local[service](question))
    base = _base(service)
    if not base:
        raise Problem("unavailable", retry_after=5)
    now = config.current()
    longest = min(seconds or now.sibling_seconds, now.sibling_seconds)
    return _opened().ask(service, base, question, seconds=longest, at_once=max(1, now.threads // 2))


def _understood(status: int, body: bytes) -> tuple[int, Any]:
    """What a service in this process says; its own trouble is the same as elsewhere."""
    if not (200 <= status < 300 or 400 <= status < 500) or status == 429:
        raise Problem("unavailable", retry_after=1)
    return status, msgspec.json.decode(body) if body else None


def _base(service: str) -> str:
    return str(getattr(config.current(), f"{service}_url", "") or "")


def _opened() -> Line:
    global _line
    with _opening:
        _line = _line or Line()
        return _line


def prove(service: str, secret: str, *, audience: str) -> int:
    """Ask core for a token of this service, and give it away; the status says whether core knows it by this secret.

    Raises as `get`.
    """
    body = msgspec.json.encode({"service": service, "secret": secret, "audience": audience})
    return ask("core", "POST", PATH, {"Content-Type": "application/json"}, body)[0]


def close() -> None:
    """Let go of connections and tokens (server stop)."""
    global _line
    with _opening:
        line, _line = _line, None
    tokens.clear()
    if line is not None:
        line.close()


tokens = Tokens(ask)
