"""Servers for the quarter: begun once, private, on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import haproxy
from tests.servers.databases import MariaDB


@pytest.fixture
def database() -> Iterator[MariaDB]:
    """A MariaDB of our own, running and empty."""
    if missing := MariaDB.missing() or haproxy.missing():
        pytest.skip(missing)
    server = MariaDB()
    server.start()
    yield server
    server.remove()
