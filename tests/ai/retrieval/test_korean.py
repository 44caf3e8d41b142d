"""How well messages are found, with the real vectors of doran[local]: figures stand in docs/adr/0021.

Vectors differ in their last bits from processor to processor, and with them the order of what is nearly equally near.
So every score is judged with a margin: what `MOVED` questions can change.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from doran.ai.retrieval import brute_force, grams
from doran.ai.retrieval.brute_force import Row
from doran.ai.retrieval.catching_up import LEAST_LETTERS
from doran.ai.retrieval.ranking import Found

HERE = Path(__file__).parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.stateless]


MOVED = 2
"""Questions that may be answered otherwise on another processor; a worse ranking loses many more."""


class Query(NamedTuple):
    text: str
    wanted: tuple[int, ...]


class Score(NamedTuple):
    """Mean reciprocal rank of the first that must be found, and which part of them is among the first five."""

    mrr: float
    recall: float

    def falls_short_of(self, other: Score, *, margin: float) -> bool:
        return self.mrr < other.mrr - margin or self.recall < other.recall - margin


@dataclass(frozen=True)
class Set:
    rows: Sequence[Row]
    queries: Sequence[Query]
    embed: Callable[[str], bytes]

    @property
    def margin(self) -> float:
        """How much `MOVED` questions are of a score."""
        return MOVED / len(self.queries)

    def score(self, ways: str) -> Score:
        """By words, by meaning, or by both."""
        ranks = [self._places(query, ways) for query in self.queries]
        best = [1 / min(places) if places else 0.0 for places in ranks]
        early = [
            sum(place <= 5 for place in places) / min(5, len(query.wanted))
            for query, places in zip(self.queries, ranks, strict=True)
        ]
        return Score(sum(best) / len(best), sum(early) / len(early))

    def _places(self, query: Query, ways: str) -> list[int]:
        vector = self.embed(query.text) if ways != "words" and grams.letters(query.text) else b""
        found = [int(one.message_id) for one in self._found(query, vector, ways)]
        return [found.index(one) + 1 for one in query.wanted if one in found]

    def _found(self, query: Query, vector: bytes, ways: str) -> list[Found]:
        return brute_force.ranked(self._rows(ways), query.text, vector)

    def _rows(self, ways: str) -> Iterator[Row]:
        return (row._replace(grams=b"") if ways == "meaning" else row for row in self.rows)


def read(name: str, embed: Any, *tables: str) -> Set:
    told = tomllib.loads((HERE / name).read_text())
    rows = [
        Row(f"{number:03}", 1, embed(said) if grams.letters(said) >= LEAST_LETTERS else b"", grams.grams(said))
        for number, said in enumerate(told["messages"], start=1)
    ]
    return Set(rows, [query for table in tables for query in queries(told[table])], embed)


def queries(table: str) -> Iterator[Query]:
    """Lines of `query | wanted`, or of `kind | query | wanted | also fine`; without those that want nothing."""
    for line in table.strip().splitlines():
        parts = [part.strip() for part in line.split("|")]
        text, wanted = parts[-2:] if len(parts) == 2 else parts[1:3]
        if wanted:
            yield Query(text, tuple(map(int, wanted.split())))


@pytest.mark.parametrize(
    ("name", "tables", "least"),
    [
        ("korean.toml", ("queries",), Score(0.89, 0.88)),
        ("korean.toml", ("zero_overlap",), Score(0.75, 0.73)),
        ("korean.toml", ("queries", "zero_overlap"), Score(0.85, 0.85)),
        ("held_out.toml", ("queries",), Score(0.75, 0.79)),
    ],
)
def test_both_ways_together_find_at_least_what_is_promised(
    embed: Any, name: str, tables: tuple[str, ...], least: Score
) -> None:
    these = read(name, embed, *tables)
    words, meaning, both = (these.score(ways) for ways in ("words", "meaning", "both"))
    print(f"\n{name} {tables}: words {words}, meaning {meaning}, both {both}, {len(these.queries)} queries")
    assert not both.falls_short_of(least, margin=these.margin)
    assert not both.falls_short_of(words, margin=these.margin)
    assert not both.falls_short_of(meaning, margin=these.margin)


@pytest.mark.parametrize(
    ("measured", "is_short"),
    [
        (Score(0.7577, 0.7470), False),  # as on the machine of docs/adr/0021
        (Score(0.7577, 0.7292), False),  # one rank moved by rounding
        (Score(0.7220, 0.7292), False),  # and one first place lost
        (Score(0.7577, 0.6500), True),
        (Score(0.6700, 0.7470), True),
    ],
)
def test_a_moved_rank_is_no_worse_ranking_and_a_worse_one_is_told(measured: Score, is_short: bool) -> None:
    assert measured.falls_short_of(Score(0.75, 0.73), margin=MOVED / 28) is is_short
