"""Django's backend for MySQL and MariaDB, strict and byte-exact, with one round trip less for each transaction."""

from __future__ import annotations

import ssl
from typing import Any, Final

try:
    import MySQLdb
except ImportError:
    import pymysql

    pymysql.install_as_MySQLdb()
    import MySQLdb

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.mysql import base, schema

from doran.server.databases.waking import Waking

# A server that says nothing for so long counts as gone; what it holds for us it lets go by itself.
CONNECT_SECONDS: Final = 5
ANSWER_SECONDS: Final = 30
LOCK_SECONDS: Final = 20
IDLE_SECONDS: Final = 60

STRICT: Final = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"


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
        return {
            "autocommit": True,
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": ANSWER_SECONDS,
            "write_timeout": ANSWER_SECONDS,
            **_secured(**wanted.pop("tls")),
            **wanted,
        }

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
    """How the driver in use is told what TLS is wanted."""
    if MySQLdb.__name__ == "MySQLdb":
        return {"ssl_mode": mode, "ssl": files, "multi_statements": False}
    if mode in ("DISABLED", "PREFERRED"):
        return {"ssl_disabled": mode == "DISABLED"}
    return {"ssl": _context(mode, **files)}


def _context(mode: str, *, ca: str | None = None, cert: str | None = None, key: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the authority that MySQL makes for itself would not pass
    context.check_hostname = mode == "VERIFY_IDENTITY"
    context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("VERIFY") else ssl.CERT_NONE
    if cert is not None:
        context.load_cert_chain(cert, key)
    return context
