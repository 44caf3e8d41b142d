"""Django's backend for MySQL and MariaDB, strict and byte-exact, with one round trip less for each transaction."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any, Final

import pymysql

pymysql.install_as_MySQLdb()

from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: E402  Django's backend takes MySQLdb from above
from django.db.backends.mysql import base, schema  # noqa: E402
from django.utils.asyncio import async_unsafe  # noqa: E402

from doran.kernel import deadline  # noqa: E402
from doran.server.databases.waking import Waking  # noqa: E402

# A server that says nothing for so long counts as gone; what it holds for us it lets go by itself.
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30
LOCK_SECONDS: Final = 20
IDLE_SECONDS: Final = 60

STRICT: Final = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


class Connection(pymysql.Connection):  # type: ignore[misc]
    """A connection that waits for each answer no longer than the call it is used for may take."""

    def __init__(self, **wanted: Any) -> None:
        self._longest: float = wanted.pop("answer_seconds", ANSWER_SECONDS)
        super().__init__(**wanted)

    def connect(self, sock: Any = None) -> None:
        self._allow()
        self.connect_timeout = min(CONNECT_SECONDS, self._read_timeout)
        super().connect(sock)

    def _execute_command(self, command: int, sql: str | bytes) -> None:
        self._allow()
        super()._execute_command(command, sql)

    def _allow(self) -> None:
        self._read_timeout = self._write_timeout = deadline.seconds_left(self._longest)

    def _create_ssl_ctx(self, sslp: Any) -> ssl.SSLContext:
        """The driver would read every authority of this machine for each connection, and then trust anybody."""
        return sslp if isinstance(sslp, ssl.SSLContext) else _unverified()


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class SchemaEditor(schema.DatabaseSchemaEditor):
    """Every table compares text byte by byte and to its end, whatever the database was created with."""

    connection: DatabaseWrapper

    @property
    def sql_create_table(self) -> str:  # type: ignore[override]
        return (
            "CREATE TABLE %(table)s (%(definition)s)"
            f" ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {self.connection.collation}"
        )


class DatabaseWrapper(Waking, base.DatabaseWrapper):
    SchemaEditorClass = SchemaEditor

    @property
    def collation(self) -> str:
        """By code point, trailing blanks included; the plain `utf8mb4_bin` would take `a` and `a ` for the same."""
        return "utf8mb4_nopad_bin" if self.mysql_is_mariadb else "utf8mb4_0900_bin"

    def get_connection_params(self) -> dict[str, Any]:
        wanted: dict[str, Any] = super().get_connection_params()
        return {"autocommit": True, **_secured(**wanted.pop("tls")), **wanted}

    @async_unsafe
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        return Connection(**conn_params)

    def init_connection_state(self) -> None:
        BaseDatabaseWrapper.init_connection_state(self)
        session = [f"collation_connection = {self.collation}", f"sql_mode = '{STRICT}'"]
        session.append(f"innodb_lock_wait_timeout = {LOCK_SECONDS}")
        if self.mysql_is_mariadb:
            session.append(f"idle_write_transaction_timeout = {IDLE_SECONDS}")
        with self.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(f"SET SESSION {', '.join(session)}")

    def _start_transaction_under_autocommit(self) -> None:
        """Django would switch autocommit off and on again, at one round trip each."""
        with self.cursor() as cursor:
            cursor.execute("START TRANSACTION")


def _secured(mode: str, **files: str) -> dict[str, Any]:
    """How the driver is told what TLS is wanted."""
    if mode in ("DISABLED", "PREFERRED"):
        return {"ssl_disabled": mode == "DISABLED"}
    return {"ssl": _context(mode, **files)}


@cache
def _context(mode: str, *, ca: str | None = None, cert: str | None = None, key: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the authority that MySQL makes for itself would not pass
    context.check_hostname = mode == "VERIFY_IDENTITY"
    context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("VERIFY") else ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context
