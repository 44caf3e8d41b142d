"""The time and new ids: the only places that make either, so that a test can hold them still."""

from __future__ import annotations

import os
import threading
import time
import uuid
from datetime import UTC, datetime

_lock = threading.Lock()
_last = 0


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """A moment as every border shows it: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562) that is larger than every earlier one of this process.

    48 bits of milliseconds, then 12 bits that count up inside a millisecond, then 62 random bits.
    """
    global _last
    with _lock:
        tick = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = tick
    random = int.from_bytes(os.urandom(8), "big") >> 2
    return uuid.UUID(int=(tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | random)
