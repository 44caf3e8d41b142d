"""The files of `deploy/` as their own tools understand them; none of these needs a container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import compose
import pytest

from tests.house.running import ROOT

DEPLOY = ROOT / "deploy"
TOOLS = Path(sys.executable).parent


def files() -> list[Path]:
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def tool(name: str) -> str:
    """Where a judge is: beside our Python, or of this system."""
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found


def judged(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a tool says, in an environment of its own."""
    clean = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/nonexistent"), **environment}
    return subprocess.run([*map(str, words)], env=clean, capture_output=True, text=True, timeout=60, check=False)


# -- the image ---------------------------------------------------------------------------------------


@cache
def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile in order: its word, and what follows."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def last_stage() -> list[tuple[str, str]]:
    """The instructions that make the image itself."""
    starts = [number for number, (word, _) in enumerate(instructions()) if word == "FROM"]
    return instructions()[starts[-1] :]


def said(word: str) -> str:
    """What the last stage says once under this word."""
    (only,) = [rest for one, rest in last_stage() if one == word]
    return only


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for word, rest in last_stage() if word == "ENV" for pair in shlex.split(rest))


def image_words(word: str) -> list[str]:
    """ENTRYPOINT, CMD or HEALTHCHECK, which are lists here, not lines for a shell."""
    listed = said(word)
    return list(json.loads(listed[listed.index("[") :]))


# -- compose -------------------------------------------------------------------------------------------


@cache
def composer() -> str:
    """Docker's own compose. Its wheel forgets the executable bit."""
    program = Path(str(compose.__file__)).parent / "docker-compose"
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def composed(*files: Path, **environment: str) -> Any:
    """A compose file, and those beside it, as compose understands them."""
    named = [word for file in files for word in ("-f", file)]
    told = judged(composer(), *named, "config", "--format", "json", **environment)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def commands_of(words: Sequence[Any]) -> Iterator[list[str]]:
    """The arguments of `doran` in these lists of words, whether they begin with it or not."""
    for one in words:
        listed = [str(word) for word in one]
        yield listed[1:] if Path(listed[0]).name == "doran" else listed
