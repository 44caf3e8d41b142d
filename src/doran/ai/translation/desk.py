"""A translation engine as it is asked: with the patience, the breaker and the pauses that providers have."""

from __future__ import annotations

from functools import partial

from doran.ai.providers import About
from doran.ai.providers.links import Began, Link, tries
from doran.ai.translation.engine import Engine, Translated, Wish


class Desk:
    """One engine. It answers in one piece: for each try it has as long as a model may take to begin."""

    def __init__(self, engine: Engine, *, patience: float) -> None:
        self._link, self._patience = Link(engine), patience

    @property
    def about(self) -> About:
        return self._link.about

    def can(self, wish: Wish) -> bool:
        return self._link.provider.can(wish)

    async def translate(self, text: str, wish: Wish, *, began: Began, others: int) -> Translated:
        """`others`: how many are left behind it who may do it. `began` is awaited first. Raises `Trouble`."""
        ask = partial(self._link.provider.translate, text, wish)
        return await self._link.whole(ask, began, tries=tries(others), patience=self._patience)

    async def close(self) -> None:
        await self._link.provider.close()
