"""A database is named by a URL: what it may say, and how precisely a wrong one is refused."""

from __future__ import annotations

import importlib.util
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from doran.kernel import config
from doran.kernel.config import BadSetting, Config
from doran.server import databases
from doran.server.databases import sqlite

PASSWORD = "한강-p@ss/word#1"
QUOTED = "%ED%95%9C%EA%B0%95-p%40ss%2Fword%231"


def settings(url: str) -> Config:
    return config.load({"DORAN_DATA": "data", "DORAN_CHAT_DATABASE": url})


def opened(url: str) -> dict[str, Any]:
    return databases.database("chat", settings(url))


def refusal(url: str) -> str:
    with pytest.raises(BadSetting) as refused:
        opened(url)
    said = str(refused.value)
    assert said.startswith("DORAN_CHAT_DATABASE: ")
    assert "hunter2" not in said
    return said


def test_without_a_url_each_service_has_a_file_in_the_data_folder() -> None:
    found = databases.databases(settings(""))
    assert {name: found[name]["NAME"] for name in databases.SERVICES} == {
        name: f"data/{name}.sqlite3" for name in databases.SERVICES
    }
    assert found["default"]["ENGINE"] == "django.db.backends.dummy"


def test_a_file_may_have_any_name() -> None:
    assert opened("sqlite:///srv/%EB%8F%84%EB%9E%80/a%23b.sqlite3")["NAME"] == "/srv/도란/a#b.sqlite3"


@pytest.mark.parametrize(("scheme", "engine"), [("mysql", "mysql"), ("mariadb", "mysql"), ("postgresql", "postgresql")])
def test_a_server_is_named_whole(scheme: str, engine: str) -> None:
    found = opened(f"{scheme}://minji:{QUOTED}@db.example.com:7777/doran_chat")
    assert found["ENGINE"] == f"doran.server.databases.{engine}"
    parts = [found[part] for part in ("USER", "PASSWORD", "HOST", "PORT", "NAME")]
    assert parts == ["minji", PASSWORD, "db.example.com", 7777, "doran_chat"]
    assert found["CONN_MAX_AGE"] is None


def test_a_server_on_this_machine_can_be_reached_by_its_socket() -> None:
    assert opened("mysql://minji@/chat?unix_socket=/run/mysqld/mysqld.sock")["HOST"] == "/run/mysqld/mysqld.sock"
    assert opened("postgresql://minji@/chat?host=/run/postgresql")["HOST"] == "/run/postgresql"


def test_transport_security_is_spelt_as_each_engine_spells_it(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("an authority")
    mysql = opened(f"mysql://minji@db/chat?ssl-mode=verify_identity&ssl-ca={authority}")
    assert mysql["OPTIONS"]["tls"] == {"mode": "VERIFY_IDENTITY", "ca": str(authority)}
    postgresql = opened(f"postgresql://minji@db/chat?sslmode=verify-full&sslrootcert={authority}")["OPTIONS"]
    assert (postgresql["sslmode"], postgresql["sslrootcert"]) == ("verify-full", str(authority))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("oracle://minji:hunter2@db/chat", "begin with one of sqlite://, mysql://, mariadb://, postgresql://"),
        ("hunter2", "begin with one of"),
        ("mysql://minji:hunter2@db/", "name of the database"),
        ("mysql://minji:hunter2@db", "name of the database"),
        ("mysql://minji:hunter2@db/chat/more", "name of the database"),
        ("postgresql://db/chat", "a user must be named"),
        ("mysql://minji:hunter2@/chat", "?unix_socket=/path"),
        ("postgresql://minji:hunter2@/chat", "?host=/path"),
        ("mysql://minji:hunter2@db:many/chat", "port"),
        ("mysql://minji:hunter2@db:99999/chat", "port"),
        ("mysql://minji:hunter2@[db/chat", "host"),
        ("mysql://minji:hunter2#1@db/chat", "%23"),
        ("mysql://minji:hunter2@db/chat?charset=latin1", "unknown option charset; known are ssl-ca, "),
        ("postgresql://minji:hunter2@db/chat?ssl-mode=REQUIRED", "unknown option ssl-mode; known are host, "),
        ("mysql://minji:hunter2@db/chat?ssl-mode=perhaps", "ssl-mode must be one of DISABLED, "),
        ("mysql://minji:hunter2@db/chat?ssl-mode=VERIFY_CA", "needs ssl-ca"),
        ("mysql://minji:hunter2@db/chat?ssl-mode=VERIFY_CA&ssl-ca=/nowhere/ca.pem", "ssl-ca cannot be read"),
        ("mysql://minji:hunter2@db/chat?ssl-ca=/etc/passwd", "ssl-mode must be REQUIRED"),
        ("postgresql://minji:hunter2@db/chat?sslmode=verify-full", "needs sslrootcert"),
        ("postgresql://minji:hunter2@db/chat?sslmode=require&sslmode=disable", "twice"),
        ("postgresql://minji:hunter2@db/chat?sslmode", "name=value"),
        ("sqlite://relative/chat.sqlite3", "sqlite:///srv"),
        ("sqlite:///chat.sqlite3?mode=ro", "takes a path and nothing else"),
    ],
)  # fmt: skip
def test_a_wrong_url_is_refused_precisely_and_unquoted(url: str, words: str) -> None:
    assert words in refusal(url)


@pytest.mark.parametrize(
    ("url", "extra"), [("mysql://minji@db/chat", "doran[mysql]"), ("postgresql://minji@db/chat", "doran[postgres]")]
)
def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, url: str, extra: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    for engine in (databases.mysql, databases.postgresql):
        monkeypatch.setattr(engine, "find_spec", lambda _name: None)
    assert f"pip install '{extra}'" in refusal(url)


def test_a_write_ahead_log_that_has_grown_is_cut_back(tmp_path: Path) -> None:
    """A long read keeps it from being folded in; when that ends, it does not stay as large as it ever was."""
    file = tmp_path / "chat.sqlite3"
    options = sqlite.file(file)["OPTIONS"]
    with (
        closing(sqlite3.connect(file, isolation_level=None)) as writer,
        closing(sqlite3.connect(file, isolation_level=None)) as reader,
    ):
        writer.executescript(options["init_command"] + "PRAGMA synchronous=OFF; CREATE TABLE words (word BLOB);")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM words").fetchone()
        for _ in range(90):
            writer.execute("INSERT INTO words VALUES (zeroblob(1048576))")
        grown = sqlite.wal_bytes(file)
        assert grown > 90 * 1024 * 1024
        reader.execute("ROLLBACK")
        for _ in range(3):
            writer.execute("INSERT INTO words VALUES (zeroblob(1))")
        assert sqlite.wal_bytes(file) <= 64 * 1024 * 1024
    assert sqlite.wal_bytes(tmp_path / "nothing.sqlite3") == 0
