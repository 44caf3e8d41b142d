"""The asker's side of a job: asking, looking up, cancelling."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from doran.ai import offering
from doran.ai.jobs import ending, waking
from doran.ai.kinds import KINDS, Kind, Locale, Options
from doran.ai.models import IDEMPOTENCY_KEY_LENGTH, AiJob
from doran.ai.money import budgets
from doran.contracts.errors import JOB_FAILURES, FieldError, Problem, invalid
from doran.contracts.frames import JobKind
from doran.kernel import clock, telemetry
from doran.kernel.http.bodies import wrong_fields
from doran.text import policy

DATABASE = "ai"
MOST_INPUT = 20_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is wanted, and on what. Checked when it is made: raises `Problem("validation_failed")`.

    `options` are those of the kind (`doran.ai.kinds`). The same `key` of the same person is the same job for ever.
    """

    kind: JobKind
    conversation_id: str | None = None
    message_id: str | None = None
    input: str | None = None
    options: Mapping[str, Any] | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        what = KINDS[self.kind]
        what.check({"conversation_id": self.conversation_id, "message_id": self.message_id, "input": self.said})
        if self.said and (refusal := policy.refusal_of_text(self.said, most=MOST_INPUT)):
            raise invalid("input", refusal)
        if self.key is not None and not policy.is_opaque_id(self.key, most=IDEMPOTENCY_KEY_LENGTH):
            raise invalid("idempotency_key", f"1 to {IDEMPOTENCY_KEY_LENGTH} visible characters.")
        _checked(what, self.options or {})

    @property
    def said(self) -> str:
        """What is asked, as far as there is anything to see."""
        return self.input if self.input and policy.is_visible(self.input) else ""

    @property
    def digest(self) -> bytes:
        """Tells a repetition from another question under the same key."""
        options = msgspec.to_builtins(_checked(KINDS[self.kind], self.options or {}))
        told = (self.kind, self.conversation_id, self.message_id, self.input, sorted(options.items()))
        return hashlib.sha256(msgspec.json.encode(told)).digest()

    def understood(self, locale: Locale | None) -> Options:
        """The options, with the asker's language where they did not say it."""
        options = _checked(KINDS[self.kind], self.options or {})
        return options if options.locale else msgspec.structs.replace(options, locale=locale)


def ask(
    user_id: str, question: Question, *, locale: Locale | None = None, after: float = 0, is_ours: bool = False
) -> tuple[AiJob, bool]:
    """Ask for a job; it and whether it is new. It begins in `after` seconds at the earliest.

    `is_ours`: not the person but the house asks in their name, so it does not count against the jobs of their day.
    Raises `Problem`: `idempotency_conflict`, `ai_off`, `no_provider`, `budget_exhausted`.
    """
    found = _repeated(user_id, question)
    if found is not None:
        return found, False
    kind = KINDS[question.kind]
    offering.require(kind)
    if not is_ours:
        budgets.require_room(user_id)
    job = _row(user_id, question, kind, locale, timedelta(seconds=after))
    try:
        with transaction.atomic(using=DATABASE):
            if not is_ours:
                budgets.count_job(user_id)
            job.save(using=DATABASE, force_insert=True)
            transaction.on_commit(waking.news, using=DATABASE)
    except IntegrityError:  # somebody else has just asked under this key
        found = _repeated(user_id, question)
        if found is None:
            raise
        return found, False
    telemetry.job_asked(job.kind)
    return job, True


def ask_or_fail(user_id: str, question: Question, *, locale: Locale | None = None, after: float = 0) -> AiJob:
    """The same for somebody who cannot be refused, because they asked by writing to the assistant: what cannot be done
    is a job that has failed, so that its asker sees why."""
    try:
        return ask(user_id, question, locale=locale, after=after)[0]
    except Problem as no:
        job = _row(user_id, replace(question, key=None), KINDS[question.kind], locale, timedelta())
        with transaction.atomic(using=DATABASE):
            job.save(using=DATABASE, force_insert=True)
            ending.overrule(job, no.code if no.code in JOB_FAILURES else "internal_error")
        return job


def of(user_id: str, job_id: str) -> AiJob:
    """A job of this person, with its response. One of somebody else's looks like none: `not_found`."""
    job = _mine(user_id).filter(id=_uuid(job_id)).first()
    if job is None:
        raise Problem("not_found")
    return job


def list_(
    user_id: str,
    *,
    page_size: int,
    before: str | None = None,
    conversation_id: str | None = None,
    kind: JobKind | None = None,
) -> tuple[list[AiJob], str | None]:
    """This person's jobs, the newest first, and before which one the list goes on, if it does.

    Raises `Problem("validation_failed")` where `before` is none of theirs.
    """
    rows = _mine(user_id)
    if conversation_id is not None:
        rows = rows.filter(conversation_id=conversation_id)
    if kind is not None:
        rows = rows.filter(kind=kind)
    if before is not None:
        last = _place(user_id, before)
        rows = rows.filter(Q(created_at__lt=last.created_at) | Q(created_at=last.created_at, id__lt=last.id))
    found = list(rows.order_by("-created_at", "-id")[: page_size + 1])
    return found[:page_size], str(found[page_size - 1].id) if len(found) > page_size else None


def cancel(user_id: str, job_id: str) -> AiJob:
    """Stop a job that has not ended. Twice is the same as once; an ended one is a `conflict`."""
    job = of(user_id, job_id)
    ending.cancel(job.id)
    job = of(user_id, job_id)
    if job.state != AiJob.State.CANCELLED:
        raise Problem("conflict", f"The job has already {job.state}.")
    return job


# -- rows --------------------------------------------------------------------------------------------


def _mine(user_id: str) -> QuerySet[AiJob]:
    return AiJob.objects.filter(user_id=user_id).select_related("response")


def _place(user_id: str, job_id: str) -> AiJob:
    try:
        return of(user_id, job_id)
    except Problem:
        raise invalid("before", "There is no such job in your list.") from None


def _repeated(user_id: str, question: Question) -> AiJob | None:
    """The job that was asked for under this key. Raises `Problem` if it was another question."""
    if question.key is None:
        return None
    job = _mine(user_id).filter(idempotency_key=question.key).first()
    if job is not None and bytes(job.asked_digest) != question.digest:
        raise Problem("idempotency_conflict")
    return job


def _row(user_id: str, question: Question, kind: Kind, locale: Locale | None, after: timedelta) -> AiJob:
    now = clock.now()
    return AiJob(
        id=clock.new_id(),
        user_id=user_id,
        kind=question.kind,
        conversation_id=question.conversation_id,  # type: ignore[misc]  # foreign_id hides that it may be null
        message_id=question.message_id,
        input=question.said,
        options=msgspec.json.encode(question.understood(locale)).decode(),
        idempotency_key=question.key,
        asked_digest=question.digest,
        due_at=now + after,
        deadline_at=now + after + kind.longest,
        trace_id=telemetry.trace_id(),
        created_at=now,
        updated_at=now,
    )


def _checked(kind: Kind, options: Mapping[str, Any]) -> Options:
    given = dict(options)
    try:
        return kind.understood(given)
    except msgspec.ValidationError:
        wrong = wrong_fields(given, kind.options, strict=True)
        errors = tuple(FieldError(f"options.{one.field}", one.detail) for one in wrong)
        raise Problem("validation_failed", errors=errors) from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Problem("not_found") from None
