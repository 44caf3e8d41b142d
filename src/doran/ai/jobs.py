"""Questions to a provider: asking, looking up, cancelling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal
from uuid import UUID

from django.db import transaction

from doran.ai.models import IDEMPOTENCY_KEY_LENGTH, AiJob
from doran.contracts.errors import Problem, invalid
from doran.kernel import clock

__all__ = ["IDEMPOTENCY_KEY_LENGTH", "NEEDS", "Kind", "ask", "cancel", "of"]

Kind = Literal["reply", "smart_replies", "summarize", "translate", "moderate", "embed", "semantic_search"]

# What each kind works on: at least one of these must be given.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "reply": ("conversation_id",),
    "smart_replies": ("conversation_id",),
    "summarize": ("conversation_id",),
    "translate": ("message_id", "input"),
    "moderate": ("message_id", "input"),
    "embed": ("message_id", "input"),
    "semantic_search": ("input",),
}


def ask(*, kind: Kind, conversation_id: str | None, message_id: str | None, input: str | None) -> AiJob:
    """Ask for a job. A job without its subject is `validation_failed`; Doran has no provider yet: `no_provider`."""
    given = {"conversation_id": conversation_id, "message_id": message_id, "input": input}
    wanted = NEEDS[kind]
    if not any(given[name] for name in wanted):
        raise invalid(wanted[0], f"A {kind} job needs {' or '.join(wanted)}.")
    raise Problem("no_provider")


def of(user_id: str, job_id: str) -> AiJob:
    """A job of this person. One of somebody else's looks like none: `not_found`."""
    job = AiJob.objects.filter(id=_uuid(job_id), user_id=user_id).select_related("response").first()
    if job is None:
        raise Problem("not_found")
    return job


def cancel(user_id: str, job_id: str) -> AiJob:
    """Stop a job that has not ended. Twice is the same as once; an ended one is a `conflict`."""
    with transaction.atomic(using="ai"):
        job = of(user_id, job_id)
        if job.state in (AiJob.State.SUCCEEDED, AiJob.State.FAILED):
            raise Problem("conflict", f"The job has already {job.state}.")
        if job.state != AiJob.State.CANCELLED:
            job.state, job.updated_at = AiJob.State.CANCELLED, clock.now()
            job.save(update_fields=["state", "updated_at"])
    return job


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem("not_found") from None
