"""Saved cases: what was said, what is asked, and what must hold of the answer."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from doran.ai.languages import language_of
from doran.ai.recipes.moderate import Category
from doran.contracts.frames import JobResult
from doran.kernel.config import BadSetting

Kind = Literal["reply", "smart_replies", "summarize", "translate", "rewrite", "moderate"]


class Case(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`messages` are what was said, each with its author: "A: …" is who asks, "B: …" the other (in `reply`, the
    assistant). What must hold: every one of `contains` (regular expressions) is in the answer and none of `lacks`; it
    has at most `longest` characters; it is in `language`; it cites these numbers of messages; it finds these
    `categories`, or fails with `fails`.
    """

    name: str
    kind: Kind
    locale: Literal["ko", "en"] = "ko"
    messages: tuple[str, ...] = ()
    input: str = ""
    options: dict[str, Any] = {}
    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    longest: int | None = None
    language: str | None = None
    cites: tuple[int, ...] | None = None
    categories: tuple[Category, ...] | None = None
    fails: str = ""

    def wrong(self, answer: JobResult | str) -> Iterator[str]:
        """What does not hold of this answer, or of this failure."""
        if isinstance(answer, str):
            if answer != self.fails:
                yield f"it failed: {answer}"
            return
        if self.fails:
            yield f"it did not fail with {self.fails}"
        yield from self._wrong_words("\n".join([answer.text or "", *answer.replies]).strip())
        yield from self._wrong_facts(answer)

    def _wrong_words(self, words: str) -> Iterator[str]:
        yield from (f"it lacks {one}" for one in self.contains if not re.search(one, words, re.IGNORECASE))
        yield from (f"it contains {one}" for one in self.lacks if re.search(one, words, re.IGNORECASE))
        if self.longest is not None and len(words) > self.longest:
            yield f"it has {len(words)} characters, over {self.longest}"
        if self.language is not None and (found := language_of(words)) != self.language:
            yield f"it is in {found}, not in {self.language}"

    def _wrong_facts(self, answer: JobResult) -> Iterator[str]:
        cited = tuple(sorted(one.seq for one in answer.citations))
        if self.cites is not None and not set(self.cites) <= set(cited):
            yield f"it cites {cited}, not {self.cites}"
        found = answer.verdict.categories if answer.verdict else ()
        if self.categories is not None and set(found) != set(self.categories):
            yield f"it finds {found}, not {self.categories}"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    case: list[Case]


def read(file: Path | None) -> list[Case]:
    """The cases of a file, or those that come with Doran. Raises `BadSetting` that says what is wrong with them."""
    try:
        text = (
            file.read_text(encoding="utf-8") if file else files(__package__).joinpath("cases.toml").read_text("utf-8")
        )
        cases = msgspec.convert(tomllib.loads(text), _File).case
        for pattern in (one for case in cases for one in (*case.contains, *case.lacks)):
            re.compile(pattern)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError, re.error) as wrong:
        raise BadSetting(f"{file}: {getattr(wrong, 'strerror', None) or wrong}") from None
    return cases
