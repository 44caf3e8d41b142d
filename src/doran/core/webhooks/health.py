"""How endpoints are: each by itself, and all together for those who watch the process."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from django.db.models import Count, Min, Q

from doran.core.models import WebhookDelivery, WebhookEndpoint
from doran.kernel import clock

DATABASE: Final = "core"
State = Literal["unused", "healthy", "failing", "unhealthy", "disabled"]


def state(endpoint: WebhookEndpoint) -> State:
    """One word: `unhealthy` has given up events since its last success, `failing` is being tried again."""
    if not endpoint.is_enabled:
        return "disabled"
    if endpoint.gave_up_at is not None:
        return "unhealthy"
    if endpoint.failures:
        return "failing"
    return "healthy" if endpoint.last_success_at else "unused"


def debts(endpoint: WebhookEndpoint) -> tuple[int, int, datetime | None]:
    """How many events wait, how many were given up, and since when the oldest waits."""
    owed = WebhookDelivery.objects.filter(endpoint=endpoint, state__in=("waiting", "failed"))
    found = owed.aggregate(
        waiting=Count("id", filter=Q(state="waiting")),
        failed=Count("id", filter=Q(state="failed")),
        oldest=Min("since", filter=Q(state="waiting")),
    )
    return found["waiting"], found["failed"], found["oldest"]


def summary() -> str:
    """One remark for the readiness answer."""
    count, age = backlog()
    return f"{count} events wait, the oldest for {age:.0f} s" if count else "no event waits"


def backlog() -> tuple[int, float]:
    """How many events wait for endpoints that are enabled, and the age of the oldest in seconds."""
    enabled = WebhookEndpoint.objects.filter(is_enabled=True)
    owed = WebhookDelivery.objects.filter(endpoint__in=list(enabled), state="waiting")
    found = owed.aggregate(waiting=Count("id"), oldest=Min("since"))
    if found["oldest"] is None:
        return 0, 0.0
    return found["waiting"], max(0.0, (clock.now() - found["oldest"]).total_seconds())
