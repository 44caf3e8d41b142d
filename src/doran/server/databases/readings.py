"""What an open database says of itself: whether a commit survives a power failure, and what our account may do.

Each reading gives sentences that say what to change; none when all is well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

# What a commit needs to be on the disk, by the name that the server knows it by.
_MYSQL: Final[Mapping[str, tuple[str, ...]]] = {
    "innodb_flush_log_at_trx_commit": ("1",),
    "innodb_doublewrite": ("ON", "1", "DETECT_AND_RECOVER"),
}
_POSTGRESQL: Final[Mapping[str, tuple[str, ...]]] = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
}
_SQLITE: Final[Mapping[str, tuple[str, ...]]] = {"journal_mode": ("wal", "delete"), "synchronous": ("2", "3")}


def undurable(connection: BaseDatabaseWrapper) -> list[str]:
    """Settings under which an acknowledged message could be lost with the power."""
    return list(_undurable(connection))


def _undurable(connection: BaseDatabaseWrapper) -> Iterator[str]:
    if connection.vendor == "mysql":
        yield from _wrong(_MYSQL, {name: _variable(connection, name) for name in _MYSQL})
        if _variable(connection, "log_bin") in ("ON", "1"):
            yield from _wrong({"sync_binlog": ("1",)}, {"sync_binlog": _variable(connection, "sync_binlog")})
        if _variable(connection, "innodb_flush_method").lower() in ("nosync", "littlesync"):
            yield "innodb_flush_method does not flush: take it out of the configuration, or what was acknowledged can be lost"
        if _variable(connection, "wsrep_on") == "ON":
            yield "wsrep_on is ON: Galera was seen to lose committed transactions; use one primary with replicas"
    elif connection.vendor == "postgresql":
        yield from _wrong(_POSTGRESQL, {name: _one(connection, f"SHOW {name}") for name in _POSTGRESQL})
    else:
        yield from _wrong(_SQLITE, {name: _one(connection, f"PRAGMA {name}") for name in _SQLITE})


def _wrong(safe: Mapping[str, tuple[str, ...]], found: Mapping[str, str]) -> Iterator[str]:
    for name, value in found.items():
        if value not in safe[name]:
            yield f"{name} is {value or 'unknown'}: set it to {safe[name][0]}, or what was acknowledged can be lost"


def too_mighty(connection: BaseDatabaseWrapper) -> list[str]:
    """Rights that our account has beyond its own database."""
    if connection.vendor == "mysql":
        grants = [str(row[0]) for row in _rows(connection, "SHOW GRANTS FOR CURRENT_USER()")]
        mighty = any(" ON *.* " in grant and not grant.startswith("GRANT USAGE ") for grant in grants)
        return (
            ["the account has rights on every database: give it only its own (docs/guides/deploy.md)"] if mighty else []
        )
    if connection.vendor == "postgresql":
        roles = "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
        return (
            ["the account is an administrator: give it only its own database"] if _rows(connection, roles)[0][0] else []
        )
    return []


def seconds_ahead(connection: BaseDatabaseWrapper, now: float) -> float:
    """How far the clock of the database is ahead of `now`, in seconds; 0 where it has none of its own."""
    asked = {
        "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
        "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    }.get(connection.vendor)
    return float(_rows(connection, asked)[0][0]) - now if asked else 0.0


def _variable(connection: BaseDatabaseWrapper, name: str) -> str:
    rows = _rows(connection, f"SHOW GLOBAL VARIABLES LIKE '{name}'")
    return str(rows[0][1]) if rows else ""


def _one(connection: BaseDatabaseWrapper, statement: str) -> str:
    return str(_rows(connection, statement)[0][0])


def _rows(connection: BaseDatabaseWrapper, statement: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
