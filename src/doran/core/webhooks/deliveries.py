"""What became of the events of an endpoint."""

from __future__ import annotations

from doran.core import sessions
from doran.core.models import WebhookDelivery
from doran.core.webhooks import endpoints


def listed(
    endpoint_id: str,
    *,
    state: str | None = None,
    event_id: str | None = None,
    before: int | None = None,
    page_size: int,
) -> tuple[list[WebhookDelivery], int | None]:
    """The newest first, and before which place the list goes on, if it does. Raises `Problem("not_found")`."""
    rows = WebhookDelivery.objects.filter(endpoint=endpoints.get(endpoint_id)).select_related("event")
    if state is not None:
        rows = rows.filter(state=state)
    if event_id is not None:
        known = sessions.as_id(event_id)
        rows = rows.filter(event__event_id=known) if known else rows.none()
    if before is not None:
        rows = rows.filter(event_id__lt=before)
    found = list(rows.order_by("-event_id")[: page_size + 1])
    return found[:page_size], found[page_size - 1].event_id if len(found) > page_size else None
