"""Loss of a SQLite file while it is served: removed, renamed, replaced or emptied, or its write-ahead log so.

SQLite goes on writing into a file that has no name any more, and a restart would find nothing of it. So each
transaction compares what is at the path with what was there at the start. A lost file stays lost until the server
is started again: nothing is written into what may have been put there meanwhile.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Final

from django.db import OperationalError

log = logging.getLogger(__name__)

_HEADER: Final = 100
_served: dict[str, _Served] = {}


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
    """Compare from now on what is at this path. It is open, in write-ahead mode."""
    _served[path] = _Served(path, _identity(os.stat(path)), _identity(os.stat(f"{path}-wal")))


def unwatch() -> None:
    """No file is served any more."""
    _served.clear()


def is_watched(path: str) -> bool:
    return path in _served


def is_lost(path: str) -> bool:
    """Whether this file was served and is lost. The log says it once."""
    served = _served.get(path)
    if served is None or (not served.is_lost and served.is_in_place()):
        return False
    if not served.is_lost:
        served.is_lost = True
        log.critical(
            "database file lost; nothing is written: stop the server, put the file or a backup back, start it again",
            extra={"file": os.path.basename(path)},
        )
    return True


def refuse_lost(path: str) -> None:
    """Raise `LostFile` where this file was served and is lost."""
    if is_lost(path):
        raise LostFile("the database file is lost")


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
