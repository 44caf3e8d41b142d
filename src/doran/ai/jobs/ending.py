"""How a job ends: once, in one transaction with its answer, its money and what is said of it.

Whoever works on a job ends it only while they hold it. The row of the job is the lock: a deletion of what the answer
rests on changes the same row (`overrule`), so that either the end sees the deletion or the deletion sees the end.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import QuerySet

from doran.ai.jobs import following, showing, waking
from doran.ai.jobs.work import Completed
from doran.ai.models import AiJob, AiResponse, Outbox, Prompt
from doran.ai.money import budgets
from doran.contracts.events import AiJobCompleted, AiJobFailed, AiMessageGenerated
from doran.contracts.frames import JobResult
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, faults, telemetry

log = logging.getLogger("doran.ai.jobs")

DATABASE = "ai"
State = AiJob.State
Held = QuerySet[AiJob]
_UNFIT = frozenset({"invalid_answer", "provider_refused", "consent_needed"})
"""Of an answer that was looked at and not taken nothing is shown, not what came of it either; nor of words that may not be
read any more."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What came out of one attempt: a result, with the model's answer it was made from if there was one, or a failure."""

    result: JobResult | None = None
    code: str = ""
    prompt: Prompt | None = None
    answer: Completed | None = None


def end(held: Held, job: AiJob, ending: Ending) -> bool:
    """Write down how it ended; False, and nothing is changed, if it is not held any more."""
    with transaction.atomic(using=DATABASE):
        state = State.FAILED if ending.result is None else State.SUCCEEDED
        if not _moved(held, state, ending.code):
            return False
        if ending.result is not None:
            _answer(job, ending, ending.result)
        _close(job, state, ending.code)
        faults.hit("ai.ending_before_commit")
    faults.hit("ai.after_commit")
    return True


def cancel(job_id: UUID) -> bool:
    """The asker wants no answer any more; whether there was something to stop. Whoever works on it learns of it."""
    rows = AiJob.objects.filter(id=job_id, state__in=(State.QUEUED, State.RUNNING))
    return _taken_away(rows, job_id, State.CANCELLED, "")


def overrule(job: AiJob, code: str) -> bool:
    """Fail a job that has not ended, whoever holds it: what it rests on is gone. Whether there was one.

    Inside a transaction, or in its own.
    """
    rows = AiJob.objects.filter(id=job.id, state__in=(State.QUEUED, State.RUNNING))
    return _taken_away(rows, job.id, State.FAILED, code)


def give_up(job_id: UUID, code: str, *, lost_claim: str = "") -> bool:
    """Fail a job that nobody does any more: one that waits, or one whose holder is lost."""
    rows = AiJob.objects.filter(id=job_id, claim=lost_claim, state=State.RUNNING if lost_claim else State.QUEUED)
    return _taken_away(rows, job_id, State.FAILED, code)


def _taken_away(rows: Held, job_id: UUID, state: State, code: str) -> bool:
    with transaction.atomic(using=DATABASE):
        if not _moved(rows, state, code):
            return False
        _close(AiJob.objects.get(id=job_id), state, code)
        transaction.on_commit(partial(waking.news, job_id), using=DATABASE)
    return True


def _moved(rows: Held, state: State, code: str) -> bool:
    now = clock.now()
    changes: dict[str, Any] = {
        "state": state, "failure_code": code, "claim": "", "held_until": None, "finished_at": now, "updated_at": now,
    }  # fmt: skip
    if state == State.CANCELLED:
        changes["cancel_requested_at"] = now
    if state == State.SUCCEEDED or code in _UNFIT:
        changes["partial"] = ""
    return bool(rows.update(**changes))


# -- what belongs to it ------------------------------------------------------------------------------


def _answer(job: AiJob, ending: Ending, result: JobResult) -> None:
    data = msgspec.json.encode(result).decode()
    response = AiResponse.objects.create(
        id=clock.new_id(), job=job, data=data, created_at=clock.now(), **_made_with(ending)
    )
    if job.kind == "reply" and result.text and job.conversation_id:
        Outbox.add(_said(job, response, job.conversation_id, result.text), trace_id=job.trace_id)


def _made_with(ending: Ending) -> dict[str, Any]:
    prompt, answer = ending.prompt, ending.answer
    facts: dict[str, Any] = {"prompt": prompt, "prompt_sha256": prompt.sha256 if prompt else ""}
    if answer is not None:
        facts |= {
            "finish_reason": answer.finish, "provider": answer.provider.name, "model": answer.provider.model,
            "request_id": answer.request_id,
        }  # fmt: skip
    return facts


def _said(job: AiJob, response: AiResponse, conversation_id: str, text: str) -> AiMessageGenerated:
    return AiMessageGenerated(
        response_id=str(response.id),
        job_id=str(job.id),
        conversation_id=conversation_id,
        sender_id=ASSISTANT_ID,
        content=text,
        created_at=clock.rfc3339(response.created_at),
        reply_to=_newest_question(job),
    )


def _newest_question(job: AiJob) -> str | None:
    """What it answers: the last that the asker had said when it was read. Ids of messages are in order of time."""
    read = job.sources.filter(sender_id=job.user_id).order_by("-message_id")
    return read.values_list("message_id", flat=True).first() or job.message_id


def _close(job: AiJob, state: State, code: str) -> None:
    """Its money, what is said of it, what its asker sees."""
    if state != State.CANCELLED:  # whoever is still at it knows what it cost
        budgets.settle(job.id)
    if state != State.SUCCEEDED:
        _let_the_next_begin(job)
    now = clock.rfc3339(clock.now())
    if state == State.SUCCEEDED:
        Outbox.add(AiJobCompleted(str(job.id), job.kind, now, job.user_id), trace_id=job.trace_id)
    elif state == State.FAILED:
        Outbox.add(AiJobFailed(str(job.id), job.kind, code, now, job.user_id), trace_id=job.trace_id)
    transaction.on_commit(partial(_tell, job, state, code), using=DATABASE)


def _let_the_next_begin(job: AiJob) -> None:
    """Who waits here for this answer to be said first waits for nothing."""
    if job.conversation_id:
        waiting = AiJob.objects.filter(kind=job.kind, conversation_id=job.conversation_id, state=State.QUEUED)
        waiting.filter(attempts=0, due_at__gt=clock.now()).update(due_at=clock.now())


def _tell(job: AiJob, state: State, code: str) -> None:
    seconds = (clock.now() - job.created_at).total_seconds()
    telemetry.job_ended(job.kind, str(state), code, seconds)
    log.info("a job ended", extra={"job_id": str(job.id), "kind": job.kind, "state": str(state), "code": code})
    following.news(job.id)
    showing.show(job)
