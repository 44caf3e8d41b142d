"""Lines: what one endpoint is owed under one name, in one pair of hands at a time.

A line is taken by a conditional update and held by a lease. Whoever lost the lease changes nothing
any more, so that any number of copies may work, and a dead one's lines are free again by themselves.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from doran.core.models import WebhookDelivery, WebhookEndpoint, WebhookLine, WebhookSecret
from doran.core.webhooks import signing
from doran.kernel import clock, config

DATABASE = "core"
_MARGIN = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Claim:
    """A line that is held, for as long as the lease lasts."""

    line_id: int
    endpoint_id: uuid.UUID
    token: str

    @property
    def place(self) -> tuple[uuid.UUID, int]:
        """The order in which several are changed at once: endpoint by endpoint."""
        return self.endpoint_id, self.line_id


@dataclass(frozen=True, slots=True)
class Turn:
    """The first in a held line: what is to be sent, where, and signed with what."""

    claim: Claim
    delivery_id: int
    attempts: int
    since: datetime
    endpoint: WebhookEndpoint
    event_id: str
    envelope: str
    secrets: list[WebhookSecret]


def join(endpoint_id: uuid.UUID, name: str) -> None:
    """Somebody stands in this line from now on; in the transaction that says who."""
    if _joined(endpoint_id, name):
        return
    now = clock.now()
    try:
        with transaction.atomic(using=DATABASE):
            WebhookLine.objects.create(endpoint_id=endpoint_id, name=name, due_at=now, held_until=now)
    except IntegrityError:  # somebody else has just opened it
        _joined(endpoint_id, name)


def ready() -> list[WebhookEndpoint]:
    """The endpoints that may be called now."""
    return [endpoint for endpoint in WebhookEndpoint.objects.filter(is_enabled=True) if _is_ready(endpoint)]


def due(endpoint_id: uuid.UUID, most: int) -> list[WebhookLine]:
    """So many lines of this endpoint that are due and free; those that wait longest first."""
    found = _free().filter(Q(due_at__lte=clock.now()) | _is_ahead(), endpoint_id=endpoint_id).order_by("due_at", "id")
    return list(found[: max(0, most)])


def take(wanted: Iterable[WebhookLine]) -> list[Claim]:
    """Hold those of these lines that nobody was faster to hold."""
    with transaction.atomic(using=DATABASE):
        claims = [_claimed(line) for line in sorted(wanted, key=lambda line: (line.endpoint_id, line.id))]
    return [claim for claim in claims if claim is not None]


def turn(claim: Claim) -> Turn | None:
    """The first in the line, if it may be sent now. A line without any is gone; one that must wait is left."""
    while line := _held(claim).select_related("endpoint").first():
        if not _is_ready(line.endpoint):
            leave(claim, clock.now())
            return None
        first = _first(line)
        if first is not None:
            return _turn(claim, line.endpoint, first)
        _held(claim).filter(joined=line.joined).delete()
    return None


def renew(claim: Claim) -> bool:
    """Hold the line for longer; whether it is held at all."""
    return bool(_held(claim).update(held_until=_end_of_lease()))


def leave(claim: Claim, due_at: datetime) -> None:
    """Let go of the line; it may be taken again from `due_at` on."""
    _held(claim).update(claim="", held_until=clock.now(), due_at=due_at)


def hasten(endpoint_id: uuid.UUID) -> None:
    """Every line of this endpoint is due now: it answers again, or an operator says so."""
    now = clock.now()
    WebhookLine.objects.filter(endpoint_id=endpoint_id, due_at__gt=now).update(due_at=now)
    transaction.on_commit(news, using=DATABASE)


def free_all() -> None:
    """Take every lease away: for a start where nobody else can be at work."""
    now = clock.now()
    WebhookLine.objects.exclude(claim="").update(claim="", held_until=now, due_at=now)


def is_held(endpoint: WebhookEndpoint) -> bool:
    """Whether it is to be left alone for now. What a clock that was ahead wrote with its last failure holds nothing."""
    now, failed = clock.now(), endpoint.last_failure_at
    if endpoint.held_until is None or (failed is not None and failed > now + 2 * lease()):
        return False
    return endpoint.held_until > now


def lease() -> timedelta:
    """How long a line is held without a word: longer than any attempt takes."""
    return timedelta(seconds=config.current().webhook_seconds) + _MARGIN


# -- news --------------------------------------------------------------------------------------------

_wakers: list[Callable[[], None]] = []


def when_owed(wake: Callable[[], None]) -> Callable[[], None]:
    """Call `wake` when something may have become due in this process; returns what takes that back."""
    _wakers.append(wake)
    return partial(_wakers.remove, wake)


def news() -> None:
    """Something may have become due."""
    for wake in list(_wakers):
        wake()


# -- rows --------------------------------------------------------------------------------------------


def _joined(endpoint_id: uuid.UUID, name: str) -> bool:
    return bool(WebhookLine.objects.filter(endpoint_id=endpoint_id, name=name).update(joined=F("joined") + 1))


def _free() -> QuerySet[WebhookLine]:
    return WebhookLine.objects.filter(Q(held_until__lte=clock.now()) | _is_ahead())


def _is_ahead() -> Q:
    """Written when the clock was ahead, for no lease ends so late: neither its lease nor when it is due is believed."""
    return Q(held_until__gt=clock.now() + 2 * lease())


def _held(claim: Claim) -> QuerySet[WebhookLine]:
    return WebhookLine.objects.filter(id=claim.line_id, claim=claim.token)


def _claimed(line: WebhookLine) -> Claim | None:
    token = clock.new_id_hex()
    taken = _free().filter(id=line.id).update(claim=token, held_until=_end_of_lease())
    return Claim(line.id, line.endpoint_id, token) if taken else None


def _end_of_lease() -> datetime:
    return clock.now() + lease()


def _is_ready(endpoint: WebhookEndpoint) -> bool:
    return endpoint.is_enabled and not is_held(endpoint)


def _first(line: WebhookLine) -> WebhookDelivery | None:
    waiting = WebhookDelivery.objects.filter(endpoint_id=line.endpoint_id, line=line.name, state="waiting")
    return waiting.select_related("event").order_by("event_id").first()


def _turn(claim: Claim, endpoint: WebhookEndpoint, first: WebhookDelivery) -> Turn:
    return Turn(
        claim=claim,
        delivery_id=first.id,
        attempts=first.attempts,
        since=first.since,
        endpoint=endpoint,
        event_id=str(first.event.event_id),
        envelope=first.event.envelope,
        secrets=signing.in_force(endpoint.id),
    )
