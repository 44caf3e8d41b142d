"""What becomes of an attempt: the event is taken, tried again later, or given up; the endpoint is well or not."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from doran.core.models import WebhookDelivery, WebhookEndpoint
from doran.core.webhooks import endpoints, lines
from doran.core.webhooks.lines import Turn
from doran.core.webhooks.sending import Outcome
from doran.kernel import clock, config, telemetry

log = logging.getLogger("doran.core.webhooks")

DATABASE: Final = "core"
FIRST_PAUSE: Final = timedelta(seconds=5)
LONGEST_PAUSE: Final = timedelta(hours=1)
LONGEST_HOLD: Final = timedelta(minutes=5)
STRIKES: Final = 2
_NOTED_EVERY: Final = timedelta(seconds=1)


def settle(attempts: Sequence[tuple[Turn, Outcome]]) -> list[Turn | None]:
    """Write down what became of them, in one transaction. For each the next turn of its line, if it may go on.

    Nothing is changed where the lease was lost: somebody else sends from that line now.
    """
    with transaction.atomic(using=DATABASE):
        # In the order in which events join lines, so that nobody waits in a circle.
        order = sorted(range(len(attempts)), key=lambda at: attempts[at][0].claim.place)
        settled = {at: _settled(*attempts[at]) for at in order}
        return [settled[at] for at in range(len(attempts))]


def _settled(turn: Turn, outcome: Outcome) -> Turn | None:
    if not lines.renew(turn.claim):
        return None
    if outcome.is_taken:
        _taken(turn, outcome)
    else:
        _failed(turn, outcome)
    return lines.turn(turn.claim)


# -- the event ---------------------------------------------------------------------------------------


def _taken(turn: Turn, outcome: Outcome) -> None:
    _noted(turn, outcome, state="delivered")
    if _recovered(turn.endpoint):
        transaction.on_commit(lambda: lines.hasten(turn.claim.endpoint_id), using=DATABASE)


def _failed(turn: Turn, outcome: Outcome) -> None:
    _noted(turn, outcome, state="waiting")
    endpoint = _struck(turn, outcome)
    _give_up(turn, outcome, endpoint)
    if outcome.is_gone:
        endpoints.disable(endpoint.id, endpoints.BY_RECEIVER)
    elif endpoint.failing_since is not None and endpoint.failing_since <= _long_ago("webhook_disable_hours"):
        endpoints.disable(endpoint.id, endpoints.BY_FAILURE)
    lines.leave(turn.claim, _due_again(turn, outcome))


def _noted(turn: Turn, outcome: Outcome, *, state: str) -> None:
    rows = WebhookDelivery.objects.filter(id=turn.delivery_id)
    rows.update(state=state, attempts=F("attempts") + 1, attempted_at=clock.now(), outcome=outcome.word)


def _give_up(turn: Turn, outcome: Outcome, endpoint: WebhookEndpoint) -> None:
    """This event, if it was tried for long enough; while the endpoint fails as a whole, all that are so old."""
    old, this = Q(since__lte=_long_ago("webhook_retry_hours")), Q(id=turn.delivery_id)
    chosen = this if outcome.is_gone else old if endpoint.strikes >= STRIKES else this & old
    waiting = WebhookDelivery.objects.filter(endpoint_id=endpoint.id, state="waiting")
    if count := waiting.filter(chosen).update(state="failed", outcome=outcome.word):
        WebhookEndpoint.objects.filter(id=endpoint.id).update(gave_up_at=clock.now())
        telemetry.webhook_given_up(count)
        log.error("webhook events given up", extra={"endpoint_id": str(endpoint.id), "count": count})


def _due_again(turn: Turn, outcome: Outcome) -> datetime:
    """At once for the one behind, where this one was given up."""
    if outcome.is_gone or turn.since <= _long_ago("webhook_retry_hours"):
        return clock.now()
    return clock.now() + max(pause(turn.attempts + 1, LONGEST_PAUSE), outcome.wait)


# -- the endpoint ------------------------------------------------------------------------------------


def _recovered(endpoint: WebhookEndpoint) -> bool:
    """Note that it is well; whether it had failed as a whole. A success a second is noted, no more."""
    now = clock.now()
    is_noted = endpoint.last_success_at is not None and now - endpoint.last_success_at < _NOTED_EVERY
    if is_noted and not endpoint.failures and endpoint.gave_up_at is None:
        return False
    rows = WebhookEndpoint.objects.filter(id=endpoint.id)
    well = {"failures": 0, "strikes": 0, "failing_since": None, "gave_up_at": None, "last_success_at": now}
    if rows.filter(strikes__gte=STRIKES).update(held_until=None, **well):
        return True
    rows.update(**well)
    return False


def _struck(turn: Turn, outcome: Outcome) -> WebhookEndpoint:
    """Note the failure. A fresh event that fails is a strike, and so is any once the endpoint fails as a whole."""
    now = clock.now()
    rows = WebhookEndpoint.objects.filter(id=turn.claim.endpoint_id)
    is_held = lines.is_held(rows.select_for_update().get())
    rows.update(
        failures=F("failures") + 1,
        failing_since=Coalesce(F("failing_since"), now),
        last_failure_at=now,
        last_failure=outcome.word,
    )
    endpoint = rows.get()
    if not is_held:
        endpoint.held_until = now
    if not is_held and (turn.attempts == 0 or endpoint.strikes >= STRIKES):
        endpoint.strikes += 1
        hold = pause(endpoint.strikes - 1, LONGEST_HOLD) if endpoint.strikes >= STRIKES else timedelta(0)
        endpoint.held_until = now + hold
    if outcome.wait:
        endpoint.held_until = max(now + outcome.wait, endpoint.held_until or now)
    rows.update(strikes=endpoint.strikes, held_until=endpoint.held_until)
    return endpoint


def pause(attempts: int, longest: timedelta) -> timedelta:
    """Doubling from five seconds, never above `longest`, with jitter so that many do not return as one."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 20)
    return min(longest, doubled) * random.uniform(0.5, 1.0)  # noqa: S311


def _long_ago(setting: str) -> datetime:
    hours: int = getattr(config.current(), setting)
    return clock.now() - timedelta(hours=hours)
