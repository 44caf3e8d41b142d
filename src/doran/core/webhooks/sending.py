"""One attempt: an event as a signed request, and what its answer means."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from doran import __version__
from doran.contracts.events import Envelope, cloud_event
from doran.core.webhooks import signing
from doran.core.webhooks.lines import Turn
from doran.kernel import clock, config, telemetry
from doran.kernel.config import BadSetting
from doran.kernel.outward import Answer, Failed, NotAllowed, Outward, rules, target

_LONGEST_WAIT: Final = timedelta(hours=24)
_MOST_READ: Final = 16 * 1024  # read so that the connection can be used again; nothing of it is kept
_BUSY: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Outcome:
    """`word` is a status, or our own word for why none came. `wait` is what a busy receiver asks for."""

    word: str
    is_taken: bool = False
    is_gone: bool = False
    wait: timedelta = timedelta(0)


async def send(outward: Outward, turn: Turn) -> Outcome:
    """Send it once. Never raises for what the other side does."""
    began = time.monotonic()
    try:
        outcome = _judged(await _sent(outward, turn))
    except NotAllowed:
        outcome = Outcome("not_allowed")
    except Failed as wrong:
        outcome = Outcome(wrong.reason)
    except BadSetting:
        outcome = Outcome("secret_unreadable")
    telemetry.webhook_attempted(outcome.word, time.monotonic() - began)
    return outcome


async def _sent(outward: Outward, turn: Turn) -> Answer:
    envelope = msgspec.json.decode(turn.envelope, type=Envelope)
    body = cloud_event(envelope)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Doran/{__version__}",
        "traceparent": telemetry.traceparent(envelope.trace_id),
        **signing.headers(turn.event_id, body, [signing.opened(one) for one in turn.secrets], clock.now()),
    }
    where = target(turn.endpoint.url, rules(config.current()))
    return await outward.call("POST", where, headers=headers, body=body, most_bytes=_MOST_READ)


def _judged(answer: Answer) -> Outcome:
    status = answer.status
    wait = _retry_after(answer.headers.get("retry-after", "")) if status in _BUSY else timedelta(0)
    return Outcome(str(status), is_taken=200 <= status < 300, is_gone=status == 410, wait=wait)


def _retry_after(said: str) -> timedelta:
    """Seconds or a date (RFC 9110), within a day; nothing where it is neither."""
    try:
        wait = timedelta(seconds=int(said)) if said.isdigit() else parsedate_to_datetime(said) - clock.now()
    except (ValueError, TypeError, OverflowError):
        return timedelta(0)
    return min(max(wait, timedelta(0)), _LONGEST_WAIT)
