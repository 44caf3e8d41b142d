"""`doran check --production`: each unsafe thing is found and told how to repair, and a safe deployment passes."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from doran.kernel import config, secret_files
from doran.server import beforehand, databases, production
from doran.server.databases import readings
from doran.server.exits import EXITS
from tests.house.running import doran
from tests.servers.databases import MariaDB, PostgreSQL, private_database

SAFE = {
    "DORAN_MODE": "production",
    "DORAN_PUBLIC_URL": "https://chat.example.com",
    "DORAN_TRUSTED_PROXIES": "127.0.0.1",
    "DORAN_SIGNUP": "closed",
}
LONG = "a token that nobody guesses"


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with room; stories about too little of it say so."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (65_536, 65_536))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 40))


@pytest.fixture
def found(tmp_path: Path) -> Any:
    """What is found with these settings: (grade, name) and the sentences."""

    def look(**settings: str) -> dict[str, str]:
        environ = {**SAFE, "DORAN_DATA": str(tmp_path / "data"), **settings}
        all_found = production.findings(config.load(environ), environ)
        return {f"{one.grade} {one.name}": one.sentence for one in all_found if one.grade != "ok"}

    return look


def test_a_safe_deployment_has_nothing_to_repair(found: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(LONG)
    (tmp_path / "token").chmod(0o600)
    assert found(DORAN_METRICS_TOKEN_FILE=str(tmp_path / "token")) == {}


@pytest.mark.parametrize(
    ("settings", "finding", "remedy"),
    [
        ({"DORAN_PUBLIC_URL": "http://chat.example.com"}, "NO production", "public_url must be an https:// address"),
        ({"DORAN_FAULT": "send.received:1"}, "NO production", "fault is for tests"),
        ({"DORAN_SECRET_KEY": "short"}, "NO production", "at least 32 characters"),
        ({"DORAN_MODE": "development"}, "note mode", "set it to production"),
        ({"DORAN_METRICS_TOKEN": LONG}, "note secrets", "DORAN_METRICS_TOKEN_FILE"),
        ({}, "note metrics", "DORAN_METRICS_TOKEN"),
        ({"DORAN_METRICS_TOKEN": "short"}, "NO production", "metrics_token must have at least 16 characters"),
        ({"DORAN_METRICS_TOKEN": "metrics-token-1234"}, "NO production", "metrics_token is easy to guess"),
        ({"DORAN_SECRET_KEY": "x" * 40}, "NO production", "secret_key is easy to guess"),
        ({"DORAN_OPERATOR_TOKEN": "qwertyuiopasdfghjklzxcvbnm1234567890"}, "NO production", "operator_token is easy"),
        ({"DORAN_SERVICE_SECRET": "changeme" * 4}, "NO production", "service_secret is easy to guess"),
        ({"DORAN_HOST": "0.0.0.0"}, "note address", "let only the proxy reach it"),
        ({"DORAN_HOST": "::"}, "note address", "let only the proxy reach it"),
        ({"DORAN_ALLOWED_ORIGINS": "https://a.example,http://b.example"}, "note origins", "http://b.example"),
        ({"DORAN_REDIS": "rediss://:doran123@10.0.0.9"}, "NO Redis", "the password in DORAN_REDIS is easy to guess"),
        ({"DORAN_REDIS": "redis://:doran123@127.0.0.1"}, "note Redis", "the password in DORAN_REDIS is easy to guess"),
        ({"DORAN_BUS": "amqps://doran:password1234@10.0.0.9"}, "NO bus", "the password in DORAN_BUS is easy to guess"),
        ({"DORAN_BUS": "kafkas://10.0.0.9:9092"}, "NO bus", "without an account"),
        (
            {"DORAN_CHAT_DATABASE": "mysql://doran:aaaaaaaaaaaaaa@10.0.0.9/chat"},
            "NO chat database",
            "the password in DORAN_CHAT_DATABASE is easy to guess",
        ),
        ({"DORAN_SIGNUP": "open"}, "note sign-up", "invite or closed"),
        ({"DORAN_SIGNUP": "invite", "DORAN_INVITE_CODES": "abc"}, "NO sign-up", "DORAN_INVITE_CODES"),
        ({"DORAN_TRUSTED_PROXIES": ""}, "NO proxies", "DORAN_TRUSTED_PROXIES"),
        ({"DORAN_TRUSTED_PROXIES": "0.0.0.0/0"}, "NO proxies", "name the proxy's own address"),
        ({"DORAN_TRUSTED_PROXIES": "10.0.0.1,::/0"}, "NO proxies", "name the proxy's own address"),
        ({"DORAN_REDIS": "rediss://10.0.0.9"}, "NO Redis", "requirepass"),
        ({"DORAN_REDIS": "redis://:q8Zx0u3VkR5nB1tY@10.0.0.9"}, "note Redis", "rediss://"),
    ],
)
def test_what_is_unsafe_is_found(found: Any, settings: dict[str, str], finding: str, remedy: str) -> None:
    assert remedy in found(**settings)[finding]


@pytest.mark.parametrize("url", ["redis://127.0.0.1", "redis://localhost:7000", "redis://[::1]", "unix:///run/redis"])
def test_an_open_redis_on_this_machine_is_an_exception_that_is_said(found: Any, url: str) -> None:
    assert not any("Redis" in name for name in found(DORAN_REDIS=url))
    (said,) = production._redis(config.load({"DORAN_REDIS": url}), {})
    assert (said.grade, "well only on this machine" in said.sentence) == ("ok", True)


@pytest.mark.parametrize(
    ("bus", "name"),
    [
        ("amqp://guest:guest@rabbit", "NO bus"),
        ("amqps://rabbit", "NO bus"),
        ("redis://10.0.0.9", "NO bus"),
        ("amqp://doran:q8Zx0u3VkR5nB1tY@rabbit", "note bus"),
        ("amqps://doran:q8Zx0u3VkR5nB1tY@rabbit", None),
        ("amqp://guest:guest@127.0.0.1", "ok bus"),
        ("", None),
    ],
)
def test_a_bus_that_anybody_enters_is_found(bus: str, name: str | None) -> None:
    said = [f"{one.grade} {one.name}" for one in production._bus(SimpleNamespace(bus=bus), {})]  # type: ignore[arg-type]
    assert (said[:1] or [None]) == [name]


@pytest.mark.parametrize(("mode", "finding"), [(0o600, None), (0o440, "NO"), (0o644, "NO"), (0o622, "NO")])
def test_a_secret_that_others_can_reach_is_found(found: Any, tmp_path: Path, mode: int, finding: str | None) -> None:
    path = tmp_path / "secret_key"
    path.write_text("x" * 40)
    path.chmod(mode)
    said = found(DORAN_SECRET_KEY_FILE=str(path))
    assert ("NO secrets" in said) is (finding == "NO")
    assert finding is None or f"chmod 600 {path}" in said["NO secrets"]


def test_a_database_key_and_a_secret_key_that_others_can_read_are_found(found: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("client.pem", "data/secret_key"):
        (tmp_path / name).write_text("x" * 40)
        (tmp_path / name).chmod(0o644)
    url = f"mysql://doran@db/chat?ssl-mode=REQUIRED&ssl-key={tmp_path}/client.pem"
    told = config.load({"DORAN_CHAT_DATABASE": url, "DORAN_DATA": str(tmp_path / "data")})
    assert (
        f"the key in DORAN_CHAT_DATABASE can be read by others: chmod 600 {tmp_path}/client.pem"
        in beforehand.exposed(told)
    )
    assert f"chmod 600 {tmp_path}/data/secret_key" in found()["NO secrets"]


def test_a_secret_on_a_disk_of_its_own_is_kept_by_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounted").write_text("x" * 40)
    (tmp_path / "mounted").chmod(0o444)
    monkeypatch.setattr("os.statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert secret_files.exposed(tmp_path / "mounted") == ""


def test_a_disk_that_is_nearly_full_is_found(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=300 << 20))
    assert "300 MiB are free" in found()["NO disk"]


@pytest.mark.parametrize(("kind", "is_told"), [("nfs4", True), ("cifs", True), ("ext4", False), ("fuseblk", False)])
def test_a_network_disk_is_found(
    found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_told: bool
) -> None:
    monkeypatch.setattr(production, "disk_kind", lambda *_: kind)
    assert ("NO disk" in found()) is is_told


def test_the_kind_of_a_disk_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\nfiles:/x /srv/our\\040files nfs4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n")
    assert production.disk_kind(Path("/srv/our files/data"), mounts) == "nfs4"
    assert production.disk_kind(Path("/srv/other"), mounts) == "tmpfs"
    assert production.disk_kind(Path("/home"), mounts) == "ext4"
    assert production.disk_kind(Path("/home"), tmp_path / "nothing") == ""


@pytest.mark.parametrize(("limit", "grade"), [(1024, "NO"), (20_000, "note"), (65_536, None)])
def test_too_few_open_files_are_found(
    found: Any, monkeypatch: pytest.MonkeyPatch, limit: int, grade: str | None
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert [name for name in found() if "open files" in name] == ([f"{grade} open files"] if grade else [])


# -- the databases -----------------------------------------------------------------------------------------


@contextmanager
def opened(url: str) -> Iterator[Any]:
    """A connection as Doran opens it."""
    made = {"default": {"ENGINE": "django.db.backends.dummy"}, "looked at": databases.opened(url, "the tests")}
    connection = connections.__class__(made).create_connection("looked at")
    try:
        yield connection
    finally:
        connection.close()


def test_sqlite_as_we_open_it_is_durable(tmp_path: Path) -> None:
    with opened(f"sqlite://{tmp_path}/chat.sqlite3") as connection:
        assert readings.undurable(connection) + readings.too_mighty(connection) == []
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=NORMAL")
        assert "synchronous is 1" in readings.undurable(connection)[0]


def test_a_mariadb_that_does_not_flush_and_an_administrator_are_found() -> None:
    unsafe = ("--innodb-flush-log-at-trx-commit=2", "--log-bin=doran", "--sync-binlog=0", "--innodb-doublewrite=OFF")
    with private_database(MariaDB, *unsafe) as server:
        for statement in (
            "CREATE DATABASE chat",
            "CREATE USER doran IDENTIFIED BY 'pw'",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON chat.* TO doran",
        ):
            server.say(statement)
        with opened(server.url("chat")) as connection:
            said = " ".join(readings.undurable(connection))
            assert all(name in said for name in ("innodb_flush_log_at_trx_commit", "innodb_doublewrite", "sync_binlog"))
            assert "rights on every database" in readings.too_mighty(connection)[0]
            assert abs(readings.seconds_ahead(connection, time.time())) < 2
            assert readings.seconds_ahead(connection, time.time() - 60) > 50
        with opened(server.url("chat", user="doran", password="pw")) as connection:  # type: ignore[call-arg]
            assert readings.too_mighty(connection) == []
        server.say("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        server.say("SET GLOBAL sync_binlog = 1")
        with opened(server.url("chat")) as connection:
            assert len(readings.undurable(connection)) == 1


def test_a_postgresql_that_does_not_flush_and_an_administrator_are_found() -> None:
    with private_database(PostgreSQL, "-c", "synchronous_commit=off", "-c", "full_page_writes=off") as server:
        server.say("CREATE ROLE doran LOGIN")
        with opened(server.url("postgres")) as connection:
            said = " ".join(readings.undurable(connection))
            assert "synchronous_commit is off" in said
            assert "full_page_writes is off" in said
            assert "fsync" not in said
            assert "administrator" in readings.too_mighty(connection)[0]
            assert abs(readings.seconds_ahead(connection, time.time())) < 2
        with opened(server.url("postgres", user="doran")) as connection:  # type: ignore[call-arg]
            assert readings.too_mighty(connection) == []


# -- the command -------------------------------------------------------------------------------------------


def test_the_command_says_it_for_people_and_for_programs(tmp_path: Path) -> None:
    for_people = doran("check", "--production", "--data", "data", cwd=tmp_path, DORAN_PORT="0")
    assert for_people.returncode == EXITS["failed"][0]
    assert "NO   proxies        no proxy is believed" in for_people.stdout
    for_programs = doran("check", "--production", "--json", "--data", "data", cwd=tmp_path, DORAN_PORT="0")
    listed = json.loads(for_programs.stdout)
    assert for_programs.returncode == EXITS["failed"][0]
    assert {"name", "grade", "sentence"} == set(listed[0])
    assert [
        f"{one['grade']:<4} {one['name']:<14} {one['sentence']}" for one in listed
    ] == for_people.stdout.splitlines()
    assert not (tmp_path / "data").exists()


def test_a_shown_secret_is_never_printed(tmp_path: Path) -> None:
    told = doran(
        "check", "--production", cwd=tmp_path, DORAN_PORT="0", DORAN_REDIS="redis://:hunter2@10.0.0.9", DORAN_METRICS_TOKEN="hunter3",
    )  # fmt: skip
    assert "hunter" not in told.stdout + told.stderr
