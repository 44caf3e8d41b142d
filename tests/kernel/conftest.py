"""A service of our own for the kernel's tests: a real SQLite file, opened as Doran opens its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connections, router

from doran.contracts.events import PRODUCERS
from doran.kernel import faults
from doran.kernel.outbox import relay
from doran.server import databases
from tests.kernel import shop


class _Router:
    """The tests' tables live in the tests' database; everybody else's are at home where they were."""

    def db_for_write(self, model: object, **_hints: object) -> str | None:
        return shop.LABEL if model._meta.app_label == shop.LABEL else None  # type: ignore[attr-defined]

    db_for_read = db_for_write


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A fresh database file with the shop's tables."""
    opened = {**databases._sqlite(tmp_path / "shop.sqlite3"), "CONN_MAX_AGE": None}
    whole = connections.configure_settings({"default": {"ENGINE": "django.db.backends.dummy"}, shop.LABEL: opened})
    connections.settings[shop.LABEL] = whole[shop.LABEL]
    monkeypatch.setattr(router, "routers", [_Router(), *router.routers])
    monkeypatch.setitem(PRODUCERS, shop.LABEL, PRODUCERS["chat"] + PRODUCERS["core"])  # type: ignore[arg-type]
    with connections[shop.LABEL].schema_editor() as editor:
        for model in shop.MODELS:
            editor.create_model(model)
    yield shop.LABEL
    connections[shop.LABEL].close()
    del connections[shop.LABEL]
    del connections.settings[shop.LABEL]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed may be tried again at once."""
    monkeypatch.setattr(relay, "_backoff", lambda attempts, longest: 0.0)


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
