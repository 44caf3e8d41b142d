"""Catching up: what was said in a conversation since the last time becomes vectors, as one of its people sees it.

By chat's changes, page by page, each with its mark, so that it may break off anywhere and goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from doran.ai import reading
from doran.ai.jobs.work import Subject, Work
from doran.ai.retrieval import grams, storing
from doran.contracts.frames import ChangesPage, MessageView

AT_ONCE: Final = 32
"""Messages in one request to a provider."""
LEAST_LETTERS: Final = 4
"""A message with fewer has no meaning of its own: 👍 and ㅋㅋ are near to everything."""
LONGEST: Final = 2000
"""Characters of a message that count for its meaning."""


async def catch_up(work: Work, conversation_id: str, model: str, *, seconds: float = float("inf")) -> bool:
    """Whether everything is kept; False if the time was over before. Raises `Problem`, `Trouble` as the gate does."""
    until, epoch = time.monotonic() + seconds, ""
    while True:
        page = await work.aside(_next, conversation_id, work.job.user_id, model, epoch)
        epoch = page.epoch or ""
        await _keep(work, conversation_id, model, page.results)
        await work.aside(storing.move, conversation_id, work.job.user_id, model, page.next_since)
        if not page.has_more:
            return True
        if time.monotonic() > until:
            return False


def _next(conversation_id: str, user_id: str, model: str, epoch: str) -> ChangesPage:
    """Return the page after what is kept. With the epoch of the page before, a walk gets past what a restore kept."""
    since = storing.mark(conversation_id, user_id, model)
    page = reading.changes(conversation_id, user_id, since, epoch=epoch)
    if page.reset:
        storing.begin_anew(conversation_id, model)
        page = reading.changes(conversation_id, user_id, 0)
    return page


async def _keep(work: Work, conversation_id: str, model: str, messages: Sequence[MessageView]) -> None:
    new = await work.aside(storing.missing, messages, model)
    for first in range(0, len(new), AT_ONCE):
        some = new[first : first + AT_ONCE]
        made = await _vectors(work, conversation_id, model, [one for one in some if _has_meaning(one)])
        await work.aside(storing.keep, conversation_id, model, some, [made.get(one.id, b"") for one in some])


async def _vectors(work: Work, conversation_id: str, model: str, messages: Sequence[MessageView]) -> dict[str, bytes]:
    if not messages:
        return {}
    about = Subject(conversation_id, (), tuple(messages))
    texts = [one.content[:LONGEST] for one in messages]
    found = await work.embed(texts, about=about, is_query=True, model=model)  # both sides alike: see ADR 0021
    return {one.id: vector for one, vector in zip(messages, found, strict=True)}


def _has_meaning(one: MessageView) -> bool:
    return grams.letters(one.content) >= LEAST_LETTERS
