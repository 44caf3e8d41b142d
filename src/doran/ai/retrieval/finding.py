"""Finding: what a job needs in order to search: a fresh index, and the question as a vector of the same model."""

from __future__ import annotations

import time
from typing import Final

from doran.ai.jobs.work import Subject, Work
from doran.ai.models import EmbeddedUpTo
from doran.ai.privacy import consents
from doran.ai.providers import Trouble
from doran.ai.retrieval import grams, keeping_up, search
from doran.ai.retrieval.catching_up import catch_up
from doran.ai.retrieval.search import Hit
from doran.ai.shop import shop
from doran.contracts.errors import Problem

PATIENCE: Final = 30.0
"""Seconds that a search waits for what was never made findable before, or was said since; the rest follows later."""


async def find(work: Work, query: str, *, most: int) -> list[Hit]:
    """The messages that fit best, as the asker sees them, the best first. Raises as the gate and chat do.

    Where nothing may be searched, nothing is asked of anybody: `Problem("consent_needed")`.
    """
    model = in_use()
    await work.aside(_require_any, work.job.user_id, work.job.conversation_id)
    await _freshen(work, model)
    vector = await _meaning(work, query, model)
    return await work.aside(search.search, work.job.user_id, query, vector, model=model, most=most)


async def _meaning(work: Work, query: str, model: str) -> bytes:
    """The question as a vector; none of one that has nothing to read in it, as 👍."""
    if not grams.letters(query):
        return b""
    (vector,) = await work.embed([query], about=Subject(None, (work.job.user_id,)), is_query=True, model=model)
    return vector


def _require_any(user_id: str, conversation_id: str | None) -> None:
    if conversation_id is not None:
        consents.require(conversation_id, user_id, scope="history", outside=True)
    elif not consents.remembered(user_id).exists():
        raise Problem("consent_needed")


def in_use() -> str:
    """The model whose vectors are compared. Raises `Trouble("no_provider")`."""
    first = shop().chain.first("embed", outside=True)
    if first is None:
        raise Trouble("no_provider")
    return first.embedding_model


async def _freshen(work: Work, model: str) -> None:
    """Catch up in every conversation that may be searched, as far as patience goes."""
    until = time.monotonic() + PATIENCE
    for conversation_id in await work.aside(_places, work.job.user_id, model):
        left = until - time.monotonic()
        if left <= 0 or not await _caught_up(work, conversation_id, model, left):
            await work.aside(keeping_up.ask_for, conversation_id, work.job.user_id)


async def _caught_up(work: Work, conversation_id: str, model: str, seconds: float) -> bool:
    """A conversation that was taken away at this moment is none to catch up with."""
    try:
        return await catch_up(work, conversation_id, model, seconds=seconds)
    except Problem as problem:
        if problem.code not in ("consent_needed", "not_found"):
            raise
        return True


def _places(user_id: str, model: str) -> list[str]:
    """Those that may be searched; first those that never were made findable for this person."""
    known = set(EmbeddedUpTo.objects.filter(user_id=user_id, model=model).values_list("conversation_id", flat=True))
    mine = consents.remembered(user_id).values_list("id", flat=True)
    return sorted(mine, key=lambda one: one in known)
