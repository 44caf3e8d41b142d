"""Allowances: of one person in a day, of the deployment in a month, in UTC.

Before a provider is asked the greatest possible cost is reserved, by conditional updates, so that any number of
processes together never pass an allowance. Afterwards what it really cost takes the reservation's place. What a lost
process had reserved is taken as spent when its job ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from doran.ai.models import AiJob, Spending
from doran.ai.providers import Usage
from doran.contracts.errors import Problem
from doran.kernel import clock, config, telemetry

DATABASE: Final = "ai"
EVERYBODY: Final = "all"
PERSON: Final = "person:"

Place = tuple[str, str]


class Asked(NamedTuple):
    """A provider, and the model of it that was asked."""

    provider: str
    model: str


def require_room(user_id: str) -> None:
    """Raises `Problem("budget_exhausted")` where nothing is left, before anybody waits for it."""
    now = clock.now()
    places = _places(user_id, now)
    _open(places)
    for (scope, period), most in zip(places, _limits(), strict=True):
        found = _row(scope, period).first()
        if most and found is not None and found.spent_micros + found.reserved_micros >= most:
            raise _exhausted(scope, now)


def count_job(user_id: str) -> None:
    """One more job of this person's day, in the transaction around. Raises `Problem("budget_exhausted")`."""
    most, (scope, day) = config.current().ai_jobs_per_day, _places(user_id, clock.now())[0]
    _open([(scope, day)])
    rows = _row(scope, day)
    if not (rows.filter(jobs__lt=most) if most else rows).update(jobs=F("jobs") + 1):
        raise _exhausted(scope, clock.now())


def reserve(held: QuerySet[AiJob], job: AiJob, micros: int) -> bool:
    """Set this much aside for a job that is held; False if it is not held any more.

    Raises `Problem("budget_exhausted")`, and nothing is set aside.
    """
    if not micros:
        return held.exists()
    places = _places(job.user_id, job.created_at)
    _open(places)
    with transaction.atomic(using=DATABASE):  # everybody changes the job first, then the person's row, then the other
        if not held.update(reserved_micros=F("reserved_micros") + micros):
            _close(places[0])
            return False
        for (scope, period), most in zip(places, _limits(), strict=True):
            rows = _row(scope, period)
            if most:
                rows = rows.filter(spent_micros__lte=most - micros - F("reserved_micros"))
            if not rows.update(reserved_micros=F("reserved_micros") + micros):
                raise _exhausted(scope, job.created_at)
    return True


def spend(job: AiJob, usage: Usage, *, reserved: int, micros: int, by: Asked | None = None) -> None:
    """What a request really took, in the place of what was reserved for it; also for a job that has ended meanwhile.

    The job names who was asked last, `by`; nobody, where what was set aside is only given back.
    """
    if by:
        telemetry.answer_paid(by.provider, cost_micros=micros, tokens_in=usage.tokens_in, tokens_out=usage.tokens_out)
    places = _places(job.user_id, job.created_at)
    _open(places)
    with transaction.atomic(using=DATABASE):
        rows = AiJob.objects.filter(id=job.id, reserved_micros__gte=reserved)
        if not rows.update(
            reserved_micros=F("reserved_micros") - reserved,
            cost_micros=F("cost_micros") + micros,
            tokens_in=F("tokens_in") + usage.tokens_in,
            tokens_out=F("tokens_out") + usage.tokens_out,
            **(by._asdict() if by else {}),
        ):
            _close(places[0])
            return  # its end has taken the reservation as spent
        _move(job, reserved=-reserved, spent=micros, tokens=sum(usage))


def settle(job_id: UUID) -> None:
    """Take as spent what is still reserved for a job, in the transaction in which it ends."""
    job = AiJob.objects.select_for_update().get(id=job_id)
    if job.reserved_micros:
        left = job.reserved_micros
        AiJob.objects.filter(id=job_id).update(reserved_micros=0, cost_micros=F("cost_micros") + left)
        _move(job, reserved=-left, spent=left, tokens=0)


def settle_left(*, older_than: timedelta = timedelta(minutes=5)) -> None:
    """The same for jobs that were cancelled while their worker was lost."""
    ended = AiJob.objects.filter(reserved_micros__gt=0, finished_at__lt=clock.now() - older_than)
    for job_id in list(ended.values_list("id", flat=True)[:100]):
        with transaction.atomic(using=DATABASE):
            settle(job_id)


def forget(user_id: str) -> None:
    """What somebody spent stays in the sums of all, and nothing says that it was they. In a transaction."""
    for job_id in list(AiJob.objects.filter(user_id=user_id, reserved_micros__gt=0).values_list("id", flat=True)):
        settle(job_id)
    theirs = Spending.objects.filter(scope=f"{PERSON}{user_id}").order_by("period")
    days = list(theirs.values_list("period", "jobs"))
    theirs.delete()
    for day, jobs in days:
        _open([(EVERYBODY, day[:7])])
        _row(EVERYBODY, day[:7]).update(jobs=F("jobs") + jobs)


# -- rows --------------------------------------------------------------------------------------------


def _places(user_id: str, at: datetime) -> tuple[Place, Place]:
    return (f"{PERSON}{user_id}", f"{at:%Y-%m-%d}"), (EVERYBODY, f"{at:%Y-%m}")


def _limits() -> tuple[int, int]:
    """In millionths; 0 where there is none."""
    now = config.current()
    return now.ai_person_per_day, now.ai_all_per_month


def _move(job: AiJob, *, reserved: int, spent: int, tokens: int) -> None:
    for scope, period in _places(job.user_id, job.created_at):
        changes: dict[str, Any] = {
            "reserved_micros": F("reserved_micros") + reserved,
            "spent_micros": F("spent_micros") + spent,
            "tokens": F("tokens") + tokens,
        }
        _row(scope, period).update(**changes)


def _row(scope: str, period: str) -> QuerySet[Spending]:
    return Spending.objects.filter(scope=scope, period=period)


def _open(places: Iterable[Place]) -> None:
    """Make the rows that are not there yet: before a transaction, in which two who do the same would stop each other."""
    for scope, period in places:
        if not _row(scope, period).exists():
            try:
                with transaction.atomic(using=DATABASE):
                    Spending.objects.create(scope=scope, period=period)
            except IntegrityError:  # somebody else has just made it
                pass


def _close(place: Place) -> None:
    """Leave no row behind that was opened for somebody who is gone meanwhile."""
    _row(*place).filter(jobs=0, tokens=0, spent_micros=0, reserved_micros=0).delete()


def _exhausted(scope: str, now: datetime) -> Problem:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow, next_month = today + timedelta(days=1), (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    again = next_month if scope == EVERYBODY else tomorrow
    return Problem("budget_exhausted", retry_after=max(1.0, (again - clock.now()).total_seconds()))
