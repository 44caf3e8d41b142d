"""The prompts that come with Doran: planted where there are none, renewed where nobody has written others."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from django.db import IntegrityError, transaction

from doran.ai.models import Prompt
from doran.ai.prompts import versions

_FOLDER: Final = files("doran.ai.prompts").joinpath("seeds")


class Seed(NamedTuple):
    """A prompt as Doran brings it."""

    key: str
    locale: str
    template: str
    schema: str

    @property
    def sha256(self) -> str:
        return versions.checksum(self.template, self.schema)


def plant() -> int:
    """Put every seed in force whose place is empty or still held by an earlier seed; how many that were.

    Any number of processes may do it at the same time, and as often as they like.
    """
    held = {(one.key, one.locale): one for one in Prompt.objects.filter(status=Prompt.Status.ACTIVE)}
    return sum(_place(seed, held.get((seed.key, seed.locale))) for seed in seeds())


def _place(seed: Seed, holder: Prompt | None) -> bool:
    if holder is not None and (holder.sha256 == seed.sha256 or holder.sha256 not in shipped()):
        return False
    try:
        with transaction.atomic(using=versions.DATABASE):
            versions.activate(_version(seed).id)
    except IntegrityError:  # another process was quicker
        return False
    return True


def _version(seed: Seed) -> Prompt:
    known = Prompt.objects.filter(key=seed.key, locale=seed.locale, sha256=seed.sha256).first()
    return known or versions.draft(seed.key, seed.locale, seed.template, schema=seed.schema)


@cache
def seeds() -> tuple[Seed, ...]:
    """All that this release brings."""
    return tuple(seed for locale in versions.LOCALES for seed in _read(locale))


@cache
def shipped() -> frozenset[str]:
    """Checksums of all seeds that a release ever brought: what has one of these was written by no operator."""
    return frozenset(_FOLDER.joinpath("shipped.txt").read_text(encoding="utf-8").split())


def _read(locale: str) -> Iterator[Seed]:
    for key, words in tomllib.loads(_FOLDER.joinpath(f"{locale}.toml").read_text(encoding="utf-8")).items():
        yield Seed(key, locale, words["template"].strip() + "\n", words.get("schema", "").strip())
