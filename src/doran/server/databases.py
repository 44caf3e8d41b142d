"""Which database belongs to which service, and how each engine is opened.

`default` is Django's dummy backend on purpose: a bare `atomic()` or query that names no database
fails loudly instead of opening the wrong one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from doran.kernel.config import BadSetting, Config

SERVICES = ("core", "chat", "ai")

# WAL keeps readers and the writer apart; FULL flushes each commit to the disk before it returns.
# NORMAL would lose acknowledged rows when the power goes (docs/adr/0003-group-commit.md). Each of
# a dozen connections keeps few pages: the system's cache is next to it, and memory is for sockets.
_SQLITE_START = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=20000; "
    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-512; PRAGMA wal_autocheckpoint=4000;"
)


def databases(config: Config) -> dict[str, dict[str, Any]]:
    """Django's DATABASES for the services that run in this process."""
    default = {"ENGINE": "django.db.backends.dummy"}
    return {"default": default, **{name: _database(name, config) for name in config.services}}


def _database(service: str, config: Config) -> dict[str, Any]:
    url = getattr(config, f"{service}_database")
    engine = _sqlite(_sqlite_path(service, url, config)) if not url or url.startswith("sqlite:") else _refuse(service)
    return {**engine, "CONN_MAX_AGE": None, "TEST": {"DEPENDENCIES": []}}


def _sqlite_path(service: str, url: str, config: Config) -> Path:
    return Path(unquote(urlsplit(url).path)) if url else Path(config.data) / f"{service}.sqlite3"


def _sqlite(path: Path) -> dict[str, Any]:
    options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": _SQLITE_START}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}


def _refuse(service: str) -> dict[str, Any]:
    raise BadSetting(f"DORAN_{service.upper()}_DATABASE: only sqlite:///path works so far")


class Router:
    """A model lives in the database of its service; Django's own tables, where there are any, in core's."""

    def db_for_read(self, model: Any, **_hints: Any) -> str:
        return self._home(model._meta.app_label)

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **_hints: Any) -> bool:
        return self._home(one._meta.app_label) == self._home(other._meta.app_label)

    def allow_migrate(self, db: str, app_label: str, **_hints: Any) -> bool:
        return db == self._home(app_label)

    @staticmethod
    def _home(app_label: str) -> str:
        return app_label if app_label in SERVICES else "core"
