"""Asking a running server how it is, from the same machine or container."""

from __future__ import annotations

import http.client
from typing import Final, Literal

import msgspec

from doran.kernel.config import Config
from doran.server.exits import Refused
from doran.server.telling import say

SECONDS: Final = 4.0
_LARGEST: Final = 65_536
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  asked, not listened at


class _Dependency(msgspec.Struct):
    ok: bool
    detail: str


class _Said(msgspec.Struct):
    status: str
    dependencies: dict[str, _Dependency] = {}


def ask(config: Config, what: Literal["live", "ready"]) -> int:
    """Print what it says of itself and of what it leans on: 0 when all is well, otherwise 1.

    Raises `Refused` when it does not answer, or does not answer as Doran does.
    """
    status, said = _answer(config, f"/health/{what}")
    say(said.status)
    for name, found in sorted(said.dependencies.items()):
        say(f"{'ok ' if found.ok else 'NO '} {name:<14} {found.detail}".rstrip())
    return 0 if status == 200 else 1


def _answer(config: Config, path: str) -> tuple[int, _Said]:
    host = _EVERYWHERE.get(config.host, config.host)
    asked = http.client.HTTPConnection(host, config.port, timeout=SECONDS)
    try:
        asked.request("GET", path)
        answer = asked.getresponse()
        return answer.status, msgspec.json.decode(answer.read(_LARGEST), type=_Said)
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as wrong:
        reason = type(wrong).__name__
        raise Refused("failed", f"No Doran answers at {host}:{config.port} ({reason}).") from None
    finally:
        asked.close()
