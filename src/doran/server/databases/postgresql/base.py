"""Django's backend for PostgreSQL: connections are tried before they are taken up again, and wait with an end."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import psycopg
from django.db.backends.postgresql import base
from django.utils.asyncio import async_unsafe

from doran.kernel import deadline
from doran.server.databases.waking import Waking

CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30


class Connection(psycopg.Connection[Any]):
    """A connection that waits for each answer no longer than the call it is used for may take.

    libpq has no time-out for an answer, and a frozen server's TCP goes on acknowledging: without this a
    statement would wait until the server goes on.
    """

    longest: float = ANSWER_SECONDS

    def wait(self, gen: Generator[Any, Any, Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, timeout or deadline.seconds_left(self.longest))
        except psycopg.OperationalError as wrong:
            if wrong.sqlstate is None:  # the server has not said this: its answer may still come
                self.pgconn.finish()
            raise


class DatabaseWrapper(Waking, base.DatabaseWrapper):
    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        longest = conn_params.pop("answer_seconds", ANSWER_SECONDS)
        wanted = {**conn_params, "connect_timeout": int(deadline.seconds_left(CONNECT_SECONDS))}
        connection = super().get_new_connection(wanted)
        connection.__class__ = Connection  # Django names no class of connections, only one of cursors
        connection.longest = longest
        return connection  # type: ignore[no-any-return]
