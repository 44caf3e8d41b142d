"""How the `doran` command ends: one exit code for each kind of failure, and one sentence with it."""

from __future__ import annotations

import errno
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

EXITS: Final[Mapping[str, tuple[int, str]]] = {
    "done": (0, "all is well; also after Ctrl-C or SIGTERM, when everything was drained"),
    "failed": (1, "something unexpected, or an answer of no (`doran check` found a fault)"),
    "usage": (2, "the words of the command are not understood"),
    "wrong_python": (3, "`bin/up`: no Python 3.11 or newer, or one without venv"),
    "no_network": (4, "`bin/up`: the package index cannot be reached"),
    "bad_download": (5, "`bin/up`: a downloaded package is not the locked one"),
    "no_page": (6, "`bin/up`: the page could not be built"),
    "port_taken": (10, "the port is taken, or the address is not one of this machine"),
    "unwritable": (11, "a folder or file cannot be written"),
    "disk_full": (12, "the disk is full"),
    "bad_setting": (13, "a setting cannot be used, or production mode refuses it"),
    "in_use": (14, "another Doran is using the data folder, or the database"),
    "bad_database": (15, "a database cannot be opened or brought up to date"),
    "not_found": (16, "what the command names does not exist"),
    "unsafe_database": (17, "a database may lose what it has committed, and production mode refuses it"),
    "lost_database": (18, "a database file that was made in the data folder is missing or empty"),
}


class Refused(Exception):
    """The command cannot go on; `sentence` is all a person needs to read."""

    def __init__(self, kind: str, sentence: str) -> None:
        self.code = EXITS[kind][0]
        self.sentence = sentence
        super().__init__(sentence)


@contextmanager
def plainly(place: Path) -> Iterator[None]:
    """Turn what the disk says about `place` into a refusal."""
    try:
        yield
    except OSError as wrong:
        raise disk_refusal(wrong, place) from wrong


def disk_refusal(wrong: OSError, place: Path) -> Refused:
    if wrong.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused("disk_full", f"The disk that holds {place} is full: free some space, then start again.")
    if wrong.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Refused("unwritable", f"{place} cannot be written by this user: choose another folder with --data.")
    if wrong.errno in (errno.ENOTDIR, errno.EEXIST):
        return Refused("unwritable", f"{place} is not a folder: choose another with --data.")
    if wrong.errno == errno.ENOENT:
        return Refused("unwritable", f"{place} cannot be made: choose another folder with --data.")
    return Refused("failed", f"{place}: {wrong.strerror}.")


def foreseen(wrong: Exception) -> Refused | None:
    """What a disk or a database said in the middle of a command, as a refusal; None for anything else."""
    if isinstance(wrong, OSError) and wrong.filename is not None:
        return disk_refusal(wrong, Path(str(wrong.filename)))
    if isinstance(wrong, sqlite3.Error):
        return Refused("bad_database", f"A database file cannot be read: {_plain(str(wrong))}.")
    if "django.db" not in sys.modules:
        return None
    from django.db import DatabaseError, InterfaceError

    if isinstance(wrong, DatabaseError | InterfaceError):
        return Refused("bad_database", f"The database refused this command: {_plain(str(wrong))}.")
    return None


def database_refusal(wrong: BaseException, service: str, place: Path) -> Refused:
    """What a database said, in words that name the remedy."""
    said = str(wrong)
    if getattr(wrong.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "is full" in said:
        return Refused("disk_full", f"The disk that holds {place} is full: free some space, then start again.")
    if "readonly" in said or "unable to open" in said:
        return Refused("unwritable", f"{service}'s database in {place} cannot be written by this user.")
    from doran.kernel import trouble

    if trouble.is_away(wrong):
        return Refused("bad_database", f"{service}'s database cannot be reached: {_plain(said)}.")
    if "denied" in said and not said.startswith("(1045"):
        return Refused(
            "bad_database",
            f"{service}'s database is not up to date, and this account may not change tables: run `doran migrate` with one that may.",
        )
    return Refused("bad_database", f"{service}'s database cannot be used: {_plain(said)}.")


def _plain(said: str) -> str:
    """What a driver says, on one line and without its own full stop."""
    return " ".join(said.split()).rstrip(".")
