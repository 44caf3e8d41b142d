"""What an answer costs: known afterwards, bounded before."""

from __future__ import annotations

from collections.abc import Iterable

from doran.ai.providers import Completion, Price, Usage

_PER_TURN = 16  # what a wire adds to the words of a turn
_MILLION = 1_000_000


def cost(price: Price, usage: Usage) -> int:
    """In millionths of the currency, rounded up."""
    return -(-(price.tokens_in * usage.tokens_in + price.tokens_out * usage.tokens_out) // _MILLION)


def greatest(asked: Completion) -> Usage:
    """The most tokens that this can take: no model has tokens of less than one byte."""
    return Usage(most_tokens([asked.system, *(turn.text for turn in asked.turns)]), asked.max_tokens)


def most_tokens(texts: Iterable[str]) -> int:
    return sum(len(text.encode()) + _PER_TURN for text in texts)


def guessed(asked: Completion, answered: str) -> Usage:
    """Where a provider did not say: half of the bytes, which is near the truth for Korean and above it for English."""
    return Usage(greatest(asked).tokens_in // 2, (len(answered.encode()) + 1) // 2)
