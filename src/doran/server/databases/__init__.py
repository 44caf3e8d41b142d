"""Which database belongs to which service, and how each engine is opened.

`default` is Django's dummy backend on purpose: a bare `atomic()` or query that names no database
fails loudly instead of opening the wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from doran.kernel.config import SETTINGS, BadSetting, Config
from doran.server import admin
from doran.server.databases import mysql, postgresql, sqlite
from doran.server.databases.address import Address

SERVICES = ("core", "chat", "ai")
MOVING: Final = "doran_move"
"""The table that marks a database into which a deployment has only half moved."""

Opened = dict[str, Any]
ENGINES: Final[Mapping[str, Callable[[Address], Opened]]] = {
    "sqlite": sqlite.opened,
    "mysql": mysql.opened,
    "mariadb": mysql.opened,
    "postgresql": postgresql.opened,
}


def databases(config: Config) -> dict[str, Opened]:
    """Django's DATABASES for the services that run in this process. Raises `BadSetting`."""
    default = {"ENGINE": "django.db.backends.dummy"}
    return {"default": default, **{name: database(name, config) for name in config.services}}


def database(service: str, config: Config) -> Opened:
    """How one service's database is opened: by its URL, or as a file in the data folder."""
    setting = SETTINGS[f"{service}_database"]
    url = getattr(config, setting.name)
    return opened(url, setting.variable) if url else _kept(sqlite.file(Path(config.data) / f"{service}.sqlite3"))


def opened(url: str, variable: str) -> Opened:
    """What Django needs to open the database of this URL, which is the value of `variable`. Raises `BadSetting`."""
    address = Address.of(url, variable=variable)
    if address.engine not in ENGINES:
        raise BadSetting(f"{variable}: it must begin with one of {', '.join(f'{name}://' for name in ENGINES)}")
    return _kept(ENGINES[address.engine](address))


def key_file(url: str, variable: str) -> Path | None:
    """The private key by which we prove ourselves to this database, where there is one. Raises `BadSetting`."""
    options = Address.of(url, variable=variable).options
    found = options.get("ssl-key") or options.get("sslkey")
    return Path(found) if found else None


def _kept(opened: Opened) -> Opened:
    """Connections stay open for the life of their thread."""
    return {**opened, "CONN_MAX_AGE": None, "TEST": {"DEPENDENCIES": []}}


def open_beside(alias: str, opened: Opened) -> None:
    """Let this process open another database than its services', by this name."""
    from django.db import connections

    known = {"default": {"ENGINE": "django.db.backends.dummy"}, alias: _kept(opened)}
    connections.settings[alias] = connections.configure_settings(known)[alias]


def labels(service: str) -> tuple[str, ...]:
    """The apps whose tables stand in this service's database, in the order in which they lean on each other."""
    from django.apps import apps

    guests = admin.LABELS if service == admin.HOME else ()
    return (*(one for one in guests if one in apps.app_configs), service)


class Router:
    """A model lives in the database of its service; the admin's own tables, where there are any, in ai's."""

    def db_for_read(self, model: Any, **_hints: Any) -> str:
        return self._home(model._meta.app_label)

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **_hints: Any) -> bool:
        return self._home(one._meta.app_label) == self._home(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool:
        return db == self._home(app_label)

    @staticmethod
    def _home(app_label: str) -> str:
        return app_label if app_label in SERVICES else admin.HOME
