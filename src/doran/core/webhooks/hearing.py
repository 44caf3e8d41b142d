"""Core's ear for webhooks: every event of all services that some endpoint asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from doran.contracts.events import EVENTS, Envelope, Event
from doran.core.models import DeadLetter, Inbox
from doran.core.webhooks import owing
from doran.core.webhooks.wanted import wanted
from doran.core.webhooks.writing import together
from doran.kernel.inbox import Consumer, Outcome

SUBSCRIPTION: Final = "webhooks"


@dataclass(frozen=True)
class Ear(Consumer):
    """Hears what is wanted, and pays nothing for the rest."""

    def event_types(self) -> Collection[str]:
        return wanted

    def handle(self, envelope: Envelope) -> Outcome:
        return super().handle(envelope) if envelope.event_type in wanted else Outcome.UNASKED


def ear() -> Ear:
    """The consumer to be attached to the bus."""
    handlers = dict.fromkeys(EVENTS, owing.record)
    return Ear(SUBSCRIPTION, handlers, Inbox, DeadLetter, together, given=_whole, forgets=owing.forget)


def _whole(envelope: Envelope, _event: Event) -> Envelope:
    return envelope
