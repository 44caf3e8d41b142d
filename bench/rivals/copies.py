"""Doran on MariaDB and Redis with one or more chat processes; of each pair A sits at the first and B at the last."""

import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import people
from bench.processes import Server, free_port, start
from bench.rivals.doran import RAISED, Doran, answers, find_doran
from bench.seats import Pair


class Copies(Doran):
    """The first process serves core, chat and ai; each further one chat alone. `cores` are theirs, in turn."""

    def __init__(self, folder: Path, *, chats: int, cores: Sequence[int], core: int) -> None:
        super().__init__(folder, core=core, door="one", marks=False, engine="mariadb")
        self.name = f"Doran, {chats} chat process{'es' if chats > 1 else ''}"
        self.cores = cores
        self.ports = [self.port, *(free_port() for _ in range(chats - 1))]
        self.secret = secrets.token_urlsafe(32)

    def _serve(self) -> None:
        self.server = self._process(0, "core", "chat", "ai")
        self.parts += [self._process(number, "chat") for number in range(1, len(self.ports))]

    def _process(self, number: int, *services: str) -> Server:
        port = self.ports[number]
        command: list[str | Path] = [find_doran(), "serve", *services, "--host", "127.0.0.1", "--port", str(port)]
        server = start(
            [*command, "--data", self.folder / f"data-{number}"],
            core=self.cores[number % len(self.cores)],
            log=self.folder / f"doran-{number}.log",
            environment=os.environ | RAISED | self._where() | self._together(),
        )
        server.wait_until(lambda: answers(port))
        return server

    def _together(self) -> dict[str, str]:
        """What processes need to find and believe each other."""
        first = f"http://127.0.0.1:{self.port}"
        return {
            "DORAN_BUS": f"redis://127.0.0.1:{self.redis_port}/1",
            "DORAN_PUBLIC_URL": first,
            "DORAN_CORE_URL": first,
            "DORAN_SECRET_KEY": self.secret,
            "DORAN_SERVICE_SECRET": self.secret,
            "DORAN_SERVICE_SECRETS": f"chat:{hashlib.sha256(self.secret.encode()).hexdigest()}",
        }

    def pairs(self, count: int) -> Sequence[Pair]:
        couples = self.town.couples[:count]
        near = super().pairs(count)
        far = [people.seats(couple, host="127.0.0.1", port=self.ports[-1], door=self.door) for couple in couples]
        return [replace(pair, b=there.b) for pair, there in zip(near, far, strict=True)]
