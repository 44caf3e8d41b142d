"""The time and new ids: the only places that make either, so that a test can hold them still.

A machine's clock may be wrong and be set right. `now` follows it, for leases and expiry; `stamp` never goes
back, for what is stored and ordered; `notice` keeps what shows that a clock is wrong, for health and log.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

log = logging.getLogger(__name__)

NOTICEABLE_SECONDS: Final = 5.0
NOTICED_FOR_SECONDS: Final = 600.0
_STEP: Final = timedelta(microseconds=1)
_STORED: Final = "what was stored last"

_lock = threading.Lock()
_last = 0
_stamped = datetime.fromtimestamp(0, UTC)
_noticed: dict[str, tuple[float, float]] = {}
_random = random.Random()  # noqa: S311  seeded by the system; an id is a name, never a secret


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)


def not_before(earlier: datetime) -> datetime:
    """Return the present moment, or `earlier` where the clock was set back behind it: for a row that is written again."""
    return max(now(), earlier)


def stamp() -> datetime:
    """Return the moment for what is stored: the present one, but later than every stamp this process made or followed.

    After a clock was set back, stamps go on from the latest in steps of a microsecond until it has caught up.
    """
    global _stamped
    present = now()
    with _lock:
        _stamped = max(present, _stamped + _STEP)
        stamped = _stamped
    if stamped is not present:
        notice(_STORED, (present - stamped).total_seconds())
    return stamped


def begin_stamps() -> None:
    """Forget every stamp: a process that starts follows what is stored, and nothing else."""
    global _stamped
    with _lock:
        _stamped = datetime.fromtimestamp(0, UTC)


def follow(stored: datetime | None) -> None:
    """Let every later stamp and id follow what another process, or this one before a restart, has stored."""
    global _last, _stamped
    if stored is None:
        return
    with _lock:
        _stamped = max(_stamped, stored)
        _last = max(_last, int(stored.timestamp() * 1000) * 4096)
    notice(_STORED, min(0.0, (now() - stored).total_seconds()))


def notice(source: str, seconds_ahead: float) -> None:
    """Remember how far this machine's clock is ahead of another source of time; log it when it begins to matter."""
    is_new = source not in _noticed
    if abs(seconds_ahead) <= NOTICEABLE_SECONDS:
        _noticed.pop(source, None)
        return
    _noticed[source] = (seconds_ahead, time.monotonic())
    if is_new:
        log.warning("clock disagrees with %s by %.0f s", source, seconds_ahead)


def disagreements() -> str:
    """Return a sentence about other clocks that this machine's was found to disagree with lately, else nothing."""
    lately = time.monotonic() - NOTICED_FOR_SECONDS
    for source in [source for source, (_, at) in list(_noticed.items()) if at < lately]:
        _noticed.pop(source, None)
    return "; ".join(f"this machine's clock is {ahead:+.0f} s from {source}" for source, (ahead, _) in _noticed.items())


def forget_disagreements() -> None:
    """Begin anew: what was noticed belongs to one start of a process."""
    _noticed.clear()


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


def least_id(moment: datetime) -> uuid.UUID:
    """Return the smallest id of that moment: all that were made before it are less."""
    return uuid.UUID(int=int(moment.timestamp() * 1000) << 80 | 0x7 << 76 | 0b10 << 62)


def new_id_hex() -> str:
    """The same as 32 hexadecimal digits, for where objects would cost more than what they name."""
    return f"{_new_number():032x}"


def _new_number() -> int:
    global _last
    with _lock:
        tick = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = tick
    return (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | _random.getrandbits(62)
