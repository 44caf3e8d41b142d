"""Again: one event, what was given up, everything since a moment; and a test, which is owed like any event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from django.db import transaction
from django.db.models import QuerySet

from doran.contracts.errors import Problem
from doran.contracts.events import Envelope, WebhookTest, encode
from doran.core import sessions
from doran.core.models import WebhookEndpoint, WebhookEvent
from doran.core.webhooks import endpoints, owing
from doran.core.webhooks.wanted import named
from doran.kernel import clock, telemetry

DATABASE: Final = "core"
MOST_AT_ONCE: Final = 10_000
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events are owed again; if there were more, from when to go on."""

    count: int
    next_since: datetime | None = None


def event(endpoint_id: str, event_id: str) -> Replayed:
    """This event once more. Raises `Problem`: `not_found`, `conflict` for an endpoint that is disabled."""
    endpoint, known = _enabled(endpoint_id), sessions.as_id(event_id)
    replayed = _replay(endpoint, WebhookEvent.objects.filter(event_id=known)) if known else Replayed(0)
    if not replayed.count:
        raise Problem("not_found", "This event is not kept any more, or never was.")
    return replayed


def failed(endpoint_id: str) -> Replayed:
    """All that was given up. Raises as `event`."""
    endpoint = _enabled(endpoint_id)
    return _replay(endpoint, WebhookEvent.objects.filter(deliveries__endpoint=endpoint, deliveries__state="failed"))


def since(endpoint_id: str, moment: datetime) -> Replayed:
    """Everything of the endpoint's types recorded from this moment on, also what it was never owed. Raises as `event`."""
    endpoint = _enabled(endpoint_id)
    kept = WebhookEvent.objects.filter(recorded_at__gte=moment, event_type__in=sorted(named(endpoint.event_types)))
    return _replay(endpoint, kept)


def test(endpoint_id: str) -> str:
    """A `webhook.test` for this endpoint alone; its event id. Raises as `event`."""
    with transaction.atomic(using=DATABASE):
        endpoint = _enabled(endpoint_id)
        kept = owing.keep(_test(endpoint))
        owing.owe(endpoint, kept)
    return str(kept.event_id)


def _test(endpoint: WebhookEndpoint) -> Envelope:
    now = clock.rfc3339(clock.now())
    said = WebhookTest(str(endpoint.id), now)
    return Envelope(
        event_type=said.NAME,
        timestamp=now,
        data=msgspec.Raw(encode(said)),
        event_id=str(clock.new_id()),
        schema_version=said.VERSION,
        producer="core",
        key=said.key(),
        trace_id=telemetry.trace_id(),
    )


def _replay(endpoint: WebhookEndpoint, kept: QuerySet[WebhookEvent]) -> Replayed:
    """In batches, each with its own commit: what is sent meanwhile comes in the same order."""
    count, last = 0, 0
    rows = kept.order_by("id").only("id", "key", "recorded_at")
    while batch := list(rows.filter(id__gt=last)[:_BATCH]):
        if count >= MOST_AT_ONCE:
            return Replayed(count, next_since=batch[0].recorded_at)
        with transaction.atomic(using=DATABASE):
            owing.owe_again(endpoint, batch)
        count, last = count + len(batch), batch[-1].id
    return Replayed(count)


def _enabled(endpoint_id: str) -> WebhookEndpoint:
    endpoint = endpoints.get(endpoint_id)
    if not endpoint.is_enabled:
        raise Problem("conflict", "The endpoint is disabled; enable it first.")
    return endpoint
