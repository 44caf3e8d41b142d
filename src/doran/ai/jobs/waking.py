"""News for whoever works in this process: a job waits, or one that runs was cancelled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from uuid import UUID

_wakers: list[Callable[[UUID | None], None]] = []


def when_news(wake: Callable[[UUID | None], None]) -> Callable[[], None]:
    """Call `wake` with the job that ended from outside, or with None for a new one; returns what takes that back."""
    _wakers.append(wake)
    return partial(_wakers.remove, wake)


def news(ended: UUID | None = None) -> None:
    for wake in list(_wakers):
        wake(ended)
