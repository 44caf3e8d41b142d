"""Search: messages by their words and by their meaning, in one order, and only those the asker may see.

Which conversations are looked at is decided in SQL: the asker's own, in which both people allow it. What is found is
read again from chat as the asker, so that what was hidden, deleted or changed since is not shown.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from doran.ai import reading
from doran.ai.retrieval import brute_force, pgvector
from doran.ai.retrieval.ranking import Found
from doran.contracts.errors import Problem
from doran.contracts.frames import MessageView


class Hit(NamedTuple):
    """A message as the asker sees it, and its worth among those of one search."""

    message: MessageView
    score: float


def search(user_id: str, query: str, vector: bytes, *, model: str, most: int) -> list[Hit]:
    """The best first. `vector` is that of the query by `model`. Raises `Problem("unavailable")` when chat is away."""
    candidates = found(user_id, query, vector, model=model)
    seen = ((_seen(one, user_id), one.score) for one in candidates)
    return list(islice((Hit(message, score) for message, score in seen if message is not None), most))


def found(user_id: str, query: str, vector: bytes, *, model: str) -> list[Found]:
    """The same before chat was asked: by the database where it can compare vectors, else by arithmetic here."""
    find = pgvector.found if pgvector.is_ready() else brute_force.found
    return find(user_id, query, vector, model=model)


def _seen(found: Found, user_id: str) -> MessageView | None:
    """The message, if this person sees it and it still says what was found."""
    try:
        message = reading.message(found.message_id, user_id)
    except Problem as problem:
        if problem.code != "not_found":
            raise
        return None
    return message if message.content and message.change_seq == found.version else None
