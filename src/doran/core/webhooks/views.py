"""What operators see of webhooks: the bodies of the answers. A secret is in an answer once."""

from __future__ import annotations

from typing import Literal

import msgspec

from doran.core.models import WebhookDelivery, WebhookEndpoint
from doran.core.webhooks import health
from doran.core.webhooks.health import State
from doran.core.webhooks.replays import Replayed
from doran.kernel.clock import rfc3339, rfc3339_or_none

Ordering = Literal["key", "endpoint"]
DeliveryState = Literal["waiting", "delivered", "failed"]


class HealthView(msgspec.Struct, frozen=True):
    """How an endpoint is: `failures` in a row since the last success, `waiting` and `failed` events."""

    state: State
    last_success_at: str | None
    last_failure_at: str | None
    last_failure: str | None
    failing_since: str | None
    failures: int
    next_attempt_after: str | None
    waiting: int
    oldest_waiting_since: str | None
    failed: int


class EndpointView(msgspec.Struct, frozen=True):
    """Where events are sent. `disabled_reason` is `operator`, `gone` (a 410) or `failing` (for days)."""

    id: str
    url: str
    event_types: list[str]
    description: str
    ordering: Ordering
    enabled: bool
    disabled_reason: str | None
    disabled_at: str | None
    created_at: str
    updated_at: str
    health: HealthView


class NewEndpoint(msgspec.Struct, frozen=True):
    """An endpoint that was just registered, and its secret, which is not shown again."""

    endpoint: EndpointView
    secret: str


class EndpointList(msgspec.Struct, frozen=True):
    results: list[EndpointView]


class NewSecret(msgspec.Struct, frozen=True):
    """A new secret, which is not shown again; until `old_secret_ends_at` the one before signs as well."""

    secret: str
    old_secret_ends_at: str


class DeliveryView(msgspec.Struct, frozen=True):
    """One event and what became of it at this endpoint: `outcome` is a status, or a word for why none came."""

    event_id: str
    event_type: str
    key: str
    state: DeliveryState
    attempts: int
    outcome: str | None
    recorded_at: str
    waiting_since: str
    attempted_at: str | None


class DeliveryList(msgspec.Struct, frozen=True):
    """The newest first; `next` is the address of those before, or null."""

    results: list[DeliveryView]
    next: str | None


class ReplayView(msgspec.Struct, frozen=True):
    """How many events are sent again. `next_since` where there are more: replay from there."""

    replayed: int
    next_since: str | None


class TestSent(msgspec.Struct, frozen=True):
    """The id of the `webhook.test` that waits to be sent."""

    event_id: str


def endpoint(row: WebhookEndpoint) -> EndpointView:
    return EndpointView(
        id=str(row.id),
        url=row.url,
        event_types=row.event_types.split(),
        description=row.description,
        ordering="key" if row.ordering == "key" else "endpoint",
        enabled=row.is_enabled,
        disabled_reason=row.disabled_reason or None,
        disabled_at=rfc3339_or_none(row.disabled_at),
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
        health=_health(row),
    )


def _health(row: WebhookEndpoint) -> HealthView:
    waiting, failed, oldest = health.debts(row)
    return HealthView(
        state=health.state(row),
        last_success_at=rfc3339_or_none(row.last_success_at),
        last_failure_at=rfc3339_or_none(row.last_failure_at),
        last_failure=row.last_failure or None,
        failing_since=rfc3339_or_none(row.failing_since),
        failures=row.failures,
        next_attempt_after=rfc3339_or_none(row.held_until),
        waiting=waiting,
        oldest_waiting_since=rfc3339_or_none(oldest),
        failed=failed,
    )


def delivery(row: WebhookDelivery) -> DeliveryView:
    return DeliveryView(
        event_id=str(row.event.event_id),
        event_type=row.event.event_type,
        key=row.event.key,
        state=row.state,  # type: ignore[arg-type]  # only these three are ever written
        attempts=row.attempts,
        outcome=row.outcome or None,
        recorded_at=rfc3339(row.event.recorded_at),
        waiting_since=rfc3339(row.since),
        attempted_at=rfc3339_or_none(row.attempted_at),
    )


def replay(done: Replayed) -> ReplayView:
    return ReplayView(done.count, rfc3339_or_none(done.next_since))
