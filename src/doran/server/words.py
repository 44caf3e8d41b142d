"""What may stand behind a command of several words, such as `doran webhooks add`: a table, and how it is offered."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Arguments = argparse.Namespace
Offer = Callable[[argparse.ArgumentParser], None]


@dataclass(frozen=True, slots=True)
class Word:
    """One of them. `run` is given the arguments and what else its command has, and returns the exit code."""

    name: str
    sentence: str
    run: Callable[..., int]
    arguments: Offer


def offer(parser: argparse.ArgumentParser, words: Sequence[Word], *, common: Offer) -> None:
    """Add every word to this command; `common` adds what all of them take. The chosen one is `arguments.word`."""
    behind = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for word in words:
        one = behind.add_parser(word.name, help=word.sentence)
        word.arguments(one)
        common(one)
        one.set_defaults(word=word)
