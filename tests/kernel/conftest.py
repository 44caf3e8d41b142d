"""A service of our own for the kernel's tests: a real SQLite file, opened as Doran opens its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import router

from doran.contracts.events import PRODUCERS
from doran.kernel import faults
from doran.kernel.outbox import relay
from tests import stores
from tests.kernel import shop


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with the shop's tables, and nothing in them."""
    monkeypatch.setattr(router, "routers", [shop.Router(), *router.routers])
    monkeypatch.setitem(PRODUCERS, shop.LABEL, shop.SAYS)  # type: ignore[arg-type]
    stores.settle(shop.LABEL, tmp_path, shop.make_tables)
    yield shop.LABEL
    stores.point(shop.LABEL, None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed may be tried again at once."""
    monkeypatch.setattr(relay, "backoff", lambda attempts, longest: 0.0)


class Crash(BaseException):
    """Stands for the end of the process: no code of ours catches it on purpose."""


@pytest.fixture
def crash_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Crash the next time this fault point is passed, once."""
    armed: set[str] = set()

    def hit(name: str) -> None:
        assert name in faults.FAULT_POINTS
        if name in armed:
            armed.remove(name)
            raise Crash(name)

    monkeypatch.setattr(faults, "hit", hit)
    return armed.add
