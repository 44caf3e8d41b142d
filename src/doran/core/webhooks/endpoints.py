"""Endpoints: registered, changed, given another secret, switched off and on, removed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet

from doran.contracts.errors import Problem, invalid
from doran.contracts.events import WebhookDisabled
from doran.core import sessions, texts
from doran.core.models import WEBHOOK_DESCRIPTION_LENGTH, Outbox, WebhookEndpoint
from doran.core.webhooks import lines, signing
from doran.core.webhooks.wanted import ALL, OFFERED, wanted
from doran.kernel import clock, config, outward, telemetry
from doran.kernel.doors import again_if_in_the_way

log = logging.getLogger("doran.core.webhooks")

DATABASE: Final = "core"
MOST: Final = 50
BY_OPERATOR, BY_RECEIVER, BY_FAILURE = "operator", "gone", "failing"


def register(
    url: str, event_types: Collection[str], *, description: str = "", ordering: str = "key", enabled: bool = True
) -> tuple[WebhookEndpoint, str]:
    """A new endpoint and its secret, which is never shown again.

    Raises `Problem`: `validation_failed` naming the field, `conflict` past 50 endpoints.
    """
    now = clock.now()
    endpoint = WebhookEndpoint(id=clock.new_id(), ordering=ordering, created_at=now, updated_at=now)
    _apply(endpoint, {"url": url, "event_types": event_types, "description": description, "enabled": enabled})
    with transaction.atomic(using=DATABASE):
        if WebhookEndpoint.objects.count() >= MOST:
            raise Problem("conflict", f"At most {MOST} endpoints can be registered.")
        endpoint.save(force_insert=True)
        secret = signing.make(endpoint)
    wanted.refresh()
    log.info("webhook endpoint registered", extra={"endpoint_id": str(endpoint.id)})
    return endpoint, secret


def listed() -> list[WebhookEndpoint]:
    """Every endpoint, the oldest first."""
    return list(WebhookEndpoint.objects.order_by("id"))


def get(endpoint_id: str) -> WebhookEndpoint:
    """Raises `Problem("not_found")`."""
    return _found(WebhookEndpoint.objects.all(), endpoint_id)


def change(endpoint_id: str, fields: Mapping[str, Any]) -> WebhookEndpoint:
    """The endpoint with other fields: url, event_types, description, enabled. Raises as `register` and `get`."""
    endpoint = again_if_in_the_way(DATABASE, lambda: _changed(endpoint_id, fields))
    wanted.refresh()
    return endpoint


def _changed(endpoint_id: str, fields: Mapping[str, Any]) -> WebhookEndpoint:
    endpoint = _locked(endpoint_id)
    was_enabled = endpoint.is_enabled
    _apply(endpoint, fields)
    endpoint.updated_at = clock.now()
    endpoint.save()
    if endpoint.is_enabled and not was_enabled:
        lines.hasten(endpoint.id)
    return endpoint


def rotate(endpoint_id: str, *, at_once: bool = False) -> tuple[str, str]:
    """A new secret, and until when the one before it signs as well. Raises `Problem("not_found")`."""
    secret, ends_at = again_if_in_the_way(DATABASE, lambda: signing.rotate(_locked(endpoint_id), at_once=at_once))
    log.info("webhook secret rotated", extra={"endpoint_id": endpoint_id})
    return secret, clock.rfc3339(ends_at)


def disable(endpoint_id: uuid.UUID, reason: str) -> None:
    """Send nothing there any more, and say so: to the log, the metrics, and whoever hears `webhook.disabled`.

    Inside a transaction.
    """
    now = clock.now()
    enabled = WebhookEndpoint.objects.filter(id=endpoint_id, is_enabled=True)
    if not enabled.update(is_enabled=False, disabled_reason=reason, disabled_at=now):
        return
    Outbox.add(WebhookDisabled(str(endpoint_id), reason, clock.rfc3339(now)))
    telemetry.webhook_disabled(reason)
    log.error("webhook endpoint disabled", extra={"endpoint_id": str(endpoint_id), "reason": reason})


# -- fields ------------------------------------------------------------------------------------------


def _apply(endpoint: WebhookEndpoint, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        _FIELDS[name](endpoint, value)


def _set_url(endpoint: WebhookEndpoint, url: str) -> None:
    try:
        outward.target(url, outward.rules(config.current()))
    except outward.NotAllowed as wrong:
        raise invalid("url", str(wrong)) from None
    endpoint.url = url


def _set_event_types(endpoint: WebhookEndpoint, event_types: Collection[str]) -> None:
    names = sorted(set(event_types))
    if names != [ALL] and (not names or set(names) - OFFERED):
        raise invalid("event_types", f"Use names of the events table, or {ALL} alone for all of them.")
    endpoint.event_types = " ".join(names)


def _set_description(endpoint: WebhookEndpoint, description: str) -> None:
    line = texts.line(description)
    if wrong := texts.wrong_line("description", line, most=WEBHOOK_DESCRIPTION_LENGTH):
        raise invalid(wrong.field, wrong.detail)
    endpoint.description = line


def _set_enabled(endpoint: WebhookEndpoint, enabled: bool) -> None:
    """Switched on again, it begins anew: what was held against it is forgotten."""
    if enabled == endpoint.is_enabled:
        return
    endpoint.is_enabled = enabled
    endpoint.disabled_reason = "" if enabled else BY_OPERATOR
    endpoint.disabled_at = None if enabled else clock.now()
    endpoint.failures = endpoint.strikes = 0
    endpoint.failing_since = endpoint.held_until = endpoint.gave_up_at = None


_FIELDS: Final[Mapping[str, Callable[[WebhookEndpoint, Any], None]]] = {
    "url": _set_url,
    "event_types": _set_event_types,
    "description": _set_description,
    "enabled": _set_enabled,
}


def _locked(endpoint_id: str) -> WebhookEndpoint:
    return _found(WebhookEndpoint.objects.select_for_update(), endpoint_id)


def _found(among: QuerySet[WebhookEndpoint], endpoint_id: str) -> WebhookEndpoint:
    known = sessions.as_id(endpoint_id)
    endpoint = among.filter(id=known).first() if known else None
    if endpoint is None:
        raise Problem("not_found", "There is no such endpoint.")
    return endpoint
