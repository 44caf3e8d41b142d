"""Can this deployment run? Each question gets yes or no and a sentence; nothing is changed but to repair."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Final

from doran.kernel import clock
from doran.kernel.config import BadSetting, Config
from doran.kernel.jwks import BadKeySet, JwksUrl, KeysUnavailable, look_over
from doran.server import dependencies, folder, neighbours, serving
from doran.server import production as in_production
from doran.server.databases import in_use
from doran.server.exits import Refused
from doran.server.page import page_root
from doran.server.production import Finding
from doran.server.telling import say

UP_TO_DATE: Final = "opens and is up to date"
UNREAD_SECONDS: Final = 5.0


def check(config: Config, *, production: bool, as_json: bool = False, repair: bool = False) -> int:
    """Print every finding; 0 when nothing has to be repaired, otherwise 1."""
    found = list(_findings(config, production=production or config.production, repair=repair))
    if as_json:
        say(json.dumps([asdict(finding) for finding in found], ensure_ascii=False))
    else:
        for finding in found:
            say(f"{finding.grade:<4} {finding.name:<14} {finding.sentence}")
    return int(any(finding.grade == "NO" for finding in found))


def _findings(config: Config, *, production: bool, repair: bool) -> Iterator[Finding]:
    names = ", ".join(config.services)
    yield Finding("settings", "ok", f"{len(config.given)} given, the rest by default; for {names}")
    if production:
        yield from in_production.findings(config)
    missing = neighbours.missing(config)
    yield _well("neighbours", not missing, "; ".join(missing) or _found_at(config))
    yield _asked("address", lambda: _address(config))
    if folder.is_needed(config):
        yield _asked("data folder", lambda: _folder(Path(config.data)))
    yield _well("SQLite", sqlite3.sqlite_version_info >= (3, 35), f"{sqlite3.sqlite_version} (3.35 or newer)")
    yield from _databases(config, repair=repair)
    if production:
        yield from in_production.of_databases(config)
        yield from dependencies.findings(config)
    if config.foreign_jwks_url and {"chat", "ai"} & set(config.services):
        yield _asked("issuer's keys", lambda: _keys(config.foreign_jwks_url))
    if found := clock.disagreements():
        yield Finding("clock", "NO", f"{found}: let every machine follow the same time server")
    if "ai" in config.services:
        yield _asked("AI providers", lambda: _providers(config.replace(mode="production") if production else config))
        yield from _vectors()
    yield _page(config)


def _well(name: str, well: bool, sentence: str) -> Finding:
    return Finding(name, "ok" if well else "NO", sentence)


def _found_at(config: Config) -> str:
    found = [f"{name} at {getattr(config, f'{name}_url')}" for name in sorted(neighbours.elsewhere(config))]
    return ", ".join(found) or "none is needed elsewhere"


def _asked(name: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", question())
    except Refused as refused:
        return Finding(name, "NO", refused.sentence)


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


def _databases(config: Config, *, repair: bool) -> Iterator[Finding]:
    """A database that is there is opened; one that is not is left to the first start."""
    serving.wake(config)
    for service in config.services:
        found = _asked(f"{service} database", lambda service=service: _database(service, config))  # type: ignore[misc]
        yield found
        if service == "chat" and (found.grade, found.sentence) == ("ok", UP_TO_DATE):
            yield _unread(repair=repair)


def _unread(*, repair: bool) -> Finding:
    """Recompute what is stored of unread counts: a bounded sample, or, to repair it, all."""
    from django.db import DatabaseError

    from doran.chat.recount import recount

    try:
        found = recount(seconds=None if repair else UNREAD_SECONDS, repair=repair)
    except DatabaseError as wrong:
        return Finding("unread counts", "NO", f"cannot be recomputed ({type(wrong).__name__}): look at chat's database")
    whose = "members" if found.all else "newest members, all that could be recomputed in time"
    if found.differ:
        what = "run it again" if repair else "doran check --repair sets them right, also while a server runs"
        return Finding("unread counts", "NO", f"{found.differ} differ, of {found.looked} {whose}: {what}")
    return Finding("unread counts", "ok", f"none differs, of {found.looked} {whose}")


def _providers(config: Config) -> str:
    from doran.ai.providers import table

    try:
        return table.told(config)
    except BadSetting as wrong:
        raise Refused("bad_setting", f"{wrong}") from None


def _keys(url: str) -> str:
    """What the identity provider publishes, fetched as `serve` would fetch it."""
    try:
        return look_over(JwksUrl(url)())
    except (KeysUnavailable, BadKeySet) as wrong:
        raise Refused("bad_setting", f"DORAN_FOREIGN_JWKS_URL gives no keys ({wrong}), so nobody is let in") from None


def _page(config: Config) -> Finding:
    """It is for accounts of core, and comes from there."""
    if "core" in neighbours.elsewhere(config):
        return Finding("page", "ok", "core serves it")
    if "core" not in config.services:
        return Finding("page", "ok", "none without core: people log in elsewhere, and are shown pages from there")
    page = page_root()
    return _well("page", page is not None, f"in {page}" if page else "not built: run bin/up, or install the wheel")


def _vectors() -> Iterator[Finding]:
    """Who compares vectors; of a database that does not open nothing more is said."""
    from django.db import DatabaseError

    from doran.ai.retrieval import pgvector

    with suppress(DatabaseError):
        if told := pgvector.told():
            yield Finding("AI vectors", "ok" if told.is_ready else "note", told.sentence)


def _database(service: str, config: Config) -> str:
    from django.db import connections

    in_use.refuse_torn(config.replace(services=(service,)))
    connection = connections[service]
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        return "will be made at the first start"
    waiting = serving.waiting_migrations(service, Path(config.data))
    return f"opens; {waiting} migrations will be applied at the next start" if waiting else UP_TO_DATE
