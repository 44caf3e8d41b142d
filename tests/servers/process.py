"""A server as a process of its own, on a free port of this machine, with a folder for what it keeps."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from tests.servers.ports import free_port

READY_SECONDS = 180.0  # a broker that was killed and starts on a busy machine


class Server:
    """What it keeps in its folder survives `stop` and `start`, but not `close`."""

    PROGRAM: ClassVar[str]

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        place = memory if memory.is_dir() else None  # these tests are about the wire, not about the disk
        self.folder = Path(tempfile.mkdtemp(prefix=f"doran-{self.PROGRAM}-", dir=place))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def program(cls) -> str | None:
        return shutil.which(cls.PROGRAM)

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def is_ready(self) -> bool:
        """Whether it answers a client now."""
        raise NotImplementedError

    def start(self) -> None:
        """Run, and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, env={**os.environ, **self.environment()}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            said = (self.folder / "log").read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, f"{self.PROGRAM} ended: {said}"
            assert time.monotonic() < until, f"{self.PROGRAM} does not answer: {said}"
            time.sleep(0.02)

    def stop(self) -> None:
        """At once, as by kill -9."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections and says nothing any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def answers(self, said: bytes, expected: bytes) -> bool:
        """Whether these first words get that answer."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                line.sendall(said)
                return line.recv(64).startswith(expected)
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)


Any_ = TypeVar("Any_", bound=Server)


@contextmanager
def private(kind: type[Any_]) -> Iterator[Any_]:
    """One that is running until the block ends; a skip where this machine has none."""
    if kind.program() is None:
        pytest.skip(f"no {kind.PROGRAM} on this machine")
    server = kind()
    try:
        server.start()
        yield server
    finally:
        server.close()
