"""Secrets that somebody could guess are found, and random ones never are."""

from __future__ import annotations

import random
import string

import pytest

from doran.kernel.guessing import weakness

GUESSED = (
    "x" * 40,
    "ab" * 20,
    "aB3$" * 10,
    "0123456789abcdef" * 4,
    "qwertyuiopasdfghjklzxcvbnm123456",
    "zyxwvutsrqponmlkjihgfedcba654321",
    "password123password123password123",
    "changeme-changeme-changeme-changeme",
    "supersecretpassworddoran2026!!!!!!",
    "please-change-this-secret-key-here-1",
    "32 random characters or more here!!",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab1",
)


@pytest.mark.parametrize("secret", GUESSED)
def test_a_secret_that_somebody_made_up_carelessly_is_weak(secret: str) -> None:
    assert weakness(secret, least=32).startswith("is easy to guess")
    assert secret not in weakness(secret, least=32)


@pytest.mark.parametrize("secret", ["", "short", "q8Zx0u3VkR5nB1tYw7LsE9aJd2Hf4Gm"])
def test_a_short_secret_is_weak_however_random(secret: str) -> None:
    assert weakness(secret, least=32) == "must have at least 32 characters"


@pytest.mark.parametrize(
    "alphabet", [string.hexdigits.lower()[:16], string.ascii_letters + string.digits + "-_", string.digits]
)
@pytest.mark.parametrize("least", [16, 32])
def test_a_random_secret_is_strong(alphabet: str, least: int) -> None:
    dice = random.Random(2026)  # the same ones every time: chance may well make a weak one some day
    length = least if len(alphabet) > 10 else 2 * least
    assert not any(weakness("".join(dice.choices(alphabet, k=length)), least=least) for _ in range(300))


def test_a_long_sentence_of_ones_own_is_strong() -> None:
    assert weakness("only for tests, but long enough to be one", least=32) == ""
