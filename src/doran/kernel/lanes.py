"""Lanes: events of one key share a lane, and a lane is in one hand at a time; so order per key is kept."""

from __future__ import annotations

import zlib
from typing import Final

LANES: Final = 8
"""Fixed for ever: rows and queues carry lane numbers."""


def lane(key: str) -> int:
    """The lane of a key, from 0 to `LANES` - 1: the same for ever and on every machine."""
    return zlib.crc32(key.encode()) % LANES
