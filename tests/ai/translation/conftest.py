"""The vendors' servers as their documentation describes them, on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.translators import Translators, translators


@pytest.fixture
def them() -> Iterator[Translators]:
    with translators() as them:
        yield them
