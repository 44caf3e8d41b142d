"""Empty databases for tests, on the engine that `DORAN_TEST_DATABASE` names: sqlite (by default), mysql, postgresql,
pgvector, which is PostgreSQL with that extension.

MariaDB stands for both of its kind. The server is private and begun once for all processes of a test run; each
process has databases of its own there, whose tables are made once and emptied before each test.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connections

from doran.server import databases
from doran.server.databases.address import Address
from tests import folders
from tests.servers.databases import MariaDB, PgVector, PostgreSQL, Server

WANTED = os.environ.get("DORAN_TEST_DATABASE", "sqlite")
ENGINE = "postgresql" if WANTED == "pgvector" else WANTED
SERVERS: dict[str, type[Server]] = {"mysql": MariaDB, "postgresql": PostgreSQL, "pgvector": PgVector}
ALWAYS_THERE = {"mysql": "mysql", "postgresql": "postgres"}
WITHOUT_KEYS = {"mysql": "SET foreign_key_checks = 0", "postgresql": "SET session_replication_role = replica"}
_SERVER = "TEST_RUN_DATABASES"  # by this name the first process of a run tells the others where its server is

Make = Callable[[str], None]


def begin() -> None:
    """Have the server of this test run; to be called before the run is shared among processes."""
    if WANTED in SERVERS and _SERVER not in os.environ:
        assert not (missing := SERVERS[WANTED].missing()), missing
        server = SERVERS[WANTED]()
        server.start()
        os.environ[_SERVER] = server.url("{}")


def url(service: str, folder: Path) -> str:
    """Where this process keeps the database of a service; a file is in `folder`, a server needs none."""
    if ENGINE == "sqlite":
        return f"sqlite://{folder / service}.sqlite3"
    return os.environ[_SERVER].format(f"{service}_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}")


def settle(service: str, folder: Path, make: Make | None = None) -> str:
    """An empty database with all its tables, where every new connection of the service goes from now on; its URL.

    `make` makes the tables, once; by default Doran's migrations do.
    """
    here = url(service, folder)
    if ENGINE == "sqlite":
        shutil.copy(_file(service, make or _migrate), folder / f"{service}.sqlite3")
    else:
        _there(service, here, make or _migrate)
        _empty(here)
    point(service, here)
    return here


def move_in(service: str, where: str) -> str:
    """A database that a test has of its own: Doran's tables are made there, and new connections go there."""
    point(service, where)
    _migrate(service)
    return where


def point(service: str, where: str | None) -> None:
    """New connections of this service go there, or nowhere any more; this thread's old one is closed."""
    if hasattr(connections._connections, service):  # type: ignore[attr-defined]
        connections[service].close()
        del connections[service]
    if where is None:
        connections.settings.pop(service, None)
    else:
        opened = databases.opened(where, "the tests")
        known = {"default": {"ENGINE": "django.db.backends.dummy"}, service: opened}
        connections.settings[service] = connections.configure_settings(known)[service]
        _speak(opened["ENGINE"])


_spoken = ""


def _speak(engine: str) -> None:
    """A real process knows one engine for life, and remembers its statements; here it may change between tests."""
    global _spoken
    if engine != _spoken:
        for name, module in list(sys.modules.items()):
            for found in list(vars(module).values()) if name.startswith("doran.") else ():
                if hasattr(found, "cache_clear"):
                    found.cache_clear()
    _spoken = engine


def say(where: str, statement: str) -> list[dict[str, Any]]:
    """One statement of a program beside the house, and its rows."""
    cursor = _beside(where).cursor()
    cursor.execute(statement)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in (cursor.fetchall() if names else ())]


def tables(where: str) -> list[str]:
    """The names of all tables there."""
    if ENGINE == "sqlite":
        found = say(where, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    else:
        mine = "database()" if ENGINE == "mysql" else "'public'"
        found = say(where, f"SELECT table_name AS name FROM information_schema.tables WHERE table_schema = {mine}")
    return sorted(row["name"] for row in found)


Copy = dict[str, list[dict[str, Any]]]


def copied(where: str) -> Copy:
    """Everything that is stored there."""
    return {table: say(where, f"SELECT * FROM {table}") for table in _own_tables(where)}


def put_back(where: str, copy: Copy) -> None:
    """Everything is again as it was when it was copied."""
    _empty(where)
    cursor, mark = _beside(where).cursor(), "?" if ENGINE == "sqlite" else "%s"
    quote = "`" if ENGINE == "mysql" else '"'
    for table, rows in copy.items():
        for row in rows:
            names, marks = (", ".join(some) for some in ([f"{quote}{name}{quote}" for name in row], [mark] * len(row)))
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


# -- making and emptying -------------------------------------------------------------------------


def _migrate(service: str) -> None:
    call_command("migrate", service, database=service, verbosity=0, skip_checks=True)


@cache
def _file(service: str, make: Make) -> Path:
    """A SQLite file with all tables, made once and copied ever after."""
    path = folders.lasting("doran-template-") / f"{service}.sqlite3"
    point(service, f"sqlite://{path}")
    make(service)
    with connections[service].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    point(service, None)
    return path


@cache
def _there(service: str, where: str, make: Make) -> None:
    """The same on the server."""
    name = Address.of(where, variable="the tests").name
    _say_once(os.environ[_SERVER].format(ALWAYS_THERE[ENGINE]), f"CREATE DATABASE {name}")
    point(service, where)
    make(service)
    point(service, None)


@cache
def _own_tables(where: str) -> list[str]:
    return [name for name in tables(where) if name != "django_migrations"]


def _empty(where: str) -> None:
    for table in _own_tables(where):
        say(where, f"DELETE FROM {table}")


# -- beside the house ------------------------------------------------------------------------------


def _beside(where: str) -> Any:
    return (
        sqlite3.connect(where.removeprefix("sqlite://"), isolation_level=None) if ENGINE == "sqlite" else _kept(where)
    )


@cache
def _kept(where: str) -> Any:
    connection = _connected(where)
    connection.cursor().execute(WITHOUT_KEYS[ENGINE])
    return connection


def _say_once(where: str, statement: str) -> None:
    connection = _connected(where)
    connection.cursor().execute(statement)
    connection.close()


def _connected(where: str) -> Any:
    if ENGINE == "postgresql":
        import psycopg

        return psycopg.connect(where, autocommit=True)
    import pymysql

    at = Address.of(where, variable="the tests")
    there = {"host": at.host, "port": at.port, "user": at.user, "password": at.password, "database": at.name}
    return pymysql.connect(**there, autocommit=True, ssl_disabled=True)
