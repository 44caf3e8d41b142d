"""What a translation engine is: small calls over HTTP, no vendor's library.

None of the vendors could be reached where this was written: each is built and tested by its public documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from doran.ai.providers import About


class Translated(NamedTuple):
    """A text in another language; `source` is the language it was in, as far as the engine says ("" if not)."""

    text: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """Languages by BCP 47; `source` may be "" (the engine finds out). `is_honorific`: as to an elder, where it can."""

    target: str
    source: str = ""
    is_honorific: bool = False


class Engine(Protocol):
    """One engine. Used from one event loop."""

    about: About

    def can(self, wish: Wish) -> bool:
        """Whether it knows these languages, as far as one can say without asking."""
        ...

    async def translate(self, text: str, wish: Wish) -> Translated:
        """Raises `Trouble`."""
        ...

    async def close(self) -> None: ...


def base(language: str) -> str:
    """`zh-TW` → `zh`."""
    return language.partition("-")[0].lower()


def is_traditional(language: str) -> bool:
    """Whether this is Chinese as it is written in Taiwan and Hong Kong."""
    return base(language) == "zh" and any(one in language.lower() for one in ("tw", "hk", "mo", "hant"))
