"""The time and new ids: the only places that make either, so that a test can hold them still."""

from __future__ import annotations

import random
import threading
import time
import uuid
from datetime import UTC, datetime

_lock = threading.Lock()
_last = 0
_random = random.Random()  # noqa: S311  seeded by the system; an id is a name, never a secret


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """A moment as every border shows it: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def rfc3339_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562) that is larger than every earlier one of this process.

    48 bits of milliseconds, then 12 bits that count up inside a millisecond, then 62 random bits.
    """
    return uuid.UUID(int=_new_number())


def new_id_hex() -> str:
    """The same as 32 hexadecimal digits, for where objects would cost more than what they name."""
    return f"{_new_number():032x}"


def _new_number() -> int:
    global _last
    with _lock:
        tick = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = tick
    return (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | _random.getrandbits(62)
