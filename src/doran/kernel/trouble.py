"""What a database's refusal means: is it away, was somebody in the way, or is it a real no?"""

from __future__ import annotations

import sqlite3
from typing import Final

from django.db import DatabaseError, InterfaceError, OperationalError

# MySQL and MariaDB number their errors; PostgreSQL has SQLSTATEs, or none when the connection is gone.
_MYSQL_AWAY: Final = frozenset({
    0, 2002, 2003, 2006, 2013, 2055,  # no connection, or a lost one
    1040, 1053, 1927, 4031,           # too many of them, shutting down, killed, left idle
    1290, 1792, 1836,                 # takes no changes now: another server is the first one
})  # fmt: skip
_MYSQL_CONFLICT: Final = frozenset({1020, 1205, 1213})
_POSTGRESQL_AWAY: Final = ("08", "57P", "53300", "25P03", "25006")
_POSTGRESQL_CONFLICT: Final = ("40001", "40P01", "55P03")


def is_away(wrong: BaseException) -> bool:
    """The server cannot be reached, broke off, or takes no changes now; a file is locked by another program.

    What was under way may or may not be done on a server; in a locked file it is not.
    """
    if _is_locked(wrong):
        return True
    number, state, is_postgresql = _said(wrong)
    if is_postgresql:
        is_broken = state is None and isinstance(wrong, OperationalError | InterfaceError)
        return is_broken or (state or "").startswith(_POSTGRESQL_AWAY)
    return number in _MYSQL_AWAY


def is_conflict(wrong: BaseException) -> bool:
    """Another transaction was in the way. This one is undone, and may well succeed if it is done again."""
    number, state, is_postgresql = _said(wrong)
    return state in _POSTGRESQL_CONFLICT if is_postgresql else number in _MYSQL_CONFLICT


def is_passing(wrong: BaseException) -> bool:
    """Trouble that may be over by the next try."""
    return is_away(wrong) or is_conflict(wrong)


def _is_locked(wrong: BaseException) -> bool:
    code = getattr(wrong.__cause__, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _said(wrong: BaseException) -> tuple[int | None, str | None, bool]:
    """The driver's number and state, and whether it is PostgreSQL's; nothing for anything but a database's refusal."""
    cause = wrong.__cause__
    if cause is None or not isinstance(wrong, DatabaseError | InterfaceError):
        return None, None, False
    number = cause.args[0] if cause.args and isinstance(cause.args[0], int) else None
    return number, getattr(cause, "sqlstate", None), type(cause).__module__.startswith("psycopg")
