"""Of many copies that start together one changes the tables; the others wait, and find it done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from doran.server.exits import Refused

PATIENCE: Final = 600.0
_PAUSE: Final = 0.5
_LONG: Final = 86_400

# Asked again and again, for to wait in the server would end with the time-outs of our connections.
_TAKE: Final[Mapping[str, str]] = {
    "mysql": "SELECT GET_LOCK(SHA1(CONCAT('doran ', DATABASE())), 0)",
    "postgresql": "SELECT pg_try_advisory_lock(7130)",
}
_GIVE: Final[Mapping[str, str]] = {
    "mysql": "SELECT RELEASE_LOCK(SHA1(CONCAT('doran ', DATABASE())))",
    "postgresql": "SELECT pg_advisory_unlock(7130)",
}


@contextmanager
def alone(service: str) -> Iterator[None]:
    """Hold a lock that ends with the connection. A SQLite file belongs to one server, and needs none.

    Raises `Refused` when somebody else has held it for ten minutes.
    """
    connection = connections[service]
    if connection.vendor not in _TAKE:
        yield
        return
    with _patient(connection):
        _until(lambda: _one(connection, _TAKE[connection.vendor]), service)
        try:
            yield
        finally:
            _one(connection, _GIVE[connection.vendor])


def _until(true: Callable[[], Any], service: str) -> None:
    until = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > until:
            raise Refused("bad_database", f"Another Doran has been changing {service}'s tables for ten minutes.")
        time.sleep(_PAUSE)


@contextmanager
def _patient(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """To change a large table may take long: here no answer is late."""
    options = connection.settings_dict["OPTIONS"]
    connection.close()
    options["answer_seconds"] = _LONG
    try:
        yield
    finally:
        options.pop("answer_seconds", None)
        connection.close()


def _one(connection: BaseDatabaseWrapper, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    return row[0] if row else None
