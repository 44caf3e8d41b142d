"""`doran` where PostgreSQL has pgvector, or has not: who brings it, what is said, what becomes of what was kept before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.house.running import doran, running
from tests.house.test_database_servers import ACCOUNTS
from tests.servers.databases import PgVector, PostgreSQL, private_database

pytestmark = pytest.mark.timeout(240)  # each story starts the command several times

PROVIDERS = """
[[provider]]
name = "near"
wire = "openai"
url = "http://127.0.0.1:9/v1"
embedding_model = "toy"
"""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[PostgreSQL]:
    kind: type[PostgreSQL] = getattr(request, "param", PgVector)
    with private_database(kind) as server:
        for statement in ACCOUNTS[PostgreSQL]:
            inside = "doran_ai" if statement.startswith("ALTER DEFAULT") else "postgres"
            server.say(statement.format(service="ai"), database=inside)
        yield server


def owner(server: PostgreSQL) -> dict[str, str]:
    return {"DORAN_AI_DATABASE": server.url("doran_ai", user="doran_ai_owner", password="owner")}


def plain(server: PostgreSQL) -> dict[str, str]:
    return {"DORAN_AI_DATABASE": server.url("doran_ai", user="doran_ai", password="plain")}


def checked(folder: Path, **settings: str) -> dict[str, Any]:
    """What `doran check` says of vectors."""
    found = doran("check", "--json", cwd=folder, **settings)
    (said,) = [one for one in json.loads(found.stdout) if one["name"] == "AI vectors"]
    return dict(said)


def with_one_vector(server: PostgreSQL) -> None:
    """As it was kept before anybody knew of pgvector."""
    server.say(
        "INSERT INTO ai_embedding (id, message_id, message_version, model, conversation_id, seq, sender_id, vector, grams,"
        " created_at) VALUES (gen_random_uuid(), 'm', 1, 'toy', 'c', 1, '준호', '\\x0000803f', '\\x01000000', now())",
        database="doran_ai",
    )


def nearby(server: PostgreSQL) -> list[tuple[Any, ...]]:
    return server.say("SELECT message_id, vector::text, tokens FROM ai_nearby", database="doran_ai")


def test_an_administrator_brings_it_the_owner_fills_it_and_who_serves_uses_it(
    server: PostgreSQL, tmp_path: Path
) -> None:
    asks = {"DORAN_AI_PROVIDERS": PROVIDERS, **plain(server)}
    assert doran("migrate", cwd=tmp_path, **owner(server)).returncode == 0
    with_one_vector(server)
    said = checked(tmp_path, **plain(server))
    assert (said["grade"], "as an administrator, run CREATE EXTENSION vector" in said["sentence"]) == ("note", True)
    with running(folder=tmp_path, **asks) as serving:
        assert serving.said().count("vectors are compared in this process by numpy") == 1

    server.say("CREATE EXTENSION vector", database="doran_ai")
    assert "run `doran migrate` as the owner" in checked(tmp_path, **plain(server))["sentence"]
    brought = doran("migrate", cwd=tmp_path, **owner(server))
    assert brought.returncode == 0, brought.stderr
    assert "Bringing ai's vectors to pgvector" in brought.stdout
    assert nearby(server) == [("m", "[1]", [1])]
    said = checked(tmp_path, **plain(server))
    assert (said["grade"], "compared in the database by pgvector" in said["sentence"]) == ("ok", True)
    with running(folder=tmp_path, **asks) as serving:
        assert serving.said().count("vectors are compared in the database by pgvector") == 1
    assert "pgvector" not in doran("migrate", cwd=tmp_path, **owner(server)).stdout


@pytest.mark.parametrize("server", [PostgreSQL], ids=["postgresql"], indirect=True)
def test_a_postgresql_without_it_says_so(server: PostgreSQL, tmp_path: Path) -> None:
    assert doran("migrate", cwd=tmp_path, **owner(server)).returncode == 0
    said = checked(tmp_path, **plain(server))
    assert (said["grade"], "this PostgreSQL has no pgvector" in said["sentence"]) == ("note", True)


def test_an_account_that_may_not_use_the_table_is_told(server: PostgreSQL, tmp_path: Path) -> None:
    server.say("CREATE EXTENSION vector", database="doran_ai")
    assert doran("migrate", cwd=tmp_path, **owner(server)).returncode == 0
    server.say("REVOKE ALL ON ai_nearby FROM doran_ai", database="doran_ai")
    said = checked(tmp_path, **plain(server))
    assert (said["grade"], "may not use the table ai_nearby" in said["sentence"]) == ("note", True)


def test_a_deployment_that_moves_takes_its_vectors_there(server: PostgreSQL, tmp_path: Path) -> None:
    server.say("CREATE EXTENSION vector", database="doran_ai")
    assert doran("migrate", "--data", "data", cwd=tmp_path).returncode == 0
    with closing(sqlite3.connect(tmp_path / "data" / "ai.sqlite3")) as ai, ai:
        ai.execute(
            "INSERT INTO ai_embedding (id, message_id, message_version, model, conversation_id, seq, sender_id, vector,"
            " grams, created_at) VALUES (?, 'm', 1, 'toy', 'c', 1, '준호', ?, ?, '2026-01-01 00:00:00')",
            ["0" * 31 + "1", b"\0\0\x80\x3f", b"\1\0\0\0"],
        )
    moved = doran("move", "ai", "--data", "data", cwd=tmp_path, **owner(server))
    assert moved.returncode == 0, moved.stderr
    assert nearby(server) == [("m", "[1]", [1])]
