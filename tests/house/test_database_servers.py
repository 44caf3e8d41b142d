"""`doran` on MariaDB and PostgreSQL: accounts, tables changed forwards and backwards, what is refused at the start."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doran.server.exits import EXITS
from tests.house.running import doran, running
from tests.servers.databases import MariaDB, PostgreSQL, Server, private_database

pytestmark = pytest.mark.timeout(240)  # each story starts the command several times

SERVICES = ("core", "chat", "ai")
SECRET = "only for tests, but long enough to be one"
SAFE = {
    "DORAN_MODE": "production",
    "DORAN_PUBLIC_URL": "https://chat.example.com",
    "DORAN_SECRET_KEY": SECRET,
    "DORAN_TRUSTED_PROXIES": "127.0.0.1",
}

# As docs/operate.md has them.
ACCOUNTS = {
    MariaDB: (
        "CREATE DATABASE doran_{service} CHARACTER SET utf8mb4",
        "CREATE USER doran_{service}_owner IDENTIFIED BY 'owner'",
        "GRANT ALL ON doran_{service}.* TO doran_{service}_owner",
        "CREATE USER doran_{service} IDENTIFIED BY 'plain'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON doran_{service}.* TO doran_{service}",
    ),
    PostgreSQL: (
        "CREATE ROLE doran_{service}_owner LOGIN PASSWORD 'owner'",
        "CREATE ROLE doran_{service} LOGIN PASSWORD 'plain'",
        "CREATE DATABASE doran_{service} OWNER doran_{service}_owner ENCODING 'UTF8' TEMPLATE template0",
        "REVOKE ALL ON DATABASE doran_{service} FROM PUBLIC",
        "GRANT CONNECT ON DATABASE doran_{service} TO doran_{service}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE doran_{service}_owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO doran_{service}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE doran_{service}_owner GRANT USAGE ON SEQUENCES TO doran_{service}",
    ),
}


@pytest.fixture(params=[MariaDB, PostgreSQL], ids=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    kind: type[Server] = request.param
    with private_database(kind) as server:
        for service in SERVICES:
            for statement in ACCOUNTS[kind]:  # type: ignore[index]
                inside = f"doran_{service}" if statement.startswith("ALTER DEFAULT") else ""
                server.say(statement.format(service=service), **({"database": inside} if inside else {}))
        yield server


def owners(server: Any) -> dict[str, str]:
    return addresses(server, "_owner", "owner")


def plain(server: Any) -> dict[str, str]:
    return addresses(server, "", "plain")


def addresses(server: Any, kind: str, password: str) -> dict[str, str]:
    return {
        f"DORAN_{service.upper()}_DATABASE": server.url(
            f"doran_{service}", user=f"doran_{service}{kind}", password=password
        )
        for service in SERVICES
    }


def test_an_account_that_may_change_tables_migrates_and_one_that_may_not_serves(server: Server, tmp_path: Path) -> None:
    early = doran("up", "--port", "0", cwd=tmp_path, **plain(server))
    assert early.returncode == EXITS["bad_database"][0], early.stderr
    assert "run `doran migrate`" in early.stderr
    assert early.stderr.count("\n") == 1
    brought = doran("migrate", cwd=tmp_path, **owners(server))
    assert brought.returncode == 0, brought.stderr
    with running(folder=tmp_path, DORAN_SIGNUP="open", **plain(server)) as serving:
        named = {"username": "minji", "password": "봄비가 내리는 밤에", "display_name": "민지 🎉"}
        status, made = serving.asks("/api/core/users/", named)
        assert (status, made["profile"]["display_name"]) == (201, "민지 🎉")
        assert serving.is_told(signal.SIGTERM) == 0


def test_copies_that_start_together_make_the_tables_once(server: Server, tmp_path: Path) -> None:
    results: list[tuple[int, str]] = []

    def start(name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        done = doran("migrate", cwd=folder, DORAN_SECRET_KEY=SECRET, **owners(server))
        results.append((done.returncode, done.stderr))

    copies = [threading.Thread(target=start, args=(str(number),)) for number in range(3)]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    assert results == [(0, "")] * 3


def test_an_unreachable_server_is_one_sentence_without_the_password(server: Server, tmp_path: Path) -> None:
    server.kill()
    refused = doran("up", "--port", "0", cwd=tmp_path, **plain(server))
    assert refused.returncode == EXITS["bad_database"][0]
    assert "core's database cannot be reached" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert "plain@" not in refused.stderr


UNSAFE = {
    "mariadb": ("SET GLOBAL innodb_flush_log_at_trx_commit = 2", "innodb_flush_log_at_trx_commit is 2"),
    "postgresql": ("ALTER DATABASE doran_chat SET synchronous_commit = off", "synchronous_commit is off"),
}


def test_a_database_that_may_forget_is_refused_in_production_and_told_in_development(
    server: Server, tmp_path: Path
) -> None:
    statement, words = UNSAFE[server.kind]
    assert doran("migrate", cwd=tmp_path, **owners(server)).returncode == 0
    server.say(statement)
    refused = doran("up", "--port", "0", cwd=tmp_path, **SAFE, **plain(server))
    assert refused.returncode == EXITS["unsafe_database"][0], refused.stderr
    *_, last = map(json.loads, refused.stderr.splitlines())  # in production also the steps before it are log lines
    assert words in last["event"]
    assert (last["level"], last["code"]) == ("ERROR", EXITS["unsafe_database"][0])
    checked = doran("check", "--production", cwd=tmp_path, **SAFE, **plain(server))
    assert words in checked.stdout
    with running(folder=tmp_path, **plain(server)) as serving:
        assert words in serving.said()
