"""A private Redis."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from redis import Redis


class RedisServer:
    """Starts empty, keeps nothing on the disk, and comes back on the same port."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self, *settings: str) -> None:
        """`settings` is a file of them, if there is one."""
        words = [
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--dir",
            self._folder,
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen(
            ["redis-server", *settings, *words], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        until = time.monotonic() + 10
        while not self.says("PING"):
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.01)

    def start_again(self) -> None:
        """Running and empty, whatever was done to it."""
        if self._process is None:
            self.start()
        self.thaw()
        self.flush()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes connections and says nothing any more."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def flush(self) -> None:
        self.ask("FLUSHALL")

    def ask(self, *words: str) -> object:
        """One command, by another client."""
        with Redis.from_url(self.url, socket_timeout=5) as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]

    def says(self, words: str) -> str:
        """What it answers to one line on a connection of its own, as it comes; nothing if it does not answer."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5) as plain:
            plain.sendall(f"{words}\r\n".encode())
            return plain.recv(4096).decode()
        return ""

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@contextmanager
def private_redis() -> Iterator[RedisServer]:
    """One that is running until the block ends; a skip where this machine has none."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine")
    with tempfile.TemporaryDirectory(prefix="doran-redis-") as folder:
        server = RedisServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
