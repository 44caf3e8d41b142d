"""Prompts: the words a kind of job is put to a provider with, versioned, in Korean and English.

A template is the provider's instruction (`keys` says which words it may take in), and after a line of `=====` what
is said once more behind the data. What people wrote never becomes part of it: that goes between fences (`fencing`).
Every version is a row that never changes once it was active (`versions`); the first ones come with Doran (`planting`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from string import Template
from typing import Final, NamedTuple

from doran.ai.models import Prompt
from doran.ai.prompts import planting

LINE: Final = "====="
_OTHERWISE: Final = ("ko", "en")


class Filled(NamedTuple):
    """A prompt with its values: the instruction, and what follows the data (may be empty)."""

    system: str
    closing: str


def active(key: str, locale: str) -> Prompt:
    """The version in force, in this language or else in one that there is.

    Raises `LookupError` for a key that no language has.
    """
    tried = _tried.get()
    if tried is not None and (tried.key, tried.locale) == (key, locale):
        return tried
    return _in_force(key, locale) or _planted(key, locale)


@contextmanager
def trying(prompt: Prompt | None) -> Iterator[None]:
    """While this lasts, and for whoever runs in it, this version takes the place of the one in force."""
    token = _tried.set(prompt)
    try:
        yield
    finally:
        _tried.reset(token)


_tried: Final[ContextVar[Prompt | None]] = ContextVar("prompt on trial", default=None)


def fill(prompt: Prompt, **values: str) -> Filled:
    """The prompt's words with these values in their places. Raises `KeyError` for a value that is missing."""
    system, _, closing = Template(prompt.template).substitute(values).partition(f"\n{LINE}\n")
    return Filled(system.strip(), closing.strip())


def _planted(key: str, locale: str) -> Prompt:
    """Nothing stands there yet: this database was never served before."""
    planting.plant()
    found = _in_force(key, locale)
    if found is None:
        raise LookupError(f"no prompt is called {key}")
    return found


def _in_force(key: str, locale: str) -> Prompt | None:
    found = {one.locale: one for one in Prompt.objects.filter(key=key, status=Prompt.Status.ACTIVE)}
    return next((found[one] for one in (locale, *_OTHERWISE) if one in found), None)
