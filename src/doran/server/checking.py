"""Can this deployment run? Each question gets yes or no and a sentence; nothing is changed."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from doran.kernel import config as settings
from doran.kernel.config import Config
from doran.server import folder, serving
from doran.server.exits import Refused
from doran.server.page import page_root
from doran.server.telling import say


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question."""

    name: str
    well: bool
    sentence: str


def check(config: Config, *, production: bool) -> int:
    """Print every finding; 0 when all is well, otherwise 1."""
    findings = list(_findings(config, production=production or config.production))
    for finding in findings:
        say(f"{'ok ' if finding.well else 'NO '} {finding.name:<14} {finding.sentence}")
    return 0 if all(finding.well for finding in findings) else 1


def _findings(config: Config, *, production: bool) -> Iterator[Finding]:
    yield Finding("settings", True, f"{len(config.given)} given, the rest by default")
    if production:
        unsafe = settings.unsafe(config)
        yield Finding("production", not unsafe, "; ".join(unsafe) or "nothing that production mode refuses")
    yield _asked("address", lambda: _address(config))
    yield _asked("data folder", lambda: _folder(Path(config.data)))
    yield Finding("SQLite", sqlite3.sqlite_version_info >= (3, 35), f"{sqlite3.sqlite_version} (3.35 or newer)")
    yield from _databases(config)
    page = page_root()
    yield Finding("page", page is not None, f"in {page}" if page else "not built: run bin/up, or install the wheel")


def _asked(name: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, question())
    except Refused as refused:
        return Finding(name, False, refused.sentence)


def _address(config: Config) -> str:
    serving.bind(config.host, config.port).close()
    return f"{config.host}:{config.port} is free"


def _folder(place: Path) -> str:
    folder.look(place)
    if not place.exists():
        return f"{place} will be made at the first start"
    if stat.S_IMODE(place.stat().st_mode) & 0o077:
        raise Refused("unwritable", f"{place} can be entered by other users of this machine: chmod 700 {place}")
    return f"{place} is writable and private"


def _databases(config: Config) -> Iterator[Finding]:
    """A database that is there is opened; one that is not is left to the first start."""
    serving.wake(config)
    for service in config.services:
        yield _asked(f"{service} database", lambda service=service: _database(service, config))  # type: ignore[misc]


def _database(service: str, config: Config) -> str:
    from django.db import connections

    if not Path(connections[service].settings_dict["NAME"]).exists():
        return "will be made at the first start"
    waiting = serving.waiting_migrations(service, Path(config.data))
    return f"opens; {waiting} migrations will be applied at the next start" if waiting else "opens and is up to date"
