"""How hard a secret is to guess: what is left of it without well-known words, rows of the keyboard and repetitions."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import chain
from typing import Final

_BITS_FOR_EACH: Final = 1.4
"""Bits that a secret must keep for each character that it must have. Of 20,000 random ones in hexadecimal digits the worst
kept 2.3 (of 32 digits) and 1.5 (of 16): chance repeats digits, too."""
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "1234567890", "0123456789", "abcdefghijklmnopqrstuvwxyz")
_WORDS: Final = (
    "password", "passwort", "passwd", "passphrase", "changeme", "change", "default", "secret", "letmein", "welcome",
    "example", "placeholder", "dragon", "monkey", "sunshine", "iloveyou", "administrator", "admin", "master", "guest",
    "login", "access", "token", "operator", "service", "doran", "rabbitmq", "rabbit", "redis", "mysql", "postgres",
    "random", "characters", "string", "please", "super", "test", "demo", "root", "user", "chat", "core", "your", "this",
    "here", "key", "pass", "me",
)  # fmt: skip
_KNOWN: Final = re.compile("|".join(map(re.escape, _WORDS)))
_RUN: Final = 4
_RUNS: Final = re.compile("|".join({
    re.escape(way[start : start + _RUN])
    for way in chain(_ROWS, (row[::-1] for row in _ROWS))
    for start in range(len(way) - _RUN + 1)
}))  # fmt: skip
_REPEATED: Final = 3


def weakness(secret: str, *, least: int) -> str:
    """Return what is wrong with a secret that should have at least so many random characters; empty if nothing is."""
    if len(secret) < least:
        return f"must have at least {least} characters"
    if bits(secret) < _BITS_FOR_EACH * least:
        return "is easy to guess: make a random one, such as `openssl rand -hex 32` prints"
    return ""


def bits(secret: str) -> float:
    """Return about how many bits somebody must guess who knows the usual ways to make up a secret."""
    left = _without_repetitions(_RUNS.sub("", _KNOWN.sub("", secret.lower())))
    return sum(count * math.log2(len(left) / count) for count in Counter(left).values())


def _without_repetitions(text: str) -> str:
    """The text without each part of some length that was there before."""
    left, at = "", 0
    while at < len(text):
        if text.find(text[at : at + _REPEATED], 0, at + _REPEATED - 1) < 0 or len(text) - at < _REPEATED:
            left, at = left + text[at], at + 1
        else:
            at += _REPEATED
    return left
