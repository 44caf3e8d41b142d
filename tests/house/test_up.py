"""`bin/up` for a newcomer whose machine lacks something: one sentence, its own exit code, nothing half made."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from doran.server.exits import EXITS
from tests.house.running import ROOT, environment

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy
TOOLS = ("sh", "cat", "cksum", "dirname", "date", "mktemp", "rm", "tr", "find", "sort", "xargs", "df", "awk", "tail")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What git would give a newcomer, as far as these stories go."""
    place = tmp_path / "clone"
    for folder in ("bin", "src", "locks"):
        shutil.copytree(ROOT / folder, place / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, place / file)
    return place


def up(clone: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    told = {"PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1", **settings}
    return subprocess.run(
        [str(clone / "bin/up"), *words],
        cwd=clone.parent, env=environment(**told), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def assert_untouched(clone: Path) -> None:
    assert not (clone / ".venv").exists()
    assert not (clone / "data").exists()


def test_help_needs_nothing_installed(clone: Path) -> None:
    asked = up(clone, "--help")
    assert asked.returncode == 0
    assert "--demo" in asked.stdout
    assert_untouched(clone)


def test_a_machine_without_a_fitting_python_is_told(clone: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    old = tools / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.2" && exit\nexit 1\n')
    old.chmod(0o755)
    told = up(clone, PATH=str(tools), PYTHON="")
    assert told.returncode == EXITS["wrong_python"][0]
    assert told.stderr.startswith("Doran needs Python 3.11 or newer (found: Python 3.9.2).")
    assert_untouched(clone)


def test_wrong_words_and_a_taken_port_are_told_before_anything_is_installed(clone: Path) -> None:
    assert up(clone, "--prot", "80").returncode == EXITS["usage"][0]
    with socket.create_server(("127.0.0.1", 0)) as other:
        told = up(clone, "--port", str(other.getsockname()[1]))
    assert told.returncode == EXITS["port_taken"][0]
    assert "is taken by another program" in told.stderr
    assert_untouched(clone)


def test_without_a_network_nothing_is_left_behind(clone: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null", "PIP_FIND_LINKS": ""}
    told = up(clone, "--port", "0", PIP_NO_CACHE_DIR="1", **nowhere)
    assert told.returncode == EXITS["no_network"][0], told.stderr
    assert told.stderr.startswith("The package index cannot be reached")
    assert told.stderr.count("\n") == 1
    assert_untouched(clone)


def test_a_package_that_is_not_the_locked_one_is_refused(clone: Path, tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/asgiref-9.9-py3-none-any.whl").write_bytes(b"somebody put something else here")
    (clone / "locks/run.txt").write_text(f"asgiref==9.9 --hash=sha256:{'0' * 64}\n")
    (clone / "locks/build.txt").write_text("")
    shelf = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "shelf"), "PIP_CONFIG_FILE": "/dev/null"}
    told = up(clone, "--port", "0", **shelf)
    assert told.returncode == EXITS["bad_download"][0], told.stderr
    assert told.stderr.count("\n") == 1
    assert_untouched(clone)


def test_a_long_step_says_how_far_it_is(tmp_path: Path) -> None:
    """It lasts until that has been said; no clock is asked."""
    said = tmp_path / "said"
    script = f"""
        set -eu
        . bin/parts/environment.sh
        date() {{ echo 0; }}
        so_far() {{ echo "8 of 34 packages fetched"; }}
        started "Installing"
        quietly "installing" sh -c 'until grep -q "8 of 34" {said}; do sleep 0.05; done'
        finished
        so_far() {{ false; }}
        started "Building"
        quietly "building" true
        finished
    """
    with said.open("wb") as out:
        subprocess.run(["/bin/sh", "-c", script], cwd=ROOT, stdout=out, timeout=60, check=True)
    told = said.read_text()
    assert [line.split() for line in told.splitlines()] == [
        ["Installing", "8", "of", "34", "packages", "fetched,", "0", "s"],
        ["Building", "0", "s"],
    ]


def test_the_looks_before_anything_is_installed_need_nothing_installed(clone: Path) -> None:
    """By a Python without any package: `-I -S` finds neither the site's nor the user's."""
    look = "import sys; sys.path.insert(0, 'src'); from doran.server.cli import main; sys.exit(main(['up', '--look', '--port', '0']))"
    asked = subprocess.run(
        [sys.executable, "-I", "-S", "-c", look], cwd=clone, capture_output=True, text=True, timeout=60, check=False
    )
    assert asked.returncode == 0, asked.stderr
