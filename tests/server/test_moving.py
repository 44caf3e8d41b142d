"""A deployment moves from its files to a database server: every row, every number, killed as often as one likes."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from doran.contracts.events import MessageCreated, encode
from doran.server.exits import EXITS
from tests.house.running import doran, environment, running
from tests.servers.databases import MariaDB, PostgreSQL, Server

pytestmark = [pytest.mark.timeout(400), pytest.mark.judged]  # processes of their own, on a machine that may be busy

PASSWORD = "봄비가 내리는 밤"
SAID = (
    "안녕 👋🏽",
    "trailing blanks   ",
    " \u3000넓은 빈칸\u3000",
    "café",
    "'\";--\\",
    "가\n나\t다",
    "🏳️‍🌈👩‍👩‍👧‍👦",
)
SERVERS: dict[str, type[Server]] = {"mysql": MariaDB, "postgresql": PostgreSQL}
SERVICES = ("core", "chat", "ai")
MANY = 1500


class Target:
    """Where a deployment goes, and what a program beside it sees there."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.names = {service: f"{service}_{folder.name.replace('-', '_').lower()}"[-48:] for service in SERVICES}
        if engine != "sqlite":
            for name in self.names.values():
                server(engine).say(f"CREATE DATABASE {name}")

    def url(self, service: str) -> str:
        if self.engine == "sqlite":
            return f"sqlite://{self.folder}/new-{service}.sqlite3"
        return server(self.engine).url(self.names[service])

    @property
    def settings(self) -> dict[str, str]:
        return {f"DORAN_{service.upper()}_DATABASE": self.url(service) for service in SERVICES}

    def say(self, service: str, statement: str) -> list[tuple[Any, ...]]:
        if self.engine != "sqlite":
            return server(self.engine).say(statement, database=self.names[service])
        with closing(sqlite3.connect(f"{self.folder}/new-{service}.sqlite3", isolation_level=None)) as database:
            return database.execute(statement).fetchall()

    def copied(self, table: str) -> int:
        """How far the move says it is."""
        try:
            found = self.say("chat", f"SELECT copied FROM doran_move WHERE name = '{table}'")
        except Exception:
            return 0
        return int(found[0][0]) if found else 0


@cache
def server(engine: str) -> Server:
    found = SERVERS[engine]()
    found.start()
    return found


@pytest.fixture(params=["sqlite", "mysql", "postgresql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param in SERVERS and (missing := SERVERS[request.param].missing()):
        pytest.skip(missing)
    return Target(request.param, tmp_path)


@pytest.fixture
def other_file(tmp_path: Path) -> Target:
    """What is the same on every engine is told on the quickest."""
    return Target("sqlite", tmp_path)


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a deployment that people have used, with much in its tables."""
    folder = tmp_path_factory.mktemp("lived")
    with running(folder=folder) as one:
        people = []
        for name in ("minji", "Junho"):
            account = {"username": name, "password": PASSWORD}
            assert one.asks("/api/core/users/", account)[0] == 201
            people.append(one.asks("/api/core/tokens/", account)[1])
        minji, junho = people
        _, talk = one.asks(
            "/api/chat/conversations/", {"participant_id": junho["user_id"]}, token=minji["access_token"]
        )
        path = f"/api/chat/conversations/{talk['id']}/messages/send/"
        sent = [one.asks(path, {"content": words}, token=minji["access_token"])[1] for words in SAID]
        one.asks(f"/api/chat/messages/{sent[2]['id']}/read/", {}, token=junho["access_token"])
        one.is_told(signal.SIGTERM)
    with closing(sqlite3.connect(folder / "data" / "chat.sqlite3")) as chat, chat:
        _fill(chat)
    (folder / "talk").write_text(talk["id"])
    return folder


def _fill(chat: sqlite3.Connection) -> None:
    """Many messages, events that wait, dead letters; numbers that were given and taken away again."""
    chat.row_factory = sqlite3.Row
    model = dict(chat.execute("SELECT * FROM chat_message WHERE seq = 1").fetchone())
    unsent = {"client_message_id": None, "sent_digest": None}
    for seq in range(len(SAID) + 1, MANY + 1):
        _add(chat, "chat_message", **model | unsent | {"id": f"01a0{seq:028x}", "seq": seq, "change_seq": 100 + seq})
    chat.execute("UPDATE chat_conversation SET last_seq = ?, change_seq = ?", [MANY, 100 + MANY])
    chat.execute("UPDATE chat_member SET last_read_seq = 3, last_delivered_seq = 3")
    moment = "2026-01-01 00:00:00.123456"
    for user_id in ("alice", "Alice", "alice ", "앨리스"):
        _add(chat, "chat_person", user_id=user_id, display_name="x", known_at=moment)
    for number in (7, 8):
        _add(chat, "chat_deadletter", id=number, event_id=f"{number:032x}", reason="까닭 ", failed_at=moment)
    words = MessageCreated("m", "c", "alice", "Alice", 1, "기다림 ", "text", f"{moment[:10]}T00:00:00Z")
    waiting = {"data": encode(words).decode(), "schema_version": MessageCreated.VERSION, "timestamp": moment}
    _add(chat, "chat_outbox", id=4321, event_id=f"{9:032x}", event_type=MessageCreated.NAME, **waiting)
    chat.execute("UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'chat_outbox'")


def _add(chat: sqlite3.Connection, table: str, **values: Any) -> None:
    """A row with these values, and nothing in its other columns."""
    for column in chat.execute(f"PRAGMA table_info({table})").fetchall():
        if column["notnull"] and column["name"] not in values:
            values[column["name"]] = "" if column["type"].startswith(("varchar", "text", "char")) else 0
    marks = ", ".join("?" * len(values))
    chat.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))


@pytest.fixture
def here(lived_in: Path, tmp_path: Path) -> Path:
    """A copy of that folder for one test."""
    shutil.copytree(lived_in / "data", tmp_path / "data")
    return tmp_path


def moves(folder: Path, target: Target, *words: str) -> subprocess.CompletedProcess[str]:
    return doran("move", *words, "--data", "data", cwd=folder, **target.settings)


def killed_at(folder: Path, target: Target, *, copied: int) -> None:
    """A move that is killed as soon as so many messages are over."""
    command = [sys.executable, "-m", "doran", "move", "--rows", "7", "--data", "data"]
    process = subprocess.Popen(command, cwd=folder, env=environment(**target.settings), stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while target.copied("chat_message") < copied:
        assert process.poll() is None, "it was over before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert copied <= target.copied("chat_message") < MANY


def rows(where: Path | Target, table: str) -> list[tuple[Any, ...]]:
    """What can be compared across engines, as text."""
    statement = f"SELECT seq, change_seq, sender_id, content, client_message_id FROM chat_{table} ORDER BY seq"
    if isinstance(where, Target):
        return [tuple(row) for row in where.say("chat", statement)]
    with closing(sqlite3.connect(where)) as database:
        return database.execute(statement).fetchall()


# -- on every engine -----------------------------------------------------------------------------------


def test_killed_again_and_again_it_arrives_whole_and_is_used(here: Path, lived_in: Path, target: Target) -> None:
    before = (here / "data" / "chat.sqlite3").read_bytes()
    for copied in (1, 300, 900):
        killed_at(here, target, copied=copied)
    half = doran("up", "--port", "0", "--data", "data", cwd=here, **target.settings)
    assert (half.returncode, "half moved" in half.stderr) == (EXITS["bad_database"][0], True)
    done = moves(here, target)
    assert done.returncode == 0, done.stderr
    assert rows(target, "message") == rows(here / "data" / "chat.sqlite3", "message")
    assert (here / "data" / "chat.sqlite3").read_bytes() == before
    epoch = sqlite3.connect(here / "data" / "chat.sqlite3").execute("SELECT epoch FROM chat_store").fetchone()
    again = moves(here, target)
    assert (again.returncode, "chat has moved" in again.stdout) == (0, True)

    for file in (here / "data").glob("*.sqlite3*"):
        file.unlink()
    with running(folder=here, **target.settings) as one:
        token = one.asks("/api/core/tokens/", {"username": "minji", "password": PASSWORD})[1]["access_token"]
        talk = (lived_in / "talk").read_text()
        seen = one.asks(f"/api/chat/conversations/{talk}/messages/?after_seq=0&page_size={len(SAID)}", token=token)[1]
        assert [message["content"] for message in seen["results"]][::-1] == list(SAID)
        status, sent = one.asks(f"/api/chat/conversations/{talk}/messages/send/", {"content": "도착했어"}, token=token)
        assert (status, sent["seq"], sent["change_seq"]) == (201, MANY + 1, 101 + MANY)
        assert one.asks("/api/chat/sync/", {}, token=token)[1]["epoch"] == epoch[0]
        one.is_told(signal.SIGTERM)
    assert not list((here / "data").glob("*.sqlite3"))
    people = {row[0] for row in target.say("chat", "SELECT user_id FROM chat_person WHERE display_name = 'x'")}
    assert people == {"alice", "Alice", "alice ", "앨리스"}
    assert [tuple(row) for row in target.say("chat", "SELECT id, reason FROM chat_deadletter ORDER BY id")] == [
        (7, "까닭 "),
        (8, "까닭 "),
    ]


def test_numbers_that_were_given_are_not_given_again(here: Path, target: Target) -> None:
    assert moves(here, target, "chat").returncode == 0
    target.say("chat", "DELETE FROM chat_outbox")
    if target.engine == "mysql":
        (found,) = target.say("chat", f"SELECT auto_increment FROM information_schema.tables WHERE table_schema = '{target.names['chat']}' AND table_name = 'chat_outbox'")  # fmt: skip
        assert found == (5001,)
    elif target.engine == "postgresql":
        assert target.say("chat", "SELECT nextval(pg_get_serial_sequence('chat_outbox', 'id'))") == [(5001,)]
    else:
        assert target.say("chat", "SELECT seq FROM sqlite_sequence WHERE name = 'chat_outbox'") == [(5000,)]


# -- what it refuses -----------------------------------------------------------------------------------


def test_a_row_that_was_changed_behind_its_back_is_named(here: Path, other_file: Target) -> None:
    killed_at(here, other_file, copied=300)
    other_file.say("chat", "UPDATE chat_message SET content = '몰래' WHERE seq = 20")
    other_file.say("chat", "DELETE FROM chat_message WHERE seq = 25")
    other_file.say("chat", "INSERT INTO chat_block (user_id, blocked_user_id) VALUES ('a', 'b')")
    refused = moves(here, other_file)
    assert refused.returncode == EXITS["bad_database"][0]
    for named in ("chat_message has another content in the row", "chat_message lacks the row", "chat_block has 1 rows"):
        assert named in refused.stderr
    assert "몰래" not in refused.stderr + refused.stdout
    half = doran("up", "--port", "0", "--data", "data", cwd=here, **other_file.settings)
    assert "half moved" in half.stderr
    assert moves(here, other_file).returncode == EXITS["bad_database"][0]


def test_a_target_with_rows_of_others_is_left_alone(here: Path, other_file: Target) -> None:
    assert doran("migrate", "--data", "data", cwd=here, **other_file.settings).returncode == 0
    other_file.say("ai", "INSERT INTO ai_forgotten (message_id, at) VALUES ('1', '2026-01-01')")
    refused = moves(here, other_file)
    assert (refused.returncode, "has rows" in refused.stderr) == (EXITS["in_use"][0], True)
    assert other_file.say("core", "SELECT count(*) FROM core_user") == [(0,)]
    assert other_file.say("core", "SELECT count(*) FROM sqlite_master WHERE name = 'doran_move'") == [(0,)]


def test_half_a_move_of_another_source_is_left_alone(here: Path, tmp_path: Path, other_file: Target) -> None:
    killed_at(here, other_file, copied=1)
    (tmp_path / "other").mkdir()
    assert doran("migrate", "--data", "data", cwd=tmp_path / "other").returncode == 0
    before = other_file.say("chat", "SELECT * FROM doran_move ORDER BY name")
    refused = moves(tmp_path / "other", other_file, "chat")
    assert (refused.returncode, "another source" in refused.stderr) == (EXITS["in_use"][0], True)
    assert other_file.say("chat", "SELECT * FROM doran_move ORDER BY name") == before


def test_what_is_in_use_does_not_move(tmp_path: Path, other_file: Target) -> None:
    with running(folder=tmp_path):
        refused = moves(tmp_path, other_file)
    assert refused.returncode == EXITS["in_use"][0]
    assert not list(tmp_path.glob("new-*"))


def test_it_must_be_said_where_to(here: Path) -> None:
    refused = doran("move", "chat", "--data", "data", cwd=here)
    assert (refused.returncode, "DORAN_CHAT_DATABASE" in refused.stderr) == (EXITS["bad_setting"][0], True)
    file = here / "data" / "chat.sqlite3"
    itself = doran("move", "chat", "--data", "data", cwd=here, DORAN_CHAT_DATABASE=f"sqlite://{file}")
    assert itself.returncode == EXITS["bad_setting"][0]
    nobody = doran(
        "move", "chat", "--data", "data", cwd=here, DORAN_CHAT_DATABASE="postgresql://doran:geheim@127.0.0.1:1/chat"
    )
    assert nobody.returncode == EXITS["bad_database"][0]
    assert "geheim" not in nobody.stderr
