"""Brute force: everything that one person may search is read and compared here, by numpy. Every database can do that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from doran.ai.models import Embedding
from doran.ai.privacy import consents
from doran.ai.retrieval import grams, matching, vectors
from doran.ai.retrieval.ranking import FROM_EACH, Found, ordered

_AT_ONCE: Final = 4000


class Row(NamedTuple):
    """What is kept of one message."""

    message_id: str
    version: int
    vector: bytes
    grams: bytes


def found(user_id: str, query: str, vector: bytes, *, model: str) -> list[Found]:
    """What this person may see that has anything to do with the query, the best first."""
    return ranked(rows(user_id, model), query, vector)


def rows(user_id: str, model: str) -> Iterator[Row]:
    """All that this person may search."""
    mine = consents.remembered(user_id).values("id")
    kept = Embedding.objects.filter(conversation_id__in=mine, model=model)
    columns = kept.values_list("message_id", "message_version", "vector", "grams")
    for message_id, version, vector, said in columns.iterator(_AT_ONCE):
        yield Row(message_id, version, bytes(vector), bytes(said))


def ranked(candidates: Iterator[Row], query: str, vector: bytes) -> list[Found]:
    """Those that have anything to do with the query, the best first; of equal ones the newest."""
    wanted = grams.wanted(query)
    versions: dict[str, int] = {}
    near, shared = [], []
    while some := list(islice(candidates, _AT_ONCE)):
        versions.update((row.message_id, row.version) for row in some)
        near.append(vectors.nearness([row.vector for row in some], vector))
        shared.append(matching.hits([row.grams for row in some], wanted))
    if not versions:
        return []
    names = list(versions)
    shares, nearness = matching.shares(shared, wanted, of=len(names)), vectors.joined(near)
    by_words = vectors.best(shares, names, above=0.0, most=FROM_EACH)
    by_meaning = vectors.best(nearness, names, above=-1.0, most=FROM_EACH)
    return ordered(by_words, by_meaning, versions)
