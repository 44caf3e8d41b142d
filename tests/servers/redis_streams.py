"""A private Redis that keeps every write before it answers, as one that carries events should."""

from __future__ import annotations

from collections.abc import Sequence

from tests.servers.process import Server


class LastingRedisServer(Server):
    PROGRAM = "redis-server"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder))
        return (self.PROGRAM, *place, "--save", "", "--appendonly", "yes", "--appendfsync", "always")

    def is_ready(self) -> bool:
        return self.answers(b"PING\r\n", b"+PONG")
