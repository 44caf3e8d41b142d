"""Webhooks in a hurry: retries come soon, and the clock may be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from doran.core.webhooks import lines, settling
from doran.kernel import clock, worker
from tests.clock import Hands
from tests.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def other() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again after some milliseconds."""
    monkeypatch.setattr(settling, "FIRST_PAUSE", timedelta(milliseconds=20))
    monkeypatch.setattr(settling, "LONGEST_PAUSE", timedelta(milliseconds=40))
    monkeypatch.setattr(settling, "LONGEST_HOLD", timedelta(milliseconds=40))
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.02)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """The hands of the clock."""
    moved = Hands()
    monkeypatch.setattr(clock, "now", moved.now)
    return moved


@pytest.fixture
def later(hands: Hands) -> Callable[..., None]:
    """Time goes by, and the worker looks what became due."""

    def go_by(**by: float) -> None:
        hands.move(**by)
        lines.news()

    return go_by
