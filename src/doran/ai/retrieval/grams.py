"""Lexical tokens of a text, as hashes: what two texts have in common, whatever the spaces and endings.

Pairs of Korean, Japanese and Chinese characters across spaces; words and what is left of them without josa; Latin
words; numbers without separators; emoji. Made for one thing, to be put beside vectors: another analyser may take its
place, and what was stored is then made anew (`VERSION`).
"""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from doran.ai.retrieval import josa

VERSION: Final = 1
PAIR_WEIGHT: Final = 0.5
"""Two characters that stand together say less than a word that is the same."""

_JAMO: Final = re.compile(r"([\u3131-\u318e]+)")
_SEPARATED: Final = re.compile(r"(?<=\d)[-.,](?=\d)")
_UNSEEN: Final = re.compile("[\u200b-\u200f\u2060\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
_CJK: Final = "\u3131-\u318e\uac00-\ud7a3\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"(?P<cjk>[{_CJK}]+)|(?P<number>\d+)|(?P<word>[^\W\d_{_CJK}]+)|(?P<sign>[^\s\w])")
_RUN: Final = re.compile(rf"[{_CJK}\d]+(?:\s+[{_CJK}\d]+)*")
_NUMBER_PART: Final = 4


def grams(text: str) -> bytes:
    """The text's tokens as sorted little-endian unsigned 32-bit integers, each once."""
    hashed = sorted({_hash(token) for token, _ in tokens(text)})
    return struct.pack(f"<{len(hashed)}I", *hashed)


def wanted(query: str) -> dict[int, float]:
    """What to look for, with its weight."""
    weights: dict[int, float] = {}
    for token, weight in tokens(query):
        weights[_hash(token)] = max(weight, weights.get(_hash(token), 0.0))
    return weights


def letters(text: str) -> int:
    """How many letters and digits it has; a meaning needs some."""
    return sum(character.isalnum() for character in text)


def tokens(text: str) -> Iterator[tuple[str, float]]:
    """Each token with its weight, as often as it stands there."""
    plain = normal(text)
    for run in _RUN.findall(plain):
        yield from (("b:" + pair, PAIR_WEIGHT) for pair in _pairs("".join(run.split())))
    for eojeol in plain.split():
        yield from ((token, 1.0) for token in _words(eojeol))


def normal(text: str) -> str:
    """One form for what looks or reads alike. Single jamo (ㅋㅋ, ㅇㅇ) stay what they are."""
    pieces = _JAMO.split(_UNSEEN.sub("", text))
    composed = "".join(
        piece if number % 2 else unicodedata.normalize("NFKC", piece) for number, piece in enumerate(pieces)
    )
    return _SEPARATED.sub("", "".join(map(_without_accent, composed.casefold())))


def _without_accent(character: str) -> str:
    base = unicodedata.normalize("NFD", character)[0]
    return base if base.isascii() and base.isalpha() else character


def _pairs(run: str) -> Iterable[str]:
    pairs = (run[at : at + 2] for at in range(len(run) - 1))
    return (pair for pair in pairs if not pair.isdecimal())


def _words(eojeol: str) -> Iterator[str]:
    """An eojeol as a whole, without its josa, and what it is put together of: API키, 3시까지."""
    parts = [(found.lastgroup or "", found.group()) for found in _TOKEN.finditer(eojeol)]
    said = "".join(part for kind, part in parts if kind != "sign")
    yield from ("s:" + stem for stem in josa.stems(said) if said)
    for kind, part in parts:
        yield from _parts(kind, part)


def _parts(kind: str, part: str) -> Iterator[str]:
    if kind == "cjk":
        yield from ("s:" + stem for stem in josa.stems(part))
    elif kind == "word":
        yield from ("s:" + form for form in _forms(part))
    elif kind == "number":
        yield "s:" + part
        yield from ("n:" + part[at : at + _NUMBER_PART] for at in range(len(part) - _NUMBER_PART + 1))
    else:
        yield "e:" + part


def _forms(word: str) -> Iterator[str]:
    """A Latin word and what it may be a form of: meetings, meeting."""
    yield word
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            yield word[: -len(ending)]


def _hash(token: str) -> int:
    return int.from_bytes(blake2b(token.encode(), digest_size=4).digest(), "little")
