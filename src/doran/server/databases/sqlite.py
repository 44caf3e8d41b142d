"""SQLite: a file, opened so that a commit is on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from doran.server.databases.address import Address

# WAL keeps readers and the writer apart; FULL flushes each commit to the disk before it returns.
# NORMAL would lose acknowledged rows when the power goes (docs/adr/0003-group-commit.md). Each of
# a dozen connections keeps few pages: the system's cache is next to it, and memory is for sockets.
# The write-ahead log is folded in at 16 MB; after a long read or a great change it is cut back to 64.
# A file that another program has locked is waited for as long as a server that is away, by default.
_START: Final = (
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=10000; "
    "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-512; PRAGMA wal_autocheckpoint=4000; "
    "PRAGMA journal_size_limit=67108864;"
)


def opened(address: Address) -> dict[str, Any]:
    """`sqlite:///path`. Raises `BadSetting` for anything more than a path."""
    if address.host or address.user or address.options or not address.path:
        address.refuse("SQLite takes a path and nothing else, as in sqlite:///srv/doran/chat.sqlite3")
    return file(Path(address.path))


def wal_bytes(path: Path) -> int:
    """How large the write-ahead log of this file is now."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def file(path: Path) -> dict[str, Any]:
    """A database file of Doran."""
    options = {"transaction_mode": "IMMEDIATE", "timeout": 10, "init_command": _START}
    return {"ENGINE": "doran.server.databases.sqlite_file", "NAME": str(path), "OPTIONS": options}
