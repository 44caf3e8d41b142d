"""Whether a SQLite file holds all that was written, or was copied without its write-ahead log.

While a server uses a file, the file itself says so (`user_version`), and its log stands beside it: a
connection is kept open all the time, so that SQLite never removes the log. A clean stop folds the log
into the file and takes the mark away. A marked file without a log beside it was copied alone, unless it is still
the very file that was served (a note beside it names its inode): then another program that read it after a crash,
or `doran check`, has folded the log in.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from doran.kernel.config import Config
from doran.server import databases
from doran.server.exits import Refused, database_refusal

log = logging.getLogger(__name__)

_IN_USE: Final = 1
_HEADER: Final = 100
_USER_VERSION: Final = slice(60, 64)
_PATIENCE: Final = 5.0
_marked: dict[Path, sqlite3.Connection] = {}


def refuse_torn(config: Config) -> None:
    """Raise `Refused` for a file whose last writes stayed behind. Opens and changes nothing."""
    for file in _files(config).values():
        if _is_marked(file) and not _log_of(file).exists() and not _is_the_served(file):
            raise Refused(
                "bad_database",
                f"{file} was copied while Doran used it, without {_log_of(file).name}: what was written last is not in "
                "it. Copy both, or put a copy by `doran backup` back; `doran restored` goes on with what is there.",
            )


def mark(config: Config) -> None:
    """Say in each file that it is in use, until `put_away`, and notice from now on if it is lost."""
    from doran.server.databases import served_files

    for service, file in _files(config).items():
        try:
            _marked[file] = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)
            _note(_marked[file], _IN_USE)
            _served(file).write_text(_identity(file), "ascii")
            served_files.watch(str(file))
        except (sqlite3.Error, OSError) as wrong:
            raise database_refusal(wrong, service, Path(config.data)) from wrong


def put_away() -> None:
    """Fold each log into its file, which is whole from then on, and let go of both."""
    from django.db import connections

    from doran.server.databases import served_files

    connections.close_all()
    served_files.unwatch()
    for file, connection in _marked.items():
        try:
            with closing(connection):
                _note(connection, 0)
            _served(file).unlink(missing_ok=True)
        except sqlite3.Error as wrong:  # the log stays beside it, and nothing is lost
            log.warning("database log not folded in", extra={"file": file.name, "error": str(wrong)})
    _marked.clear()


def accept(config: Config) -> None:
    """Take the files of every service here, which nobody uses, as they are: an operator says so."""
    for service, file in _files(config.replace(services=databases.SERVICES)).items():
        if not file.exists():
            continue
        try:
            with closing(sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)) as connection:
                connection.execute("PRAGMA user_version=0")
        except sqlite3.Error as wrong:
            raise database_refusal(wrong, service, Path(config.data)) from wrong


def _note(connection: sqlite3.Connection, state: int) -> None:
    """Write the mark and everything else that is in the log into the file itself."""
    connection.execute(f"PRAGMA user_version={state}")
    is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise sqlite3.OperationalError("somebody reads what is in the log")


def _files(config: Config) -> dict[str, Path]:
    opened = {service: databases.database(service, config) for service in config.services}
    return {service: Path(one["NAME"]) for service, one in opened.items() if "sqlite" in one["ENGINE"]}


def _served(file: Path) -> Path:
    return file.with_name(f"{file.name}-served")


def _identity(file: Path) -> str:
    found = file.stat()
    return f"{found.st_dev}:{found.st_ino}"


def _is_the_served(file: Path) -> bool:
    try:
        return _served(file).read_text("ascii") == _identity(file)
    except (OSError, ValueError):
        return False


def _log_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def _is_marked(file: Path) -> bool:
    if not file.exists():
        return False
    with file.open("rb") as content:
        return int.from_bytes(content.read(_HEADER)[_USER_VERSION], "big") == _IN_USE
