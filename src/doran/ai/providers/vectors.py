"""Vectors as they are kept: little-endian 32-bit floats, of length 1."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from typing import Final

from doran.ai.providers import Trouble

MOST_DIMENSIONS: Final = 8192


def packed(found: Sequence[Sequence[float]], *, of: int) -> list[bytes]:
    """One vector for each of so many texts. Raises `Trouble` where there is one missing, or one that points nowhere."""
    sizes = {len(one) for one in found}
    if len(found) != of or len(sizes) > 1 or not sizes <= set(range(1, MOST_DIMENSIONS + 1)):
        raise Trouble("invalid_answer", "not one vector for each text")
    return [_packed(one) for one in found]


def _packed(one: Sequence[float]) -> bytes:
    length = math.sqrt(math.fsum(value * value for value in one))
    if not (math.isfinite(length) and length > 0):
        raise Trouble("invalid_answer", "a vector that points nowhere")
    floats = array("f", (value / length for value in one))
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()
