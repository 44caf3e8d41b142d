"""Consent: what each of two people allows the AI in their conversation. Off until said otherwise, effective at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final, Literal

from django.db import transaction
from django.db.models import Q, QuerySet

from doran.ai import offering, screens
from doran.ai.jobs import ending
from doran.ai.kinds import KINDS
from doran.ai.models import AiJob, Consent, Conversation, Disclosure, Outbox, Source
from doran.ai.privacy import keeping, places, searched
from doran.ai.privacy.places import DATABASE
from doran.contracts.errors import Problem
from doran.contracts.events import AiConsentChanged
from doran.contracts.frames import AiConsent, ConsentScope, ConsentView
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, config

Needed = Literal["on_demand", "history"]

SCOPES: Final[tuple[ConsentScope, ...]] = ("off", "on_demand", "history")
"""From the least to the most; each allows what those before it do."""


def of(conversation_id: str, user_id: str) -> ConsentView:
    """What is allowed here, as one of the two sees it. Raises as `places.of`."""
    return _view(places.of(conversation_id, user_id), user_id)


def change(conversation_id: str, user_id: str, scope: ConsentScope) -> ConsentView:
    """Allow so much from now on. Both people's screens are told. Raises as `places.of`."""
    place = places.of(conversation_id, user_id)
    with transaction.atomic(using=DATABASE):
        places.hold(place.id)
        _change(place, user_id, scope)
    return _view(place, user_id)


def withdraw_all(user_id: str, *, code: str = "consent_needed") -> None:
    """This person allows nothing anywhere: they are gone, or cannot take it back themselves. In a transaction.

    Jobs that have their words in hand fail with `code`.
    """
    allowed = Consent.objects.filter(user_id=user_id).exclude(scope="off").order_by("conversation_id")
    for conversation_id in list(allowed.values_list("conversation_id", flat=True)):
        place = places.hold(conversation_id)
        if place is not None:
            _change(place, user_id, "off", code=code)


def agreed(conversation_id: str) -> ConsentScope:
    """What both people allow; in the assistant's conversations, what the other one does."""
    place = Conversation.objects.filter(id=conversation_id).first()
    return "off" if place is None else _agreed(place)


def require(conversation_id: str, user_id: str, *, scope: Needed, outside: bool) -> None:
    """Raise `Problem("consent_needed")` unless words of this conversation may be read for this person; or as `of`.

    Before words leave the deployment (`outside`) and before anything lasting is made of them (`history`), both must
    have agreed. Within it the operator's `ai_local_consent` says whether the asker's word is enough. What is written
    to the assistant itself may be read by it where it stays here.
    """
    if not _allows(places.of(conversation_id, user_id), user_id, scope, outside=outside):
        raise Problem("consent_needed")


def _allows(place: Conversation, user_id: str, scope: Needed, *, outside: bool) -> bool:
    is_near = not outside and scope == "on_demand"
    if is_near and places.is_assistants(place):
        return True
    is_alone = is_near and config.current().ai_local_consent == "asker"
    allowed = _said(place)[user_id] if is_alone else _agreed(place)
    return SCOPES.index(allowed) >= SCOPES.index(scope)


def remembered(user_id: str) -> QuerySet[Conversation]:
    """The conversations of this person in which everybody allows `history`."""
    mine = Conversation.objects.filter(Q(participant1_id=user_id) | Q(participant2_id=user_id))
    return mine.filter(searched.by_both())


# -- rows ------------------------------------------------------------------------------------------


def _change(place: Conversation, user_id: str, scope: ConsentScope, *, code: str = "consent_needed") -> None:
    """With the conversation held. What was allowed before and is not any more is forgotten."""
    before, all_before, now = _said(place)[user_id], _agreed(place), clock.now()
    if before == scope:
        return
    Consent.objects.update_or_create(
        conversation_id=place.id, user_id=user_id, defaults={"scope": scope, "changed_at": now}
    )
    if _agreed(place) != "history":
        keeping.forget_history(place.id)
    if SCOPES.index(scope) < SCOPES.index(before):
        _stop_jobs(place, code, was_searched=all_before == "history")
    Outbox.add(AiConsentChanged(place.id, user_id, scope, clock.rfc3339(now)))
    transaction.on_commit(searched.forget, using=DATABASE)
    transaction.on_commit(partial(_show, place), using=DATABASE)


def _stop_jobs(place: Conversation, code: str, *, was_searched: bool) -> None:
    """Fail every job that has words of this conversation in hand and may not have them any more.

    One that has not read them yet finds out by itself (`require`). A search does not say where it has looked.
    """
    held = Q(id__in=Source.objects.filter(conversation_id=place.id).values("job_id")) | Q(conversation_id=place.id)
    if was_searched:
        held |= Q(user_id__in=[one for one in place.people if one], kind__in=_SEARCHING)
    for job in AiJob.objects.filter(held, state=AiJob.State.RUNNING).order_by("id"):
        if not _may_go_on(place, job):
            ending.overrule(job, code)


def _may_go_on(place: Conversation, job: AiJob) -> bool:
    kind = KINDS[job.kind]
    if kind.scope == "history":
        return _agreed(place) == "history"
    sent = list(Disclosure.objects.filter(job_id=job.id, messages__gt=0).values_list("is_outside", flat=True))
    return not sent or (job.user_id in place.people and _allows(place, job.user_id, kind.scope, outside=any(sent)))


_SEARCHING: Final = [kind.name for kind in KINDS.values() if kind.scope == "history" and not kind.is_background]


def _said(place: Conversation) -> dict[str, ConsentScope]:
    """What each of the two allows. The assistant allows everything."""
    rows = Consent.objects.filter(conversation_id=place.id, user_id__in=place.people)
    known: dict[str, Any] = dict(rows.values_list("user_id", "scope"))
    return {one: "history" if one == ASSISTANT_ID else known.get(one, "off") for one in place.people}


def _agreed(place: Conversation) -> ConsentScope:
    return least(_said(place).values())


def least(scopes: Iterable[ConsentScope]) -> ConsentScope:
    return SCOPES[min(map(SCOPES.index, scopes))]


# -- what people see -------------------------------------------------------------------------------


def _view(place: Conversation, user_id: str) -> ConsentView:
    said, reader = _said(place), offering.provider()
    return ConsentView(
        conversation_id=place.id,
        mine=said[user_id],
        theirs=said[places.other(place, user_id)],
        agreed=least(said.values()),
        provider=reader.name if reader else "",
        is_outside=reader.is_outside if reader else False,
    )


def _show(place: Conversation) -> None:
    for person in place.people:
        if person not in (ASSISTANT_ID, places.NOBODY):
            screens.tell((person,), partial(_frame, place, person), place.id)


def _frame(place: Conversation, user_id: str) -> AiConsent:
    return AiConsent(_view(place, user_id))
