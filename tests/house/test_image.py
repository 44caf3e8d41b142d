"""What the image would run, run without an engine: the installed wheel as the first process of a namespace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.house.deployment import image_environment, image_words
from tests.servers.ports import free_port

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

ALONE = ("unshare", "--map-root-user", "--pid", "--fork", "--kill-child")


@pytest.fixture(autouse=True)
def namespaces() -> None:
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces for processes on this machine")


class Container:
    """The image's environment and words; its data in a folder of ours, its port a free one."""

    def __init__(self, folder: Path, installed: Path) -> None:
        self.data = folder / "data"
        self.log = folder / "said.log"
        port = str(free_port())
        theirs = {"PATH": "/nowhere", "DORAN_DATA": str(self.data), "DORAN_PORT": port, "PYTHONPATH": str(installed)}
        self.environment = {**image_environment(), **theirs, "DORAN_PUBLIC_URL": "https://chat.example.test"}

    def words(self, listed: list[str]) -> list[str]:
        """The image's `doran` is this Python with the installed wheel."""
        return [sys.executable, "-m", *listed]

    @contextmanager
    def started(self) -> Iterator[int]:
        """The first process, by the id it has outside."""
        words = [
            *map(str, (shutil.which(ALONE[0]), *ALONE[1:])),
            *self.words(image_words("ENTRYPOINT") + image_words("CMD")),
        ]
        with self.log.open("w") as out:
            self.process = subprocess.Popen(words, env=self.environment, cwd="/", stdout=out, stderr=subprocess.STDOUT)
        try:
            yield _child(self.process.pid)
        finally:
            self.process.kill()
            self.process.wait()

    def is_well(self) -> bool:
        words = self.words(image_words("HEALTHCHECK"))
        return subprocess.run(words, env=self.environment, cwd="/", capture_output=True, check=False).returncode == 0

    def said(self) -> str:
        return self.log.read_text("utf-8")


@pytest.fixture
def container(tmp_path: Path, installed: Path) -> Container:
    return Container(tmp_path, installed)


def _child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    _until(lambda: children.read_text().strip())
    return int(children.read_text().split()[0])


def _until(true: Callable[[], object], *, seconds: float = 40) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_serves_is_found_well_and_drains(container: Container) -> None:
    assert not container.is_well()
    with container.started() as first:
        _until(lambda: "is ready" in container.said())
        assert Path(f"/proc/{first}/status").read_text().split("NSpid:")[1].split("\n")[0].split() == [str(first), "1"]
        assert container.is_well()
        os.kill(first, signal.SIGTERM)
        assert container.process.wait(20) == 0
    assert json.loads(container.said().splitlines()[-1])["event"] == "Stopped."


def test_it_can_be_stopped_while_it_starts(container: Container) -> None:
    """The first process of a container ignores SIGTERM unless it has said what to do."""
    with container.started() as first:
        _until(lambda: "Preparing" in container.said())
        os.kill(first, signal.SIGTERM)
        assert container.process.wait(10) == 0
    assert "is ready" not in container.said()
    assert not container.data.exists()
