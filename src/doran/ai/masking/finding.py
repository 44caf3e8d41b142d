"""Finds personal data in a text, however its digits and hyphens are written."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final, NamedTuple

from doran.ai.masking.sorts import SORTS

__all__ = ["Found", "digits", "find", "repeated"]


class Found(NamedTuple):
    """`text`, which stands at `start` and before `end`, is personal data of the kind `label`."""

    start: int
    end: int
    label: str
    text: str


def find(text: str) -> list[Found]:
    """All that the table knows, from left to right. Where two overlap, the sort that stands earlier in it counts."""
    plain, taken = _plain(text), _Taken(text)
    for sort in SORTS:
        for match in sort.pattern.finditer(plain):
            if sort.is_one(match):
                taken.add(*match.span(), sort.label)
    return taken.found


def repeated(text: str, found: list[Found], known: Mapping[str, str]) -> list[Found]:
    """`found`, and every number of `known` (digits → label) that stands elsewhere in the text, however it is grouped."""
    taken = _Taken(text, found)
    for start, end, number in _numbers(_plain(text), {len(number) for number in known}):
        if number in known:
            taken.add(start, end, known[number])
    return taken.found


def digits(text: str) -> str:
    """The digits of a text and nothing else."""
    return re.sub(r"\D", "", _plain(text))


class _Taken:
    """Finds that do not overlap, in order."""

    def __init__(self, text: str, found: list[Found] | None = None) -> None:
        self._text = text
        self.found = list(found or ())

    def add(self, start: int, end: int, label: str) -> None:
        at = bisect(self.found, (start,))
        if (at and self.found[at - 1].end > start) or (at < len(self.found) and self.found[at].start < end):
            return
        self.found.insert(at, Found(start, end, label, self._text[start:end]))


def _numbers(plain: str, lengths: set[int]) -> Iterator[tuple[int, int, str]]:
    """Every number of one of these lengths, in one piece or in groups: where it stands, and its digits."""
    for run in _RUN.finditer(plain):
        places = [run.start() + at for at, one in enumerate(run[0]) if one.isdigit()]
        for first, length in product(range(len(places)), sorted(lengths)):
            if first + length <= len(places) and length >= _ENOUGH:
                start, end = places[first], places[first + length - 1] + 1
                if not (plain[start - 1 : start].isdigit() or plain[end : end + 1].isdigit()):
                    yield start, end, "".join(plain[at] for at in places[first : first + length])


_ENOUGH: Final = 7
_RUN: Final = re.compile(rf"\d(?:[-. ]?\d){{{_ENOUGH - 1},}}", re.ASCII)


# -- one way to write it -----------------------------------------------------------------------------


def _plain(text: str) -> str:
    """The text with plain digits, hyphens and spaces, each character in its place."""
    return text if text.isascii() else _ODD.sub(_usual, text)


def _usual(odd: re.Match[str]) -> str:
    one = odd[0]
    return str(unicodedata.decimal(one)) if one.isdecimal() else _AS.get(one, " ")


_AS: Final = {**dict.fromkeys("‐‑‒–—―−－﹣·ㆍ", "-"), "＠": "@", "．": ".", "＋": "+", "（": "(", "）": ")"}
_ODD: Final = re.compile(rf"(?![0-9])\d|[{''.join(_AS)}\xa0\xad\u2000-\u200f\u2060\u3000\ufeff]")
