"""How Redis is asked from the event loop: with a limit to every wait, and once. Whoever asks can do without."""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

PATIENCE: Final = 1.0
"""Seconds that connecting, or one answer, may take."""


def connect(url: str) -> Any:
    """A client for the event loop it is first used on; it opens connections when they are needed."""
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
    )
