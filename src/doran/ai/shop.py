"""What ai's nouns need from the process they run in: the settings, the providers, the worker to be woken.

The server puts it in place at start (`open_shop`) and takes it away at the end; there is one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from doran.ai.providers import About, Completion, Embedded, Piece
from doran.ai.providers.links import Began
from doran.ai.translation.desk import Desk
from doran.contracts.frames import JobKind
from doran.kernel.config import Config

if TYPE_CHECKING:
    from doran.ai.jobs.work import Recipe


class Chain(Protocol):
    """Providers in the order in which they are asked (`doran.ai.providers.chain`)."""

    def can(self, what: Literal["complete", "embed"], *, outside: bool) -> bool: ...

    def first(self, what: Literal["complete", "embed"], *, outside: bool) -> About | None: ...

    def goes_out(self, what: Literal["complete", "embed"]) -> bool: ...

    def complete(self, asked: Completion, *, outside: bool, began: Began) -> AsyncGenerator[Piece, None]: ...

    async def embed(
        self, texts: Sequence[str], *, model: str | None, outside: bool, is_query: bool, began: Began
    ) -> tuple[About, Embedded]: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Shop:
    """`translators` are the translation engines beside the models, in their order."""

    config: Config
    chain: Chain
    recipes: Mapping[JobKind, Recipe]
    translators: tuple[Desk, ...] = ()


_open: Shop | None = None


def shop() -> Shop:
    if _open is None:
        raise RuntimeError("ai is not open: the server opens it before it serves")
    return _open


def open_shop(new: Shop | None) -> None:
    global _open
    _open = new
