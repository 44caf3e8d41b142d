"""Disclosures: whose words went to which provider, when, how much of them; never which words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from doran.ai.models import AiJob, Disclosure, Source
from doran.ai.privacy import keeping, places
from doran.ai.privacy.places import DATABASE
from doran.ai.providers import About
from doran.contracts.errors import Problem, invalid
from doran.contracts.frames import MessageView
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, config

_BATCH: Final = 500


class Subject(Protocol):
    """Whose words are in what is asked (`doran.ai.jobs.work.Subject`)."""

    @property
    def conversation_id(self) -> str | None: ...

    @property
    def people(self) -> Sequence[str]: ...

    @property
    def messages(self) -> Sequence[MessageView]: ...


def note(
    job: AiJob,
    about: About,
    subject: Subject,
    *,
    characters: int,
    masked: int,
    model: str = "",
    is_answered: bool = True,
) -> None:
    """These words are about to go to this provider: write it down, and what the answer will rest on.

    One line for each person whose words are in it. `model` is the one that is asked, where it is not `about.model`;
    of words that only become vectors there is no answer. Raises `Problem("not_found")`, and nothing may go, if one of
    the messages was deleted meanwhile, or who asks was erased.
    """
    with transaction.atomic(using=DATABASE):
        messages = _still_there(subject.messages)
        _refuse_forgotten(job)
        if is_answered:
            _rest_on(job, messages)
        Disclosure.objects.bulk_create(
            Disclosure(
                id=clock.new_id(), user_id=user_id, job_id=job.id, asked_by=job.user_id, kind=job.kind,
                conversation_id=subject.conversation_id,  # type: ignore[misc]
                provider=about.name, model=model or about.model,
                host=about.host, is_outside=about.is_outside, messages=count,
                characters=theirs if count else characters, masked=masked, at=clock.now(),
            )
            for user_id, count, theirs in _shares(job, subject.people, messages)
        )  # fmt: skip


def _shares(job: AiJob, people: Sequence[str], messages: Sequence[MessageView]) -> list[tuple[str, int, int]]:
    """Each person with how many of their messages go, and the characters of these. Who asks with words of their own
    is always among them."""
    whose = {*(one.sender_id for one in messages)} or {*people}
    whose -= {ASSISTANT_ID, places.NOBODY}
    if job.input or not whose:
        whose.add(job.user_id)
    said = {user_id: [len(one.content) for one in messages if one.sender_id == user_id] for user_id in whose}
    return [(user_id, len(lengths), sum(lengths)) for user_id, lengths in sorted(said.items())]


def listed(user_id: str, *, before: str | None, most: int) -> tuple[list[Disclosure], str | None]:
    """Where this person's words went, newest first, and where the list goes on. Raises for an unknown `before`."""
    mine = Disclosure.objects.filter(user_id=user_id)
    if before is not None:
        last = _of(user_id, before)
        mine = mine.filter(Q(at__lt=last.at) | Q(at=last.at, id__lt=last.id))
    found = list(mine.order_by("-at", "-id")[: most + 1])
    return found[:most], str(found[most - 1].id) if len(found) > most else None


def _of(user_id: str, disclosure_id: str) -> Disclosure:
    try:
        return Disclosure.objects.get(id=UUID(disclosure_id), user_id=user_id)
    except (ValueError, Disclosure.DoesNotExist):
        raise invalid("before", "There is no such line in your list.") from None


def prune() -> int:
    """Delete the lines that are older than `ai_disclosure_days`, in batches; return how many. Ids are in order of time."""
    before = clock.now() - timedelta(days=config.current().ai_disclosure_days)
    old = Disclosure.objects.filter(id__lt=clock.least_id(before)).order_by("id")
    count = 0
    while ids := list(old.values_list("id", flat=True)[:_BATCH]):
        count += Disclosure.objects.filter(id__in=ids).delete()[0]
    return count


def _still_there(messages: Sequence[MessageView]) -> list[MessageView]:
    """The messages, those of erased people as nobody's. Raises `Problem` if one was deleted. Holds the conversations."""
    by_place: dict[str, list[MessageView]] = {}
    for one in messages:
        by_place.setdefault(one.conversation_id, []).append(one)
    known = []
    for conversation_id, said in sorted(by_place.items()):
        if keeping.deleted(conversation_id, [one.id for one in said]):
            raise Problem("not_found", "A message this is about was deleted.")
        known += places.known(conversation_id, said)
    return known


def _refuse_forgotten(job: AiJob) -> None:
    """Who asks may be erased meanwhile, and with them the job; not before the transaction around has ended."""
    if not AiJob.objects.select_for_update().filter(id=job.id).exists():
        raise Problem("not_found", "Who asked is gone.")


def _rest_on(job: AiJob, messages: Sequence[MessageView]) -> None:
    """From now on a deletion of one of these finds the job."""
    new = {one.id: one for one in messages}
    for known in Source.objects.filter(job=job, message_id__in=list(new)).values_list("message_id", flat=True):
        del new[known]
    Source.objects.bulk_create(
        Source(job=job, message_id=one.id, conversation_id=one.conversation_id, sender_id=one.sender_id)
        for one in new.values()
    )
