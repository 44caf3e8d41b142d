"""What is made once for all of these: an installed wheel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.running import ROOT


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing in it but what the wheel installs."""
    if not (ROOT / "web/dist/index.html").is_file():
        pytest.skip("the page is not built: bin/test page")
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), ".")
    (wheel,) = folder.glob("doran-*.whl")
    _pip("install", "--target", str(folder / "site"), str(wheel))
    return folder / "site"


def _pip(*words: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    subprocess.run([sys.executable, "-m", "pip", words[0], *quiet, *words[1:]], check=True, cwd=ROOT, timeout=200)
