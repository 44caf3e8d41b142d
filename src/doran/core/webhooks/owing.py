"""What endpoints are owed: recorded once, owed to each, forgotten where a deletion says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from django.db import transaction

from doran.contracts.events import Envelope, Event, UserErased
from doran.core import sessions
from doran.core.models import User, WebhookDelivery, WebhookEndpoint, WebhookEvent
from doran.core.webhooks import endpoints, lines
from doran.core.webhooks.wanted import named
from doran.kernel import clock, redaction

DATABASE: Final = "core"


def record(envelope: Envelope) -> None:
    """Keep the event, and owe it to every enabled endpoint that asked for its type. Inside a transaction."""
    asking = [one for one in endpoints.listed() if envelope.event_type in named(one.event_types)]
    if asking:
        event = keep(envelope)
        for endpoint in asking:
            if endpoint.is_enabled:
                owe(endpoint, event)


def keep(envelope: Envelope) -> WebhookEvent:
    """The event as it is kept. Of somebody who was erased meanwhile nothing personal is."""
    person = redaction.person(envelope.event())
    whole = msgspec.json.encode(envelope).decode()
    emptied = redaction.envelope_without(UserErased(person, ""), whole) if _is_erased(person) else None
    return WebhookEvent.objects.create(
        event_id=envelope.event_id,
        event_type=envelope.event_type,
        key=envelope.key,
        person=person,
        envelope=emptied or whole,
        recorded_at=clock.now(),
    )


def owe(endpoint: WebhookEndpoint, event: WebhookEvent) -> None:
    """The event stands in its line from now on. Inside a transaction."""
    lines.join(endpoint.id, _line(endpoint, event))
    WebhookDelivery.objects.create(endpoint=endpoint, event=event, line=_line(endpoint, event), since=clock.now())
    transaction.on_commit(lines.news, using=DATABASE)


def owe_again(endpoint: WebhookEndpoint, events: Sequence[WebhookEvent]) -> None:
    """These events stand in their lines as if they had just been heard. Inside a transaction."""
    for name in dict.fromkeys(_line(endpoint, event) for event in events):
        lines.join(endpoint.id, name)
    now = clock.now()
    known = WebhookDelivery.objects.filter(endpoint=endpoint, event__in=events)
    owed_before = set(known.values_list("event_id", flat=True))
    known.exclude(state="waiting").update(state="waiting", since=now, attempts=0, outcome="")
    WebhookDelivery.objects.bulk_create(
        [
            WebhookDelivery(endpoint=endpoint, event=event, line=_line(endpoint, event), since=now)
            for event in events
            if event.id not in owed_before
        ],
        ignore_conflicts=True,
    )
    transaction.on_commit(lines.news, using=DATABASE)


def forget(deletion: Event) -> None:
    """Take what a deletion deletes out of the events that are kept. Inside a transaction."""
    kept = WebhookEvent.objects.filter(**redaction.narrowed(deletion))
    if isinstance(deletion, UserErased):
        kept = kept.filter(person=deletion.user_id)
    for event in kept.iterator():
        emptied = redaction.envelope_without(deletion, event.envelope)
        if emptied is not None:
            kept.filter(id=event.id).update(envelope=emptied)


def _line(endpoint: WebhookEndpoint, event: WebhookEvent) -> str:
    return event.key if endpoint.ordering == "key" else ""


def _is_erased(person: str) -> bool:
    known = sessions.as_id(person)
    return known is not None and User.objects.filter(id=known, erased_at__isnull=False).exists()
