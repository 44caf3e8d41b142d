"""The map of the house: who may import whom, and that breaking it is noticed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.house.running import ROOT, environment

LINT = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"


def lint(source: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--config", str(ROOT / ".importlinter"), *words],
        cwd=ROOT, env={**environment(), "PYTHONPATH": str(source)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_map_is_kept() -> None:
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout


def test_a_service_that_imports_its_sibling_is_noticed(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "src/doran/chat/shortcut.py").write_text("from doran.core import users\n")
    (tmp_path / "src/doran/helpers.py").write_text("import doran.realtime\n")
    result = lint(tmp_path / "src")
    assert result.returncode != 0
    assert "doran.chat.shortcut -> doran.core.users" in result.stdout
    assert "helpers" in result.stdout
