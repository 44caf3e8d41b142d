"""`doran` as a process of its own: what it says, where it answers, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without its DORAN_ settings, but with these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DORAN_")}
    return {**clean, "PYTHONPATH": str(ROOT / "src"), **settings}


def doran(*words: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """One command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "doran", *words],
        cwd=cwd, env=environment(**settings), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


class Running:
    """A server on a free port."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log
        self.url = ""

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def becomes_ready(self, says: str, seconds: float = 100) -> None:
        until = time.monotonic() + seconds
        while not (found := re.search(says, self.said())):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)
        where = found[1] if found.groups() else ""
        self.url = f"http://127.0.0.1:{where}" if where.isdigit() else where

    def asks(self, path: str, body: Any = None, *, token: str = "", method: str | None = None) -> tuple[int, Any]:
        """GET, or POST where there is a body, or what `method` says."""
        said = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, said, method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with _direct.open(request, timeout=40) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def is_told(self, number: signal.Signals) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def running(
    *words: str, folder: Path, command: str = "up", port: str = "0", says: str = r"ready at (\S+) ", **settings: str
) -> Iterator[Running]:
    """`doran up` (or another command) with its data in `folder`/data, once it `says` where it answers."""
    log = Path(tempfile.mkstemp(dir=folder, prefix="said-", suffix=".log")[1])
    listens = ["--port", port] if port else []
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "doran", command, *words, *listens, "--data", str(folder / "data")],
            cwd=folder, env=environment(**settings), stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    server = Running(process, log)
    try:
        server.becomes_ready(says)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
