"""Providers as the settings make them, asked over real HTTP on this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from doran.ai.providers import About, Completion, End, Piece, Text, Trouble, Turn, Usage, links
from doran.ai.providers.chain import Chain, open_chain
from doran.kernel import config as settings
from tests.servers.model import ModelServer, scripted_model

QUESTION = Completion(system="짧게 답한다.", turns=(Turn("user", "준호가 몇 시에 온대?"),), max_tokens=64)


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


@pytest.fixture
def other() -> Iterator[ModelServer]:
    """The one that is asked after the first."""
    with scripted_model() as other:
        yield other


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "FIRST_PAUSE", 0.001)


@dataclass
class Heard:
    """What one question brought."""

    pieces: list[Piece] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    trouble: Trouble | None = None

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces if isinstance(piece, Text))

    @property
    def usage(self) -> Usage | None:
        return next((piece for piece in self.pieces if isinstance(piece, Usage)), None)

    @property
    def end(self) -> End | None:
        return next((piece for piece in self.pieces if isinstance(piece, End)), None)

    async def began(self, about: About) -> None:
        self.asked.append(about.name)


@asynccontextmanager
async def chained(toml: str, **changes: object) -> AsyncIterator[Chain]:
    """The chain of this table until the block ends."""
    made = open_chain(settings.load({}).replace(ai_providers=toml, **changes))
    try:
        yield made
    finally:
        await made.close()


async def heard(chain: Chain, asked: Completion = QUESTION, *, outside: bool = True) -> Heard:
    """Ask, and keep all that comes, trouble too."""
    said = Heard()
    try:
        async with aclosing(chain.complete(asked, outside=outside, began=said.began)) as pieces:
            async for piece in pieces:
                said.pieces.append(piece)
    except Trouble as trouble:
        said.trouble = trouble
    return said
