"""The providers in the order of the settings: who is asked, how often again, and who is asked instead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, Literal, NamedTuple

from doran.ai.providers import About, Completion, Embedded, End, Piece, Provider, Text, Trouble
from doran.ai.providers.links import Began, Link, tries
from doran.ai.providers.opening import opened
from doran.ai.providers.wire import broke_off
from doran.kernel import telemetry
from doran.kernel.breaker import State
from doran.kernel.config import Config

What = Literal["complete", "embed"]

SILENCE: Final = Text("")


class Times(NamedTuple):
    """How long a provider may take, in seconds: to begin its answer, and between two pieces of it."""

    first: float = 30.0
    idle: float = 20.0


class Chain:
    """All providers of this process. Belongs to one event loop."""

    def __init__(self, providers: Sequence[Provider], times: Times = Times()) -> None:  # noqa: B008  immutable
        self._links = [Link(one) for one in providers]
        self._times = times

    def can(self, what: What, *, outside: bool) -> bool:
        """Whether anybody is there for this; they may be ill just now."""
        return any(self._able(what, outside=outside))

    def goes_out(self, what: What) -> bool:
        """Whether anybody of those who can do this is outside."""
        return any(link.about.is_outside for link in self._able(what, outside=True))

    def first(self, what: What, *, outside: bool) -> About | None:
        """Who would be asked first as things stand."""
        able = list(self._able(what, outside=outside))
        well = [link for link in able if link.breaker.state is State.CLOSED]
        return (well or able)[0].about if able else None

    async def complete(self, asked: Completion, *, outside: bool, began: Began) -> AsyncGenerator[Piece, None]:
        """The answer of the first provider that gives one. Outside ones are asked only if `outside`.

        `began` is awaited before words go to each provider that is tried. Close the iteration when leaving it early
        (`contextlib.aclosing`): that stops the provider. Raises `Trouble`; `shown` if texts had come already.
        """
        trouble = Trouble("no_provider")
        links = list(self._able("complete", outside=outside))
        for number, link in enumerate(links, 1):
            try:
                async with aclosing(self._persistently(link, asked, began, tries(len(links) - number))) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except Trouble as said:
                if said.shown or said.code == "provider_refused":
                    raise
                trouble = _graver(trouble, said)
        raise trouble

    async def embed(
        self, texts: Sequence[str], *, outside: bool, is_query: bool, began: Began, model: str | None = None
    ) -> tuple[About, Embedded]:
        """The texts as vectors of one model, which is `model` if one is given. Raises `Trouble`."""
        trouble = Trouble("no_provider")
        links = [link for link in self._able("embed", outside=outside) if model in (None, link.about.embedding_model)]
        for number, link in enumerate(links, 1):
            ask = partial(link.provider.embed, texts, is_query=is_query)
            try:
                found = await link.whole(ask, began, tries=tries(len(links) - number), patience=self._times.first)
                return link.about, found
            except Trouble as said:
                trouble = _graver(trouble, said)
        raise trouble

    async def close(self) -> None:
        for link in self._links:
            await link.provider.close()

    def _able(self, what: What, *, outside: bool) -> Iterator[Link[Provider]]:
        return (link for link in self._links if _can(link.about, what) and (outside or not link.about.is_outside))

    # -- one provider --------------------------------------------------------------------------------

    async def _persistently(
        self, link: Link[Provider], asked: Completion, began: Began, most: int
    ) -> AsyncGenerator[Piece, None]:
        await link.enter(began)
        for tried in range(1, most + 1):
            try:
                async with aclosing(self._once(link, asked)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except Trouble as trouble:
                await link.pause(trouble, tried=tried, tries=most)

    async def _once(self, link: Link[Provider], asked: Completion) -> AsyncGenerator[Piece, None]:
        """One question. However it ends, the breaker hears of it once."""
        shown, end, asked_at = False, None, time.monotonic()
        try:
            async with aclosing(self._paced(link.provider.complete(asked))) as pieces:
                async for piece in pieces:
                    if isinstance(piece, End):
                        end = piece
                        continue
                    if isinstance(piece, Text) and piece.text and not shown:
                        shown = True
                        telemetry.provider_began(link.about.name, time.monotonic() - asked_at)
                    if piece != SILENCE:
                        yield piece
            if end is None:
                raise broke_off()
        except Trouble as trouble:
            link.note(trouble)
            raise (_after_words(trouble) if shown else trouble) from None
        except BaseException:
            link.left()
            raise
        link.well("ok")
        yield end

    async def _paced(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        patience = self._times.first
        async with aclosing(pieces) as given:
            while True:
                try:
                    async with asyncio.timeout(patience):
                        piece = await anext(given)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise Trouble("provider_unavailable", "it says nothing", is_passing=True) from None
                patience = self._times.idle
                yield piece


def open_chain(config: Config) -> Chain:
    """All providers of the settings in their order, unasked yet. Raises `BadSetting` for a wrong table."""
    return Chain(list(opened(config)), Times(config.ai_first_token_seconds, config.ai_idle_seconds))


def _can(about: About, what: What) -> bool:
    return bool(about.model if what == "complete" else about.embedding_model)


def _after_words(trouble: Trouble) -> Trouble:
    """Some of the answer was shown: it broke off, whatever the reason."""
    code = "cut_off" if trouble.code == "provider_unavailable" else trouble.code
    return Trouble(code, trouble.reason, shown=True)


def _graver(before: Trouble, now: Trouble) -> Trouble:
    """What to say when several failed: what the last one said that took the question in."""
    is_weaker = now.code == "provider_unavailable" and before.code not in ("no_provider", "provider_unavailable")
    return before if is_weaker else now
