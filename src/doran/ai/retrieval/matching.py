"""Matching: how much of a question's words a message has in common, rare words counting more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

LEAST_SHARE: Final = 0.2
"""Whoever has less of the question's weight than this has only its small words."""


def hits(grams: Sequence[bytes], wanted: Mapping[int, float]) -> Any:
    """Which of the wanted tokens (columns, in their order) each message (rows) has."""
    import numpy as np

    tokens = np.fromiter(wanted, dtype=np.uint32, count=len(wanted))
    found = np.zeros((len(grams), len(tokens)), dtype=bool)
    if not len(tokens):
        return found
    lengths = [len(one) // 4 for one in grams]
    said = np.frombuffer(b"".join(grams), "<u4")
    owners = np.repeat(np.arange(len(grams)), lengths)
    order = np.argsort(tokens)
    places = np.searchsorted(tokens, said, sorter=order)
    columns = order[np.minimum(places, len(tokens) - 1)]
    same = tokens[columns] == said
    found[owners[same], columns[same]] = True
    return found


def shares(found: Sequence[Any], wanted: Mapping[int, float], *, of: int) -> Any:
    """For each message, which part of the question's weight it has: 0 to 1; 0 where that is too little.

    `found` are the `hits` of all messages that have any of the tokens, at least: how rare a token is among `of`
    messages, they say.
    """
    import numpy as np

    table = np.concatenate(found)
    if not table.size:
        return np.zeros(len(table))
    known = np.maximum(table.sum(axis=0), 0.5)
    worth = np.fromiter(wanted.values(), dtype=np.float64) * np.log1p(of / known)
    share = (table @ worth) / worth.sum()
    return np.where(share < LEAST_SHARE, 0.0, share)
