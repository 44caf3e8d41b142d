"""Known devices: a device that a user has logged in with before has rate limits of its own, so that other people's wrong
passwords do not lock it out.

A log-in sets a cookie: a random device name and a keyed hash of it, the same for all users of that browser. It grants no
access. Each session stores a tag of device and user, so a user has at most as many known devices as sessions.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import uuid
from datetime import timedelta
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from typing import Final

from doran.core import sealing
from doran.kernel import config
from doran.kernel.config import Config
from doran.kernel.limits import Limiter, limiter

COOKIE: Final = "doran_device"
LIFETIME: Final = timedelta(days=400)
"""As long as browsers keep a cookie."""
_NAME_BYTES: Final = 16
_MARK_BYTES: Final = 16
_LENGTH: Final = 43


def new() -> str:
    """Return the cookie of a device that has none."""
    return _spelled(os.urandom(_NAME_BYTES))


def shown(cookie: str | None) -> str | None:
    """Return the cookie of a device if it is one of ours, else None."""
    if cookie is None or len(cookie) != _LENGTH:
        return None
    try:
        raw = base64.b64decode(cookie + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    name, mark = raw[:_NAME_BYTES], raw[_NAME_BYTES:]
    return _spelled(name) if hmac.compare_digest(mark, _mark(name)) else None


def tag(user_id: uuid.UUID, device: str) -> str:
    """Return the tag of a device in a session row; it does not show that two users share a device."""
    return sealing.tag("devices of people", user_id.bytes, device).hex()[:32]


def goes_first(header: str) -> bool:
    """Return whether a `Cookie` header names a known device that is within its rate limit. Never block."""
    if COOKIE not in header:
        return False
    try:
        cookie = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return False
    device = shown(cookie.value if cookie else None)
    return device is not None and _turns(config.current()).take(device) == 0


@lru_cache(maxsize=1)
def _turns(now: Config) -> Limiter:
    return limiter("first_log_ins", now.failed_logins_per_minute, 60.0, exact=False)


def _spelled(name: bytes) -> str:
    return base64.urlsafe_b64encode(name + _mark(name)).rstrip(b"=").decode()


def _mark(name: bytes) -> bytes:
    return sealing.tag("devices", name)[:_MARK_BYTES]
