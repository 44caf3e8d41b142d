"""What is in the repository: no paths of somebody's machine, no package index, no word that is not ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.house.running import ROOT

OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:root|work|home/\w+|Users/\w+)/")
OF_AN_INDEX = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|npmjs\.org|yarnpkg|--(?:extra-)?index-url|--find-links"
)
TEXT = {".py", ".md", ".toml", ".txt", ".in", ".json", ".ts", ".css", ".html", ".sh", ".yaml", ".yml", ".svg", ""}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git clone")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.suffix in TEXT and file.is_file() and file != Path(__file__)]


@pytest.mark.parametrize("pattern", [OF_A_MACHINE, OF_AN_INDEX], ids=["machine", "index"])
def test_nothing_names_a_machine_or_an_index(pattern: re.Pattern[str]) -> None:
    found = [
        f"{file.relative_to(ROOT)}: {hit[0]}" for file in tracked() if (hit := pattern.search(file.read_text("utf-8")))
    ]
    assert found == []


def test_every_module_says_what_it_is_about() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "src" / "doran").rglob("*.py")
        if "migrations" not in path.parts and path.stat().st_size and not path.read_text("utf-8").startswith('"""')
    ]
    assert silent == []
