"""`python -m bench.leftovers FOLDER`: outlive one run of the benchmark, then end what it left and remove its folder.

Standard input ends when the run does, however it does: by its last line, an exception, or kill -9. Everything that a run
starts carries FOLDER in its environment (`MARK`), also what it became afterwards: a daemon, or a process of another user.
Who overwrites its environment with a title, as Redis does, works in that folder.
"""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "BENCH_OF_DORAN"
PATIENCE = 20.0
"""Seconds from the request to end until the end."""


def main(folder: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    end(folder)
    shutil.rmtree(folder)


def end(mark: str) -> None:
    """Ask all marked processes to end, and kill those that do not in time."""
    began = time.monotonic()
    _signal(marked(mark), signal.SIGTERM)
    while left := marked(mark):
        if time.monotonic() - began > PATIENCE:
            _signal(left, signal.SIGKILL)
        time.sleep(0.05)


def marked(mark: str) -> list[int]:
    """The processes that carry this mark."""
    return [int(place.name) for place in Path("/proc").iterdir() if place.name.isdigit() and _carries(place, mark)]


def _carries(place: Path, mark: str) -> bool:
    """Whether it does; what is gone or belongs to a stranger does not."""
    try:
        is_marked = f"{MARK}={mark}".encode() in (place / "environ").read_bytes().split(b"\0")
        return is_marked or (place / "cwd").readlink().is_relative_to(mark)
    except OSError:
        return False


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main(sys.argv[1])
