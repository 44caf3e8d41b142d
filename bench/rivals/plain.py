"""The plain Django design, started as a benchmark needs it: Channels and the ORM on MariaDB with Redis, or on SQLite."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from bench.engines import MARIADB, REDIS, MariaDB, start_redis
from bench.processes import PINNING, Server, end_all, free_port, listens, need, run, start
from bench.rivals import environment
from bench.seats import BODY, Dialect, Pair, Seat

PROJECT = Path(__file__).resolve().parent / "plain_django"
VARIANTS = {
    "mariadb": {"RIVAL_DATABASE": "mariadb", "RIVAL_LAYER": "redis", "RIVAL_CONN_MAX_AGE": "0"},
    "tuned": {"RIVAL_DATABASE": "mariadb", "RIVAL_LAYER": "pubsub", "RIVAL_CONN_MAX_AGE": "600"},
    "sqlite": {"RIVAL_DATABASE": "sqlite", "RIVAL_LAYER": "memory", "RIVAL_CONN_MAX_AGE": "0"},
}


class PlainDjango:
    """`variant` names database and channel layer, `server` the ASGI server: daphne or uvicorn."""

    dialect = Dialect(
        history=b'"message_history"', answer=b'"chat_message"', message=b'"chat_message"', refusal=b'"error"'
    )

    def __init__(self, folder: Path, *, core: int, variant: str, server: str) -> None:
        self.name = f"plain Django ({server}, {variant})"
        self.folder, self.core, self.server = folder, core, server
        self.variant = VARIANTS[variant]
        self.port, self.redis_port = free_port(), free_port()
        self.database = MariaDB(folder, core=core)
        self.parts: list[Server] = []
        self.web: Server | None = None
        self.people: list[dict[str, str]] = []

    def check(self) -> None:
        engines = (*(MARIADB if self._is_on_mariadb else ()), *(REDIS if self._has_redis else ()))
        for program in (*PINNING, *engines):
            need(program)

    @property
    def _is_on_mariadb(self) -> bool:
        return self.variant["RIVAL_DATABASE"] == "mariadb"

    @property
    def _has_redis(self) -> bool:
        return self.variant["RIVAL_LAYER"] != "memory"

    def start(self) -> None:
        self.python = environment.ensure()
        if self._is_on_mariadb:
            self.parts.append(self.database.start("rival"))
        if self._has_redis:
            self.parts.append(start_redis(self.folder, self.redis_port, core=self.core))

    def populate(self, people: int, *, history: int) -> None:
        printed = self._django("populate.py", str(people), str(history))
        self.people = [json.loads(line) for line in printed.splitlines()]
        self._serve()

    def restart(self) -> None:
        if self.web:
            self.web.stop()
        self._serve()

    def pairs(self, count: int) -> Sequence[Pair]:
        return [self._pair(entry) for entry in self.people[:count]]

    def pids(self) -> list[int]:
        return [server.pid for server in (self.web, *self.parts) if server]

    def stored(self) -> int:
        return int(self._django("populate.py", "--stored"))

    def stop(self) -> None:
        end_all([self.web, *self.parts])

    def _pair(self, entry: dict[str, str]) -> Pair:
        url = f"ws://127.0.0.1:{self.port}/ws/chat/{entry['conversation']}/"
        frame = {"type": "chat_message", "sender_id": entry["a"], "content": BODY, "message_type": "text"}
        return Pair(
            a=Seat(url, (("Cookie", f"sessionid={entry['a_session']}"),)),
            b=Seat(url, (("Cookie", f"sessionid={entry['b_session']}"),)),
            frame=json.dumps(frame).encode(),
        )

    def _serve(self) -> None:
        program, *options = {
            "daphne": ["daphne", "--verbosity", "0", "-b", "127.0.0.1", "-p", str(self.port)],
            "uvicorn": ["uvicorn", "--host", "127.0.0.1", "--port", str(self.port), "--no-access-log"],
        }[self.server]
        self.web = start(
            [self.python.parent / program, *options, "asgi:application"],
            core=self.core,
            log=self.folder / "plain-django.log",
            environment=self._environment(),
            folder=PROJECT,
        )
        self.web.wait_until(lambda: listens(self.port))

    def _django(self, *arguments: str) -> str:
        return run([self.python, *arguments], environment=self._environment(), folder=PROJECT)

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            **self.variant,
            "RIVAL_MARIADB_SOCKET": str(self.database.socket),
            "RIVAL_SQLITE_PATH": str(self.folder / "rival.sqlite3"),
            "RIVAL_REDIS_PORT": str(self.redis_port),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
