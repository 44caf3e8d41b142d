"""The rival's own Python environment, made once from the hashed lock and again when the lock changes."""

import hashlib
import sys
from pathlib import Path

from bench.processes import run

HERE = Path(__file__).resolve().parent.parent
LOCK = HERE / "requirements.txt"
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "made-from"


def ensure() -> Path:
    """The Python of the rival; makes or renews its environment when needed."""
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not STAMP.exists() or STAMP.read_text() != wanted:
        print("making bench/.venv from bench/requirements.txt …", flush=True)
        run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT])
        run([PYTHON, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", LOCK])
        STAMP.write_text(wanted)
    return PYTHON


def versions() -> dict[str, str]:
    """Name and version of everything installed there."""
    listed = run([PYTHON, "-m", "pip", "list", "--format", "freeze"])
    return dict(line.split("==", 1) for line in listed.splitlines() if "==" in line)
