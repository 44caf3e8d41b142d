"""Chat processes on one database: each renews a row while it lives, so that an operator's command finds them.

A process that shares the database with others is also a node of the feed (`feed.py`), with the same row.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.db import connections
from django.db.models.functions import Now

from doran.chat.models import Node
from doran.chat.writer import DATABASE

RENEW_SECONDS: Final = 10.0
ALIVE_SECONDS: Final = 3 * RENEW_SECONDS
"""A row that was renewed within this time may belong to a process that lives."""
_LOOK_SECONDS: Final = 0.5


def has_server() -> bool:
    """Whether the database is on a server. A SQLite file is locked by its one process instead."""
    return connections[DATABASE].vendor != "sqlite"


def create() -> int:
    """Add the row of this process; return its id."""
    return Node.objects.using(DATABASE).create(name=_name()).id


def renew(node: int) -> None:
    """Say that this process lives; also where it stood still for so long that it was forgotten."""
    mine = Node.objects.using(DATABASE)
    if not mine.filter(id=node).update(renewed_at=Now(), is_missed=False):
        mine.create(id=node, name=_name())


def remove(node: int) -> None:
    """Take back the row of a process that noted nothing in the feed."""
    Node.objects.using(DATABASE).filter(id=node).delete()


def living(*, waiting: Callable[[], None] = lambda: None) -> list[str]:
    """Return the names of the processes with this database if any of them lives; also of those that ended just now.

    Rows that were renewed lately are watched until one is renewed again, or all have been silent for `ALIVE_SECONDS`;
    `waiting` is called before. All moments are those of the database's clock.
    """
    seen = _lately()
    if seen:
        waiting()
    until = time.monotonic() + ALIVE_SECONDS
    while seen and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        now = _lately()
        if any(seen.get(node) != row for node, row in now.items()):
            return sorted(name for name, _ in now.values())
        seen = now
    return []


def _name() -> str:
    """Where to find this process."""
    return f"{socket.gethostname()[:48]}:{os.getpid()}"


def _lately() -> dict[int, tuple[str, object]]:
    rows = Node.objects.using(DATABASE).filter(renewed_at__gt=Now() - timedelta(seconds=ALIVE_SECONDS))
    return {node: (name or f"process {node}", at) for node, name, at in rows.values_list("id", "name", "renewed_at")}
