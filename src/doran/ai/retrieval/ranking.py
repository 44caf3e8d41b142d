"""Ranking: what was found by words and what was found by meaning, put in one order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

FROM_EACH: Final = 50
"""So many by words and so many by meaning are put in one order."""


class Found(NamedTuple):
    """A message by its id, in the version that was found, and its worth among those of one search."""

    message_id: str
    version: int
    score: float


def ordered(by_words: Mapping[str, float], by_meaning: Mapping[str, float], versions: Mapping[str, int]) -> list[Found]:
    """Everything that was found, the best first; of equal ones the newest."""
    worth = fused(by_words, spread(by_meaning))
    order = sorted(worth, key=lambda one: (worth[one], one), reverse=True)
    return [Found(one, versions[one], worth[one]) for one in order]


def spread(nearness: Mapping[str, float]) -> dict[str, float]:
    """The nearest as 1, the farthest of these as 0: models differ in how near everything is to everything."""
    if not nearness:
        return {}
    least = min(nearness.values())
    width = max(nearness.values()) - least
    return {one: (near - least) / width if width else 1.0 for one, near in nearness.items()}


def fused(by_words: Mapping[str, float], by_meaning: Mapping[str, float]) -> dict[str, float]:
    """The mean of both, each from 0 to 1. A place would not do: the first by words may have but one small word of it."""
    found = {*by_words, *by_meaning}
    return {one: (by_words.get(one, 0.0) + by_meaning.get(one, 0.0)) / 2 for one in found}
