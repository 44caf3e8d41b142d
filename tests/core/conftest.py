"""Core alone: a fresh database for each story, and people who speak REST to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from django.test import override_settings

from doran.core import keys, passwords
from doran.kernel import auth, clock, config
from tests import stores
from tests.clock import Hands
from tests.core.people import Person

SECRET = "a secret of the tests, long enough to seal what must be sealed"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The URL of core's own, empty database."""
    yield stores.settle("core", tmp_path)
    stores.point("core", None)


Settings = Callable[..., config.Config]


@pytest.fixture
def settings() -> Iterator[Settings]:
    """Change settings for this story: `settings(signup="closed")`."""
    before = config.current()
    plenty = dict.fromkeys(
        ("signups_per_minute", "logins_per_minute", "lookups_per_minute", "requests_per_second"), 1000000
    )
    values = {
        "secret_key": SECRET,
        "services": ("core",),
        "public_url": "https://chat.example.test",
        "failed_logins_per_minute": 10,
        **plenty,
    }
    config.use(config.load({}).replace(**values))

    def change(**more: object) -> config.Config:
        config.use(config.current().replace(**more))
        return config.current()

    yield change
    config.use(before)


@pytest.fixture
def core(database: str, settings: Settings) -> Iterator[None]:
    """Core as it stands after its start, but with a hash that costs next to nothing."""
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    passwords.use(passwords.Passwords(quick))
    keys.forget()
    keys.ensure()
    auth.use(auth.verifier(config.current(), own_keys=keys.published))
    with override_settings(ROOT_URLCONF="doran.core.urls"):
        yield
    auth.use(None)
    keys.forget()
    passwords.use(None)


@pytest.fixture
def minji(core: None) -> Person:
    return Person("민지", password="봄비가 내리는 밤")


@pytest.fixture
def junho(core: None) -> Person:
    return Person("준호", password="junho likes tall trees")


@pytest.fixture
def sora(core: None) -> Person:
    """The outsider."""
    return Person("sora", password="nobody knows sora well")


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    moved = Hands()
    monkeypatch.setattr(clock, "now", moved.now)
    return moved
