"""ejabberd with its archive (mod_mam) on a MariaDB that flushes every commit, started as a benchmark needs it.

Clients speak XMPP over plain TCP, its cheapest door: TLS, compression and shapers are off, passwords are plain.
"""

import os
import pwd
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

from bench.engines import ACCOUNT, MARIADB, MariaDB
from bench.leftovers import MARK, marked
from bench.processes import PINNING, Server, StartError, end_all, free_port, listens, need, start
from bench.seats import BODY, Dialect, Pair, Seat

SCHEMA = Path("/usr/share/ejabberd/sql/mysql.sql")
PASSWORD = "bench"
CONFIG = """
loglevel: warning
hosts: [localhost]
listen:
  - {{port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, max_stanza_size: 262144, shaper: none, access: all, \
starttls: false}}
auth_method: sql
auth_password_format: plain
disable_sasl_mechanisms: ["digest-md5", "X-OAUTH2"]
sql_type: mysql
sql_server: "127.0.0.1"
sql_port: {sql_port}
sql_database: rival
sql_username: {account}
sql_password: {account}
sql_pool_size: 10
default_db: mnesia
modules:
  mod_roster: {{}}
  mod_ping: {{}}
  mod_stream_mgmt: {{}}
  mod_offline: {{}}
  mod_carboncopy: {{}}
  mod_mam: {{db_type: sql, default: always, compress_xml: false}}
"""


class Ejabberd:
    """A message is one stanza to the other person and two rows of the archive; its sender hears nothing."""

    name = "ejabberd (mod_mam, mariadb)"
    dialect = Dialect(history=b"ready", answer=b"\0", message=b"<message", refusal=b"<stream:error", answers=False)

    def __init__(self, folder: Path, *, core: int) -> None:
        self.folder, self.core = folder, core
        self.port, self.names_port = free_port(), free_port()
        self.node = f"bench{self.port}@localhost"
        self.home = folder / "ejabberd"
        self.mariadb = MariaDB(folder, core=core)
        self.database: Server | None = None
        self.server: Server | None = None

    def check(self) -> None:
        for program in (*PINNING, *MARIADB, "ejabberdctl"):
            need(program)
        if not SCHEMA.exists():
            raise StartError("ejabberd is not installed; bench/README.md lists the packages")
        _reachable(self.folder)

    def start(self) -> None:
        self.database = self.mariadb.start("rival")
        self._sql(SCHEMA.read_text())
        self._furnish()

    def populate(self, people: int, *, history: int) -> None:
        """The archive starts empty: no history is read here."""
        names = [f"('{name}', '{PASSWORD}', '', '')" for number in range(people // 2) for name in _couple(number)]
        self._sql(f"INSERT INTO users (username, password, serverkey, salt) VALUES {', '.join(names)};")
        self._serve()

    def restart(self) -> None:
        self._end()
        self._serve()

    def pairs(self, count: int) -> Sequence[Pair]:
        return [self._pair(*_couple(number)) for number in range(count)]

    def pids(self) -> list[int]:
        return ([self.database.pid] if self.database else []) + self._machines()

    def _machines(self) -> list[int]:
        """The process that does the work; `ejabberdctl` only waits for it. None where it has ended."""
        return [pid for pid in marked(os.environ[MARK]) if _is_machine(pid, self.node)]

    def _end(self) -> None:
        if self.server:
            for pid in self._machines():
                os.kill(pid, signal.SIGTERM)
            self.server.stop()
            self.server = None

    def stored(self) -> int:
        """Every message is archived for both people."""
        return int(self._sql("SELECT COUNT(*) FROM archive;").split()[-1]) // 2

    def stop(self) -> None:
        try:
            self._end()
        finally:
            end_all([self.database])

    def _pair(self, a: str, b: str) -> Pair:
        frame = f"<message to='{b}@localhost/bench' type='chat' id='m1'><body>{BODY}</body></message>"
        return Pair(a=self._seat(a), b=self._seat(b), frame=frame.encode())

    def _seat(self, name: str) -> Seat:
        return Seat(f"xmpp://{name}:{PASSWORD}@127.0.0.1:{self.port}", ())

    def _furnish(self) -> None:
        for part in ("spool", "logs"):
            (self.home / part).mkdir(parents=True)
        (self.home / "ejabberd.yml").write_text(
            CONFIG.format(port=self.port, sql_port=self.mariadb.port, account=ACCOUNT)
        )
        (self.home / "ctl.cfg").write_text(f"EJABBERD_CONFIG_PATH={self.home}/ejabberd.yml\n")
        for path in (self.home, *self.home.rglob("*")):
            shutil.chown(path, "ejabberd")

    def _serve(self) -> None:
        options = {"ctl-config": "ctl.cfg", "config": "ejabberd.yml", "spool": "spool", "logs": "logs"}
        places = [word for name, file in options.items() for word in (f"--{name}", self.home / file)]
        command = [need("ejabberdctl"), *places, "--node", self.node, "foreground"]
        own = {"ERL_EPMD_PORT": str(self.names_port)}  # a registry of names of our own, which ends with us
        self.server = start(command, core=self.core, log=self.folder / "ejabberd.log", environment=os.environ | own)
        self.server.wait_until(lambda: listens(self.port))

    def _sql(self, statements: str) -> str:
        return self.mariadb.sql(statements, database="rival")


def _is_machine(pid: int, node: str) -> bool:
    """Whether it is Erlang's, under this name."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False
    return "beam" in words[0] and node in words


def _couple(number: int) -> tuple[str, str]:
    return f"u{number}a", f"u{number}b"


def _reachable(folder: Path) -> None:
    """ejabberd runs as its own user, who must be able to walk to its files."""
    try:
        pwd.getpwnam("ejabberd")
        for path in (folder, folder.parent):
            path.chmod(path.stat().st_mode | 0o055)
    except (KeyError, PermissionError):
        raise StartError("ejabberd runs only where there is a user of that name and this one may be root") from None
