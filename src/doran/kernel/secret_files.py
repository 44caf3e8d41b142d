"""Files with secrets: whether anybody else on this machine can reach them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def exposed(file: Path) -> str:
    """What others can do with it, and what to do about that; nothing where all is well, or no file is there.

    A mounted secret is on a disk of its own that cannot be written; on any other, modes are what keeps it.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return ""
    if mode & 0o022:
        return f"can be written by others: chmod 600 {file}"
    if mode & 0o044 and not os.statvfs(file).f_flag & os.ST_RDONLY:
        return f"can be read by others: chmod 600 {file}"
    return ""
