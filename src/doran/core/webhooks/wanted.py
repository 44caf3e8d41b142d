"""Which event types some endpoint asks for. While none does, nothing is recorded and hardly anything paid."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from doran.contracts.events import EVENTS, WebhookTest
from doran.core.models import WebhookEndpoint
from doran.kernel import redaction

ALL: Final = "*"
OFFERED: Final = frozenset(EVENTS) - {WebhookTest.NAME}


def named(event_types: str) -> frozenset[str]:
    """The types that an endpoint's `event_types` stand for."""
    return OFFERED if event_types == ALL else frozenset(event_types.split())


class Wanted(Collection[str]):
    """A live set: asked, the types that are wanted now; iterated, all that ever may be.

    Deletions belong to it as soon as anything does: they empty what was recorded. Before the first look
    everything is wanted, so that nothing which waited for a start is missed.
    """

    def __init__(self) -> None:
        self._now: frozenset[str] = frozenset(EVENTS)

    def refresh(self) -> None:
        """Look at the endpoints anew."""
        asked = frozenset[str]().union(*map(named, WebhookEndpoint.objects.values_list("event_types", flat=True)))
        self._now = asked | redaction.DELETIONS if asked else asked

    def __contains__(self, event_type: object) -> bool:
        return event_type in self._now

    def __iter__(self) -> Iterator[str]:
        return iter(EVENTS)

    def __len__(self) -> int:
        return len(EVENTS)


wanted: Final = Wanted()
