"""Detection of a lost SQLite file: the file or its write-ahead log was removed, renamed, replaced or emptied while served.

SQLite keeps writing into a file that has no name any more, and a restart would find nothing of it. So each transaction
compares the file at the path with the one that was there at the start. A lost file stays lost until the server is
restarted: nothing is written into a file that was put there meanwhile.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import Final

from django.db import OperationalError

log = logging.getLogger(__name__)

_HEADER: Final = 100
_served: dict[str, _Served] = {}
_lock = threading.Lock()


class LostFile(OperationalError):
    """The file of this database is not at its path any more."""


@dataclass(slots=True)
class _Served:
    path: str
    file: tuple[int, int]
    wal: tuple[int, int]
    is_lost: bool = False

    def is_in_place(self) -> bool:
        try:
            file, wal = os.stat(self.path), os.stat(f"{self.path}-wal")
        except OSError:
            return False
        return file.st_size >= _HEADER and _identity(file) == self.file and _identity(wal) == self.wal


def watch(path: str) -> None:
    """Watch the file at this path, which is open in write-ahead mode."""
    _served[path] = _Served(path, _identity(os.stat(path)), _identity(os.stat(f"{path}-wal")))


def unwatch() -> None:
    """Stop watching all files."""
    _served.clear()


def is_watched(path: str) -> bool:
    return path in _served


def is_lost(path: str) -> bool:
    """Return whether this served file is lost. Log the loss once."""
    served = _served.get(path)
    if served is None or (not served.is_lost and served.is_in_place()):
        return False
    with _lock:
        is_new, served.is_lost = not served.is_lost, True
    if is_new:
        log.critical(
            "database file lost; nothing is written: stop the server, put the file or a backup back, start it again",
            extra={"file": os.path.basename(path)},
        )
    return True


def refuse_lost(path: str) -> None:
    """Raise `LostFile` if this served file is lost."""
    if is_lost(path):
        raise LostFile("the database file is lost")


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
