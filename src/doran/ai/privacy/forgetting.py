"""Forgetting: what becomes of all that ai keeps when a message is changed or deleted, or a person goes."""

from __future__ import annotations

from collections.abc import Iterable

from doran.ai.jobs import ending
from doran.ai.models import (
    AiJob,
    Consent,
    Disclosure,
    EmbeddedUpTo,
    Embedding,
    Outbox,
    Source,
    Translation,
)
from doran.ai.money import budgets
from doran.ai.privacy import consents, keeping, places
from doran.contracts import events


def on_message_updated(event: events.MessageUpdated) -> None:
    """What was made of the old words goes; what is made anew reads the new ones."""
    if places.hold(event.conversation_id) is not None:
        keeping.forget_versions(event.message_id, before=event.change_seq)


def on_message_deleted(event: events.MessageDeleted) -> None:
    """Nothing that was made of it stays, and nothing is made of it any more."""
    places.hold(event.conversation_id)
    _end(keeping.forget_message(event.message_id))
    keeping.prune()


def on_user_deactivated(event: events.UserDeactivated) -> None:
    """Who cannot take a consent back does not give it. It does not return by itself."""
    if not event.active:
        consents.withdraw_all(event.user_id)


def on_user_erased(event: events.UserErased) -> None:
    """Of somebody who is gone for good stays nothing they said, asked, or were told, nor that it was they."""
    Outbox.forget(event)
    consents.withdraw_all(event.user_id, code="not_found")
    places.forget(event.user_id)
    for kind in (Embedding, Translation):
        kind.objects.filter(sender_id=event.user_id).delete()
    rested = Source.objects.filter(sender_id=event.user_id).values_list("job_id", flat=True)
    asked = AiJob.objects.filter(user_id=event.user_id).values_list("id", flat=True)
    _end(keeping.forget_answers({*rested, *asked}))
    Source.objects.filter(sender_id=event.user_id).delete()
    budgets.forget(event.user_id)
    for theirs in (AiJob, Disclosure, Consent, EmbeddedUpTo):
        theirs.objects.filter(user_id=event.user_id).delete()
    Disclosure.objects.filter(asked_by=event.user_id).update(asked_by=places.NOBODY)


def _end(jobs: Iterable[AiJob]) -> None:
    """Whoever is at work on them rests on what is gone."""
    for job in jobs:
        ending.overrule(job, "not_found")
