"""Which job is done next, and that it is in one pair of hands.

A job is taken by a conditional update and held by a lease. Whoever lost the lease changes nothing any more, so that
any number of copies may work, and the jobs of a dead one are taken again by others.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import F, Min, Q, QuerySet

from doran.ai.jobs import ending
from doran.ai.jobs.claims import Claim
from doran.ai.kinds import KINDS
from doran.ai.models import AiJob
from doran.kernel import clock, telemetry

log = logging.getLogger("doran.ai.jobs")

LEASE: Final = timedelta(seconds=15)
ATTEMPTS: Final = 3

_AT_ONCE: Final = 200
_BACKGROUND: Final = frozenset(kind.name for kind in KINDS.values() if kind.is_background)
_ORDERED: Final = frozenset(kind.name for kind in KINDS.values() if kind.is_ordered)


def take(room: int, *, background: int, but: Collection[UUID] = ()) -> list[tuple[AiJob, Claim]]:
    """Hold up to `room` jobs that are due, of which no more than `background` are of kinds nobody waits for.

    Not those in `but`: who was so slow that a lease ended, and nobody took the job, goes on with it.
    """
    waited_for = list(_chosen(~Q(kind__in=_BACKGROUND), room, but))
    others = list(_chosen(Q(kind__in=_BACKGROUND), min(background, room - len(waited_for)), but))
    return waited_for + others


def renew(claims: Collection[Claim]) -> set[UUID]:
    """Hold these for longer; the ids of those which are still held."""
    held = AiJob.objects.filter(claim__in=[claim.token for claim in claims], state=AiJob.State.RUNNING)
    held.update(held_until=_end_of_lease(), updated_at=clock.now())
    return set(held.values_list("id", flat=True))


def give_back(claim: Claim, *, due_at: datetime | None = None) -> bool:
    """Let go of it without an end: it is done from its start again, by whoever takes it. Whether it was still held."""
    now = clock.now()
    changes: dict[str, Any] = {
        "state": AiJob.State.QUEUED, "claim": "", "held_until": None, "partial": "", "partial_seq": 0,
        "due_at": due_at or now, "updated_at": now,
    }  # fmt: skip
    return bool(claim.rows.update(**changes))


def free_all() -> None:
    """Take every lease away: for a start where nobody else can be at work."""
    AiJob.objects.filter(state=AiJob.State.RUNNING).update(held_until=clock.now())


def sweep() -> None:
    """End what nobody will do any more: what is past its time, and what was lost too often."""
    now = clock.now()
    late = AiJob.objects.filter(state=AiJob.State.QUEUED, deadline_at__lte=now)
    for job_id in late.values_list("id", flat=True)[:_AT_ONCE]:
        ending.give_up(job_id, "deadline")
    lost = AiJob.objects.filter(~_is_held(now), state=AiJob.State.RUNNING)
    for job in lost.filter(Q(attempts__gte=ATTEMPTS) | Q(deadline_at__lte=now))[:_AT_ONCE]:
        ending.give_up(job.id, "deadline" if job.deadline_at <= now else "worker_lost", lost_claim=job.claim)


def backlog() -> tuple[int, int, float]:
    """How many wait, how many run, and for how long the oldest has been due, in seconds."""
    now = clock.now()
    states = Counter(AiJob.objects.filter(state__in=("queued", "running")).values_list("state", flat=True))
    oldest = AiJob.objects.filter(state=AiJob.State.QUEUED).aggregate(oldest=Min("due_at"))["oldest"]
    age = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
    return states["queued"], states["running"], age


# -- the order ---------------------------------------------------------------------------------------


def _chosen(which: Q, room: int, but: Collection[UUID]) -> Iterator[tuple[AiJob, Claim]]:
    """One after another: of those who wait, whoever has the fewest under way; among them who waited longest."""
    if room <= 0:
        return
    due = AiJob.objects.filter(_is_due(), which)
    oldest = {row["user_id"]: row["oldest"] for row in due.values("user_id").annotate(oldest=Min("due_at"))}
    running = AiJob.objects.filter(_is_held(clock.now()), state=AiJob.State.RUNNING, user_id__in=_few(oldest))
    busy = Counter(running.values_list("user_id", flat=True))
    passed = set(but)
    while room > 0 and oldest:
        user_id = min(oldest, key=lambda one: (busy[one], oldest[one]))
        job = due.filter(user_id=user_id).exclude(id__in=passed).order_by("due_at", "id").first()
        if job is None:
            del oldest[user_id]
            continue
        passed.add(job.id)
        claim = _claimed(job)
        if claim is not None:
            room -= 1
            busy[user_id] += 1
            oldest[user_id] = job.due_at
            yield job, claim


def _few(people: Iterable[str]) -> list[str]:
    """As many as one statement may name."""
    return list(people)[:_AT_ONCE]


def _is_due() -> Q:
    """Queued and due, or held by somebody who is gone; not what `sweep` ends."""
    now = clock.now()
    queued = Q(state=AiJob.State.QUEUED) & (Q(due_at__lte=now) | _is_ahead(now))
    lost = ~_is_held(now) & Q(state=AiJob.State.RUNNING, attempts__lt=ATTEMPTS)
    return (queued | lost) & Q(deadline_at__gt=now)


def _claimed(job: AiJob) -> Claim | None:
    if job.kind in _ORDERED and _others(job).exists():
        return None
    token, now = clock.new_id_hex(), clock.now()
    changes: dict[str, Any] = {
        "state": AiJob.State.RUNNING, "claim": token, "held_until": _end_of_lease(), "attempts": F("attempts") + 1,
        "started_at": now, "updated_at": now, "partial": "", "partial_seq": 0,
    }  # fmt: skip
    if not AiJob.objects.filter(_is_due(), id=job.id, claim=job.claim, attempts=job.attempts).update(**changes):
        return None
    claim = Claim(job.id, token, job.attempts + 1)
    if job.kind in _ORDERED and _others(job).exists():  # two were taken at the same moment: whoever sees it yields
        give_back(claim, due_at=now + timedelta(seconds=random.random()))  # noqa: S311
        return None
    if job.state == AiJob.State.RUNNING:
        _tell_lost(job)
    job.refresh_from_db(using="ai")
    return claim


def _tell_lost(job: AiJob) -> None:
    with telemetry.with_trace(job.trace_id):
        facts = {"job_id": str(job.id), "kind": job.kind, "attempts": job.attempts}
        log.warning("a job was lost by its worker and is taken over", extra=facts)


def _others(job: AiJob) -> QuerySet[AiJob]:
    """Jobs of the same kind that run in the same conversation."""
    running = AiJob.objects.filter(_is_held(clock.now()), state=AiJob.State.RUNNING)
    return running.filter(conversation_id=job.conversation_id, kind=job.kind).exclude(id=job.id)


def _is_held(now: datetime) -> Q:
    return Q(held_until__gt=now) & ~_is_ahead(now)


def _is_ahead(now: datetime) -> Q:
    """Written when the clock was ahead: neither its lease nor when it is due is believed."""
    return Q(updated_at__gt=now + 2 * LEASE)


def _end_of_lease() -> datetime:
    return clock.now() + LEASE
