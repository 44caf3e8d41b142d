"""Ports for servers of tests.

Not those that the system gives to whoever connects: between the look and the server's start, one of the many connections
of other tests could get the very port. Nor by the dice that pytest-randomly sets alike in every process.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

_FIRST: Final = 12_000
_dice = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A port of this machine that nobody listens on just now, given once."""
    while (port := _dice.randrange(_FIRST, _end())) in _given or not _is_free(port):
        pass
    _given.add(port)
    return port


def _end() -> int:
    """Where those begin that the system gives."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
