"""Jobs as the operator sees them: numbers, never whose or about what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from django.db.models import Count, Q, Sum

from doran.ai.models import AiJob
from doran.kernel import clock


class Line(NamedTuple):
    """Jobs of one kind, by state in the order of `AiJob.State`; `cost` in millionths of the currency."""

    kind: str
    waiting: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    cost: int


class Failures(NamedTuple):
    code: str
    jobs: int


def lines(hours: int) -> Sequence[Line]:
    """By kind, of the last so many hours and of whatever waits since earlier."""
    rows = AiJob.objects.filter(_lately(hours) | Q(state__in=("queued", "running")))
    count = {state: Count("id", filter=Q(state=state)) for state in AiJob.State.values}
    counted = rows.values("kind").annotate(**count, cost=Sum("cost_micros"))
    return [Line(*one) for one in counted.order_by("kind").values_list("kind", *count, "cost")]


def failures(hours: int) -> Sequence[Failures]:
    """Why jobs failed, the most frequent reason first."""
    rows = AiJob.objects.filter(_lately(hours), state=AiJob.State.FAILED)
    found = rows.values("failure_code").annotate(jobs=Count("id")).order_by("-jobs", "failure_code")
    return [Failures(one["failure_code"], one["jobs"]) for one in found]


def _lately(hours: int) -> Q:
    return Q(created_at__gte=clock.now() - timedelta(hours=hours))
