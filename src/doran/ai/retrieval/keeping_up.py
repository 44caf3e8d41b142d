"""Keeping up: where somebody searches, what is said later is made findable soon; in other conversations nothing is."""

from __future__ import annotations

from typing import Final

from doran.ai import jobs
from doran.ai.jobs import Question
from doran.ai.models import AiJob, EmbeddedUpTo
from doran.contracts.errors import Problem

DELAY: Final = 2.0
"""Seconds in which more may be said; all of it is one job's."""


def soon(conversation_id: str) -> None:
    """Catch up in a while, if this conversation was ever made findable and nobody is about to do it."""
    person = EmbeddedUpTo.objects.filter(conversation_id=conversation_id).values_list("user_id", flat=True).first()
    if person is not None:
        ask_for(conversation_id, person)


def ask_for(conversation_id: str, user_id: str) -> None:
    """A job that catches up for this person; one that waits already is enough."""
    waiting = AiJob.objects.filter(conversation_id=conversation_id, kind="embed", state=AiJob.State.QUEUED)
    if waiting.exists():
        return
    try:
        jobs.ask(user_id, Question("embed", conversation_id=conversation_id), after=DELAY, is_ours=True)
    except Problem:  # off, or nobody can do it now: the next search catches up itself
        pass
