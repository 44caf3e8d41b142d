"""Many `doran` commands, each in a process of its own, without paying for the imports each time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.house.running import environment

_RUNNER = """
import json, os, sys
import django.db, django.core.management, doran.server.cli, doran.server.serving, doran.server.backups
for number, words in enumerate(json.loads(sys.argv[1])):
    if (child := os.fork()) == 0:
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(os.path.join(sys.argv[2], f"{number}.{name}"), os.O_CREAT | os.O_WRONLY, 0o600), stream)
        sys.exit(doran.server.cli.main(words))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str


def run_each(commands: Sequence[Sequence[str]], *, cwd: Path, logs: Path, settings: Mapping[str, str]) -> list[Ended]:
    """Run these commands one after the other with these settings and no others."""
    logs.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _RUNNER, json.dumps([list(words) for words in commands]), str(logs)],
        cwd=cwd, env=environment(**settings), capture_output=True, text=True, timeout=200, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    codes = list(map(int, done.stdout.split()))
    assert len(codes) == len(commands), done.stderr
    return [
        Ended(tuple(words), code, (logs / f"{number}.out").read_text(), (logs / f"{number}.err").read_text())
        for number, (words, code) in enumerate(zip(commands, codes, strict=True))
    ]
