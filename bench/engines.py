"""Private engines for a benchmark: each with its data in the run's folder, pinned to the servers' core, never unsafe."""

from pathlib import Path

from bench.processes import Server, free_port, listens, need, run, start

ACCOUNT = "bench"
"""Name and password of who may use the database by its port."""


MARIADB = ("mariadb-install-db", "mariadbd", "mariadb")
REDIS = ("redis-server",)
"""Programs that each of them needs."""


class MariaDB:
    """A MariaDB that flushes every commit. Root comes by `socket` without a password, ACCOUNT by `port`."""

    def __init__(self, folder: Path, *, core: int) -> None:
        self.folder, self.core = folder, core
        self.socket, self.port = folder / "mariadb.sock", free_port()

    def start(self, *databases: str) -> Server:
        """With these databases, empty."""
        data, user = self.folder / "mariadb", f"--user={run(['id', '-un']).strip()}"
        install = [need("mariadb-install-db"), "--no-defaults", user, f"--datadir={data}"]
        run([*install, "--auth-root-authentication-method=normal"])
        server = start(
            [
                need("mariadbd"),
                "--no-defaults",
                user,
                f"--datadir={data}",
                f"--socket={self.socket}",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--innodb-flush-log-at-trx-commit=1",
                "--character-set-server=utf8mb4",
                "--max-connections=500",
            ],
            core=self.core,
            log=self.folder / "mariadb.log",
        )
        server.wait_until(self.socket.exists)
        for database in databases:
            self.sql(
                f"CREATE DATABASE {database} CHARACTER SET utf8mb4; "
                f"GRANT ALL ON {database}.* TO '{ACCOUNT}'@'127.0.0.1' IDENTIFIED BY '{ACCOUNT}'"
            )
        return server

    def sql(self, statements: str, *, database: str = "") -> str:
        """What the client prints for these statements."""
        command = [need("mariadb"), "--no-defaults", "-uroot", "-S", self.socket, "-e", statements]
        return run([*command, database] if database else command)


def start_redis(folder: Path, port: int, *, core: int) -> Server:
    """A private Redis with its own defaults for snapshots."""
    command = [need("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    server = start(command, core=core, log=folder / "redis.log")
    server.wait_until(lambda: listens(port))
    return server
