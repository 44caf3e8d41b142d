"""A private Redis: one that keeps nothing, and one that keeps every write before it answers."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from redis import Redis

from tests.servers.process import Server


class RedisServer(Server):
    """Starts empty, keeps nothing on the disk, and comes back on the same port. `settings` is a file of them."""

    PROGRAM = "redis-server"
    KEEPS: ClassVar[Sequence[str]] = ("--appendonly", "no")

    def __init__(self, *settings: str) -> None:
        super().__init__()
        self.settings = settings

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        return (self.PROGRAM, *self.settings, *place, "--save", "", *self.KEEPS)

    def is_ready(self) -> bool:
        """Also where it wants a password first."""
        return self.says("PING").startswith(("+PONG", "-NOAUTH"))

    def start_again(self) -> None:
        """Running and empty, whatever was done to it."""
        if not self.is_running:
            self.start()
        self.thaw()
        self.flush()

    def flush(self) -> None:
        self.ask("FLUSHALL")

    def ask(self, *words: str) -> object:
        """One command, by another client."""
        with Redis.from_url(self.url, socket_timeout=5) as client:
            return client.execute_command(*words)  # type: ignore[no-untyped-call]

    def says(self, words: str) -> str:
        """What it answers to one line on a connection of its own, as it comes; nothing if it does not answer."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
            plain.sendall(f"{words}\r\n".encode())
            return plain.recv(4096).decode()
        return ""


class LastingRedisServer(RedisServer):
    """As one that carries events should be."""

    KEEPS = ("--appendonly", "yes", "--appendfsync", "always")
