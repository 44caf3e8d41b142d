"""A copy of a deployment on SQLite: made while Doran runs, put back while it does not.

Chat is copied first and core after it, so that the copy of core knows everybody the copy of chat
names. The copy's contents come last: a copy without them is none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec

from doran import __version__
from doran.kernel import clock
from doran.kernel.config import Config
from doran.server import databases, folder, restoring, serving
from doran.server.databases import in_use
from doran.server.exits import Refused, plainly
from doran.server.telling import Progress, say, step

ORDER: Final = ("chat", "core", "ai")
CONTENTS: Final = "backup.json"
MEGABYTE: Final = 1_000_000
PAGES_AT_ONCE: Final = 2_000
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


class Contents(msgspec.Struct, frozen=True):
    """What a copy holds: the SHA-256 of each file, by its name. `epoch` is the timeline that was copied."""

    made_at: str
    made_by: str
    epoch: str | None
    files: dict[str, str]


# -- making ----------------------------------------------------------------------------------------


def make(config: Config, target: Path) -> None:
    """Copy every database, the secret and the journal of restores to a new folder, or leave nothing."""
    sources = _databases(config)
    in_use.refuse_torn(config)
    if target.exists():
        raise Refused("unwritable", f"{target} is there already: name a folder that is not.")
    with plainly(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            contents = _copied(config, sources, unfinished)
            folder.whole(unfinished / CONTENTS, msgspec.json.format(msgspec.json.encode(contents), indent=1))
            _flush(unfinished)
            os.rename(unfinished, target)
            _flush(target.parent)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    _tell(target, contents)


def _databases(config: Config) -> dict[str, Path]:
    """The database file of each service, in the order in which they are copied."""
    opened = {service: databases.database(service, config) for service in ORDER if service in config.services}
    if servers := [service for service, one in opened.items() if "sqlite" not in one["ENGINE"]]:
        raise Refused(
            "bad_setting",
            f"The database of {' and '.join(servers)} is on a server: copy it by the server's own tools, and after "
            "putting such a copy back run `doran restored`.",
        )
    found = {service: Path(one["NAME"]) for service, one in opened.items()}
    if missing := [str(file) for file in found.values() if not file.exists()]:
        raise Refused("not_found", f"There is no database {missing[0]}: name the data folder with --data.")
    return found


def _copied(config: Config, sources: Mapping[str, Path], target: Path) -> Contents:
    for service, file in sources.items():
        _copy_database(file, target / f"{service}.sqlite3")
    for name in (folder.SECRET, restoring.JOURNAL):
        with suppress(FileNotFoundError):
            shutil.copy2(Path(config.data) / name, target / name)
    with step("Reading the copy"):
        files = {file.name: _digest(file) for file in sorted(target.iterdir())}
    epoch = _epoch(target / "chat.sqlite3") if "chat" in sources else None
    return Contents(clock.rfc3339(clock.now()), __version__, epoch, files)


def _copy_database(source: Path, target: Path) -> None:
    """The database as it is at one moment, however much is written meanwhile."""
    progress = Progress(f"Copying {source.name}", total=source.stat().st_size, unit="MB", scale=MEGABYTE)
    target.touch(mode=0o600)
    with closing(_read_only(source)) as now, closing(sqlite3.connect(target)) as copy:
        now.execute("BEGIN")
        size = now.execute("PRAGMA page_size").fetchone()[0]
        now.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on this connection sees this moment
        done = 0

        def told(_status: int, remaining: int, total: int) -> None:
            nonlocal done
            progress.add((total - remaining - done) * size)
            done = total - remaining

        now.backup(copy, pages=PAGES_AT_ONCE, progress=told)
        copy.execute("PRAGMA journal_mode=DELETE")
        copy.execute("PRAGMA user_version=0")  # whole, and in nobody's use: see databases.in_use
    _flush(target)
    progress.end()


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=20)


def _epoch(file: Path) -> str | None:
    with closing(_read_only(file)) as chat:
        found = chat.execute("SELECT epoch FROM chat_store").fetchone()
    return None if found is None else str(found[0])


def _tell(target: Path, contents: Contents) -> None:
    say(f"{target} holds {', '.join(contents.files)}.")
    if folder.SECRET in contents.files:
        say("Keep it as private as the data folder: secret_key opens what is sealed in the databases.")
    else:
        say("DORAN_SECRET_KEY is not in it, and without it nothing sealed in the databases can be opened: keep it too.")


# -- putting back ----------------------------------------------------------------------------------


def put_back(config: Config, source: Path, *, replace: bool, reserve: int) -> None:
    """Put a copy into the data folder and begin another timeline. Until that is done no server starts there."""
    data = Path(config.data)
    contents = _checked(source)
    if elsewhere := [service for service in ORDER if getattr(config, f"{service}_database")]:
        raise Refused("bad_setting", f"DORAN_{elsewhere[0].upper()}_DATABASE is set: a copy goes to the data folder.")
    with plainly(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.hold(config)
        _make_room(data, replace=replace)
        for name in contents.files:
            if name != restoring.JOURNAL:
                _put(source / name, data / name)
        _flush(data)
    restoring.keep(data, restoring.merged(data, source))
    _begin(config, reserve=reserve)
    (data / folder.RESTORING).unlink()


def _begin(config: Config, *, reserve: int) -> None:
    config = config.replace(services=tuple(one for one in ORDER if (Path(config.data) / f"{one}.sqlite3").exists()))
    serving.wake(config)
    serving.migrate(config)
    if "chat" in config.services:
        say(restoring.begun(Path(config.data), reserve=reserve))


def _checked(source: Path) -> Contents:
    """What the copy holds. Refuses one that is none, is damaged, or was made by a later Doran."""
    try:
        contents = msgspec.json.decode((source / CONTENTS).read_bytes(), type=Contents)
    except FileNotFoundError:
        raise Refused("not_found", f"{source} is no copy that `doran backup` made: it has no {CONTENTS}.") from None
    except msgspec.DecodeError as wrong:
        raise Refused("bad_database", f"{source / CONTENTS} is damaged: {wrong}.") from None
    with step("Reading the copy"):
        for name, digest in contents.files.items():
            if not (source / name).exists() or _digest(source / name) != digest:
                raise Refused("bad_database", f"{source / name} is not what was copied: nothing was changed.")
    return contents


def _make_room(data: Path, *, replace: bool) -> None:
    """Put databases that are there aside, all of them. From then on what is there may be written over.

    The marker of the restore names where they go until they are there, so that one that was
    interrupted goes on and never takes a half copy for what was there before.
    """
    marker = data / folder.RESTORING
    if not marker.exists():
        if not replace and any(file.exists() for file in _kept(data)):
            raise Refused("in_use", f"{data} has databases: use --replace to put them aside, or another --data.")
        folder.whole(marker, f"replaced-{clock.now():%Y%m%dT%H%M%SZ}".encode())
    if name := marker.read_text():
        _put_aside(data, data / name)
        folder.whole(marker, b"")


def _put_aside(data: Path, aside: Path) -> None:
    there = [file for file in [*_kept(data), data / folder.SECRET] if file.exists()]
    if there:
        aside.mkdir(mode=0o700, exist_ok=True)
        say(f"What was in {data} goes to {aside}.")
    for file in there:
        os.rename(file, aside / file.name)


def _kept(data: Path) -> list[Path]:
    return [file for service in ORDER for file in _files(data / f"{service}.sqlite3")]


def _files(database: Path) -> list[Path]:
    return [database, *(database.with_name(database.name + companion) for companion in _COMPANIONS)]


def _put(source: Path, target: Path) -> None:
    for file in _files(target)[1:]:
        file.unlink(missing_ok=True)
    unfinished = target.with_name(f".{target.name}-restored")
    with step(f"Putting {target.name} back"):
        shutil.copyfile(source, unfinished)
        unfinished.chmod(0o600)
        _flush(unfinished)
        os.replace(unfinished, target)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _flush(place: Path) -> None:
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
