"""Runs `doran …` and starts it again when a Python file of Doran changes. The standard library is enough."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src" / "doran"


def newest() -> float:
    return max(path.stat().st_mtime for path in SOURCES.rglob("*.py"))


def run(words: list[str]) -> int | None:
    """One run; its exit code when it ended by itself, None when a file changed."""
    seen = newest()
    doran = subprocess.Popen([sys.executable, "-m", "doran", *words])
    try:
        while doran.poll() is None:
            time.sleep(0.5)
            if newest() > seen:
                doran.send_signal(signal.SIGTERM)
                doran.wait()
                return None
    except KeyboardInterrupt:
        return doran.wait()
    return doran.returncode


def main() -> int:
    while True:
        code = run(sys.argv[1:])
        if code is not None:
            return code
        print("A file changed; starting again.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
