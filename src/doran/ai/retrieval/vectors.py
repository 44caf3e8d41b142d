"""Vectors: how near messages are in meaning, and which of many are the best.

numpy does the arithmetic; where it is not installed (extra `ai`), nothing that needs vectors is offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

NUMBER: Final = "<f4"
SIZE: Final = 4
STEPS: Final = 2**16
"""Of a cosine, so many are told apart between 0 and 1."""


def can() -> bool:
    """Whether numpy is there."""
    return find_spec("numpy") is not None


def nearness(vectors: Sequence[bytes], query: bytes) -> Any:
    """Return the cosine of each vector with the query, as an array; -inf where there is no vector of this length.

    All have length 1. Rounded to what the arithmetic of every processor agrees on: some sum rows of one table in
    different orders, and equal messages must stay equal.
    """
    import numpy as np

    near = np.full(len(vectors), -np.inf, dtype=np.float32)
    fit = [number for number, vector in enumerate(vectors) if query and len(vector) == len(query)]
    if fit:
        table = np.frombuffer(b"".join(vectors[number] for number in fit), NUMBER)
        cosines = table.reshape(len(fit), -1) @ np.frombuffer(query, NUMBER)
        near[fit] = np.rint(cosines * STEPS) / STEPS
    return near


def joined(arrays: Sequence[Any]) -> Any:
    """Several arrays as one."""
    import numpy as np

    return np.concatenate(arrays)


def best(scores: Any, names: Sequence[str], *, above: float, most: int) -> dict[str, float]:
    """The highest scores by their names; of equal ones the one with the later name."""
    import numpy as np

    able = np.flatnonzero(scores > above)
    if len(able) > most:
        least = np.partition(scores[able], -most)[-most]
        able = able[scores[able] >= least]
    first = sorted(able.tolist(), key=lambda at: (scores[at], names[at]), reverse=True)[:most]
    return {names[at]: float(scores[at]) for at in first}
