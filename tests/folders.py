"""Folders of a test run that no test has for itself."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def lasting(prefix: str) -> Path:
    """A new folder that goes when this process ends."""
    made = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made
