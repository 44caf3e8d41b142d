"""Servers for the quarter: begun once, private, on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import haproxy
from tests.servers.databases import MariaDB, private_database


@pytest.fixture
def database() -> Iterator[MariaDB]:
    """A MariaDB of our own, running and empty."""
    if missing := haproxy.missing():
        pytest.skip(missing)
    with private_database(MariaDB) as server:
        yield server
