"""Tokens with which a service proves itself to another: asked of core, kept, and renewed in time."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from doran.contracts.errors import Problem
from doran.kernel import config

log = logging.getLogger(__name__)

PATH: Final = "/api/core/service-tokens/"
RENEW_AT: Final = 0.5
"""Which part of a token's life passes before the next is asked for; the rest bridges a core that is away."""
MARGIN_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 1.0
REFUSED_SECONDS: Final = 5.0

Ask = Callable[..., tuple[int, Any]]


def fingerprint(secret: str) -> str:
    """What core keeps of a service's secret. It is long and random, so a plain hash gives nothing away."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Granted(msgspec.Struct, frozen=True):
    """What core answers; `expires_in` is in seconds."""

    access_token: str
    expires_in: int


@dataclass(slots=True)
class _Held:
    """The token for one audience. Moments are those of the monotonic clock."""

    token: str = ""
    renew_at: float = 0.0
    ends_at: float = 0.0
    asking: threading.Lock = field(default_factory=threading.Lock)


class Tokens:
    """By who asks and who is asked. One thread renews; who has a token that is still good does not wait for it."""

    def __init__(self, ask: Ask, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._ticks = ticks
        self._held: dict[tuple[str, str], _Held] = {}

    def get(self, asker: str, audience: str) -> str:
        """A token that is good now. Raises `Problem("unavailable")` when core is away or gives none."""
        held = self._held.setdefault((asker, audience), _Held())
        if self._ticks() >= held.renew_at:
            self._renew(held, asker, audience)
        if self._ticks() >= held.ends_at:
            raise Problem("unavailable", "core gives this service no token now.", retry_after=AWAY_SECONDS)
        return held.token

    def forget(self, asker: str, audience: str) -> None:
        """The audience does not believe the token: ask for another."""
        self._held.pop((asker, audience), None)

    def clear(self) -> None:
        self._held.clear()

    def _renew(self, held: _Held, asker: str, audience: str) -> None:
        is_good = self._ticks() < held.ends_at
        if not held.asking.acquire(blocking=not is_good):
            return
        try:
            if self._ticks() >= held.renew_at:  # nobody was faster
                self._exchange(held, asker, audience)
        finally:
            held.asking.release()

    def _exchange(self, held: _Held, asker: str, audience: str) -> None:
        """A new token in place of the old one. Where there is none, the old one stays for the time it has."""
        try:
            granted = self._granted(asker, audience)
        except Problem:
            held.renew_at = self._ticks() + AWAY_SECONDS
        except _Refused as refused:
            held.renew_at = self._ticks() + REFUSED_SECONDS
            log.error("core gives this service no token", extra={"service": asker, "status": refused.status})
        else:
            now = self._ticks()
            held.token = granted.access_token
            held.ends_at = now + granted.expires_in - MARGIN_SECONDS
            held.renew_at = now + granted.expires_in * RENEW_AT * random.uniform(0.8, 1.0)  # noqa: S311

    def _granted(self, asker: str, audience: str) -> Granted:
        wanted = {"service": asker, "secret": config.current().service_secret, "audience": audience}
        headers = {"Content-Type": "application/json"}
        status, answer = self._ask("core", "POST", PATH, headers, msgspec.json.encode(wanted))
        try:
            if status == 200:
                return msgspec.convert(answer, Granted)
        except msgspec.ValidationError:
            raise Problem("unavailable") from None
        raise _Refused(status)


class _Refused(Exception):
    """Core does not know this service, or grants it nothing there."""

    def __init__(self, status: int) -> None:
        self.status = status
