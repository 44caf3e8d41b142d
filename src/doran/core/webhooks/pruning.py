"""What is kept no longer: events past their days, secrets that ended, all of an endpoint that is removed."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from typing import Final

from django.db.models import QuerySet

from doran.core.models import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookLine, WebhookSecret
from doran.core.webhooks import endpoints
from doran.kernel import clock, config
from doran.kernel.doors import again_if_in_the_way

log = logging.getLogger("doran.core.webhooks")

DATABASE: Final = "core"
_BATCH: Final = 500


def prune() -> int:
    """Let go of events that are older than `webhook_days`, and of all when nobody is registered; how many."""
    WebhookSecret.objects.filter(ends_at__lte=clock.now()).delete()
    if not WebhookEndpoint.objects.exists():
        return _let_go(WebhookEvent.objects.all())
    return _let_go(WebhookEvent.objects.filter(recorded_at__lt=clock.now() - kept_for()))


def kept_for() -> timedelta:
    """How long an event is kept: never for less than it is tried."""
    now = config.current()
    return max(timedelta(days=now.webhook_days), timedelta(hours=2 * now.webhook_retry_hours))


def remove(endpoint_id: str) -> None:
    """Forget the endpoint and all that it was owed. Raises `Problem("not_found")`."""
    endpoint = endpoints.change(endpoint_id, {"enabled": False})
    owed = WebhookDelivery.objects.filter(endpoint=endpoint)
    while ids := list(owed.values_list("id", flat=True)[:_BATCH]):
        again_if_in_the_way(DATABASE, WebhookDelivery.objects.filter(id__in=ids).delete)
    again_if_in_the_way(DATABASE, lambda: _delete_endpoint(endpoint))
    if not WebhookEndpoint.objects.exists():
        _let_go(WebhookEvent.objects.all())
    log.info("webhook endpoint removed", extra={"endpoint_id": endpoint_id})


def _delete_endpoint(endpoint: WebhookEndpoint) -> None:
    WebhookLine.objects.filter(endpoint=endpoint).delete()
    WebhookEndpoint.objects.filter(id=endpoint.id).delete()


def _let_go(events: QuerySet[WebhookEvent]) -> int:
    """In batches, the oldest first, so that nobody waits long for the database."""
    count = 0
    while ids := list(events.order_by("id").values_list("id", flat=True)[:_BATCH]):
        again_if_in_the_way(DATABASE, partial(_delete_events, ids))
        count += len(ids)
    return count


def _delete_events(ids: list[int]) -> None:
    WebhookDelivery.objects.filter(event_id__in=ids).delete()
    WebhookEvent.objects.filter(id__in=ids).delete()
