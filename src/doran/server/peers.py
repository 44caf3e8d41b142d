"""Connections by peer: a bound on all of them, and a share of it for each address.

Counted where TCP ends. A trusted proxy carries everybody's connections and has no share.
"""

from __future__ import annotations

import resource
from collections import Counter
from functools import cache
from typing import Final

from doran.kernel import addresses, config, telemetry

OWN_FILES: Final = 256
"""Descriptors kept for databases, logs and other services."""
SHARE: Final = 4
"""One address may hold a quarter of all connections."""


def raise_file_limit() -> None:
    """Use as many descriptors as this process may have: the usual soft limit of 1,024 is for programs of 1990."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most_connections.cache_clear()


@cache
def most_connections() -> int:
    """Return how many connections may be open at a time, in whatever state they are."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - OWN_FILES, soft // 2)


class Peers:
    """Open connections, counted by address. Used from the event loop only."""

    def __init__(self) -> None:
        self.total = 0
        self._by_address: Counter[str] = Counter()

    def join(self, peer: str) -> bool:
        """Count one more connection of this peer, and return whether there is room. It is to leave either way."""
        key = addresses.share_key(peer)
        self.total += 1
        self._by_address[key] += 1
        if self.total > most_connections():
            telemetry.rate_limited("connections")
            return False
        if self._by_address[key] > most_connections() // SHARE and not _is_proxy(peer):
            telemetry.rate_limited("connections_per_address")
            return False
        return True

    def leave(self, peer: str) -> None:
        """Count one connection less of this peer."""
        key = addresses.share_key(peer)
        self.total -= 1
        self._by_address[key] -= 1
        if not self._by_address[key]:
            del self._by_address[key]


def _is_proxy(peer: str) -> bool:
    return addresses.is_trusted(peer, trusted=config.current().trusted_proxies)


peers: Final = Peers()
