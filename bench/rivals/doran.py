"""Doran as `doran up` starts it, with the limits of single people raised by settings.

Nothing else is changed but where things are kept: in SQLite files, or in a private MariaDB with Redis.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bench import generator, people
from bench.engines import MARIADB, REDIS, MariaDB, start_redis
from bench.processes import PINNING, Server, StartError, end_all, free_port, need, start
from bench.rest import Rest, UnexpectedAnswerError
from bench.seats import Pair

ROOT = Path(__file__).resolve().parents[2]
RAISED = {
    "DORAN_SIGNUPS_PER_MINUTE": "1000000",
    "DORAN_LOGINS_PER_MINUTE": "1000000",
    "DORAN_REQUESTS_PER_SECOND": "100000",
    "DORAN_SENDS_PER_SECOND": "100000",
    "DORAN_SEND_BURST": "100000",
    "DORAN_FRAMES_PER_SECOND": "1000000",
    "DORAN_UNREADY_SOCKETS_PER_ADDRESS": "1000",
}


SERVICES = ("core", "chat", "ai")
NAMES = {"sqlite": "Doran", "mariadb": "Doran (mariadb, redis)"}
"""Of each engine: what the side is called."""


class Doran:
    """`door` is `one` for sockets of one conversation, `all` for sockets of everything."""

    def __init__(self, folder: Path, *, core: int, door: str, marks: bool, engine: str = "sqlite") -> None:
        self.name = NAMES[engine]
        self.engine = engine
        self.mariadb = MariaDB(folder, core=core)
        self.redis_port = free_port()
        self.parts: list[Server] = []
        self.folder, self.core, self.door = folder, core, door
        self.dialect = people.dialect(door=door, marks=marks)
        self.port = free_port()
        self.town = people.Town("127.0.0.1", self.port)
        self.server: Server | None = None

    def check(self) -> None:
        for program in (*PINNING, *(() if self.engine == "sqlite" else (*MARIADB, *REDIS))):
            need(program)
        find_doran()

    def start(self) -> None:
        if self.engine == "mariadb":
            self.parts = [
                self.mariadb.start(*SERVICES),
                start_redis(self.folder, self.redis_port, core=self.core),
            ]
        self._serve()

    def _serve(self) -> None:
        command: list[str | Path] = [find_doran(), "up", "--host", "127.0.0.1", "--port", str(self.port)]
        self.server = start(
            [*command, "--data", self.folder / "data"],
            core=self.core,
            log=self.folder / "doran.log",
            environment=os.environ | RAISED | self._where(),
        )
        self.server.wait_until(lambda: answers(self.port))

    def populate(self, people: int, *, history: int) -> None:
        self.town.settle(people)
        generator.run(generator.fill(self.pairs(people // 2), self.dialect, messages=history))

    def _where(self) -> dict[str, str]:
        """Settings that name the engines."""
        if self.engine == "sqlite":
            return {}
        socket = self.mariadb.socket
        urls = {f"DORAN_{one.upper()}_DATABASE": f"mysql://root@/{one}?unix_socket={socket}" for one in SERVICES}
        return urls | {"DORAN_REDIS": f"redis://127.0.0.1:{self.redis_port}/0"}

    def restart(self) -> None:
        if self.server:
            self.server.stop()
        self._serve()

    def pairs(self, count: int) -> Sequence[Pair]:
        chosen = self.town.couples[:count]
        self.town.renew(chosen)
        return [people.seats(couple, host="127.0.0.1", port=self.port, door=self.door) for couple in chosen]

    def pids(self) -> list[int]:
        return [server.pid for server in (self.server, *self.parts) if server]

    def stored(self) -> int:
        self.town.renew(self.town.couples)
        return sum(self.town.last_seq(couple) for couple in self.town.couples)

    def stop(self) -> None:
        end_all([self.server, *self.parts])

    def rest(self) -> Rest:
        """Calls as A of the first pair."""
        couple = self.town.couples[0]
        self.town.renew([couple])
        return Rest("127.0.0.1", self.port, token=couple.a.access)

    def pages(self) -> str:
        """The path of the messages of the first pair."""
        return f"/api/chat/conversations/{self.town.couples[0].conversation}/messages/"


def answers(port: int) -> bool:
    """Whether a Doran is ready at this port."""
    rest = Rest("127.0.0.1", port)
    try:
        rest.raw("GET", "/health/ready")
    except (OSError, UnexpectedAnswerError):
        return False
    finally:
        rest.close()
    return True


def find_doran() -> Path:
    """The `doran` of this clone, or else the one on the path."""
    own = ROOT / ".venv" / "bin" / "doran"
    found = own if own.exists() else shutil.which("doran")
    if not found:
        raise StartError("doran is not installed; bin/up in this clone installs it")
    return Path(found)
