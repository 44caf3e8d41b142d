"""The switch: one row by which the operator stops everything at once, in every process."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from doran.ai.models import Outbox, Switch
from doran.contracts.events import AiSwitched
from doran.kernel import clock

DATABASE: Final = "ai"
NAME: Final = "ai"


def is_off() -> bool:
    """Looked up each time, so that it holds at once everywhere."""
    return Switch.objects.filter(id=1, is_off=True).exists()


def turn(*, off: bool) -> None:
    """Off: nothing more is asked or begun; what runs is stopped at its next door. On: as before.

    Whoever may be reading a page hears of it by the event, since the operator's command is a process of its own.
    """
    now = clock.now()
    with transaction.atomic(using=DATABASE):
        Switch.objects.update_or_create(id=1, defaults={"is_off": off, "changed_at": now})
        Outbox.add(AiSwitched(NAME, off, clock.rfc3339(now)))
