"""How a server leaves: proxies notice first, everybody is told, and nothing keeps it for ever."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from doran.server.exits import EXITS
from tests.house.running import Running, doran, environment, running
from tests.stage import eventually

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

PASSWORD = "봄비가 내리는 밤"


class Person:
    """Somebody with an account and a token."""

    def __init__(self, server: Running, username: str) -> None:
        self.server = server
        me = {"username": username, "password": PASSWORD}
        self.id = server.asks("/api/core/users/", me)[1]["id"]
        self.token = server.asks("/api/core/tokens/", me)[1]["access_token"]

    def starts(self, other: Person) -> str:
        body = {"participant_id": other.id}
        return str(self.server.asks("/api/chat/conversations/", body, token=self.token)[1]["id"])

    async def opens(self, talk: str) -> ClientConnection:
        where = f"ws{self.server.url.removeprefix('http')}/ws/chat/{talk}/"
        socket = await connect(where, additional_headers={"Authorization": f"Bearer {self.token}"}, proxy=None)
        await hears(socket, "conversation_history")
        return socket


def kept_open(server: Running) -> str | None:
    """What the server says of the connection after it has answered."""
    with urllib.request.urlopen(f"{server.url}/health/live", timeout=10) as alive:
        return str(alive.headers["connection"])


async def hears(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while (frame := json.loads(await socket.recv()))["type"] != kind:
            pass
    return dict(frame)


async def says(socket: ClientConnection, content: str) -> None:
    await socket.send(json.dumps({"type": "chat_message", "content": content}))


async def close_code(socket: ClientConnection) -> int:
    try:
        async with asyncio.timeout(20):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


@pytest.fixture
def town(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Running, Person, str]]:
    """A server, 민지, and her conversation with 준호."""
    with running(folder=tmp_path, DORAN_LOGINS_PER_MINUTE="1000", **getattr(request, "param", {})) as server:
        minji, junho = Person(server, "minji"), Person(server, "junho")
        yield server, minji, minji.starts(junho)


@pytest.mark.parametrize("town", [{"DORAN_DRAIN_DELAY_SECONDS": "60"}], indirect=True)
async def test_a_proxy_notices_before_anything_ends(town: tuple[Running, Person, str]) -> None:
    server, minji, talk = town
    before = await minji.opens(talk)
    server.process.send_signal(signal.SIGTERM)
    await eventually(lambda: server.asks("/health/ready")[0] == 503)
    assert server.asks("/health/ready")[1]["status"] == "draining"
    assert await asyncio.to_thread(kept_open, server) == "close"
    after = await minji.opens(talk)
    for number, socket in enumerate((before, after)):
        await says(socket, f"아직 여기 {number}")
        assert (await hears(socket, "ack"))["message"]["content"] == f"아직 여기 {number}"
    leaving = asyncio.create_task(asyncio.to_thread(server.is_told, signal.SIGTERM))  # told twice: at once
    assert [await close_code(before), await close_code(after)] == [1012, 1012]
    assert await leaving == EXITS["done"][0]


@pytest.mark.parametrize("town", [{"DORAN_DRAIN_SECONDS": "0.5"}], indirect=True)
async def test_a_database_that_does_not_answer_cannot_keep_a_server(
    town: tuple[Running, Person, str], tmp_path: Path
) -> None:
    server, minji, talk = town
    socket = await minji.opens(talk)
    await says(socket, "지켜진 말")
    await hears(socket, "ack")
    with closing(sqlite3.connect(tmp_path / "data" / "chat.sqlite3")) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        await says(socket, "기다리는 말")
        begun = time.monotonic()
        assert await asyncio.to_thread(server.is_told, signal.SIGTERM) == EXITS["failed"][0]
        assert time.monotonic() - begun < 15
    assert "something did not answer" in server.said()
    assert await close_code(socket) in (0, 1012)
    with closing(sqlite3.connect(tmp_path / "data" / "chat.sqlite3")) as database:
        kept = [content for (content,) in database.execute("SELECT content FROM chat_message ORDER BY seq")]
    assert kept == ["지켜진 말"]


# -- what is left on the disk ---------------------------------------------------------------------------


def contents(folder: Path, *, alone: bool = False) -> list[str]:
    """What was said, as it stands in the database; `alone` without anything that stands beside the file."""
    where = f"{(folder / 'data' / 'chat.sqlite3').as_uri()}?{'immutable=1' if alone else 'mode=ro'}"
    with closing(sqlite3.connect(where, uri=True)) as database:
        return [row[0] for row in database.execute("SELECT content FROM chat_message ORDER BY seq")]


def copied(source: Path, target: Path, *, companions: bool = False) -> Path:
    """A folder with a copy of the databases, with or without what stands beside them."""
    (target / "data").mkdir(mode=0o700, parents=True)
    for file in (source / "data").iterdir():
        if file.name in ("core.sqlite3", "chat.sqlite3", "ai.sqlite3", "secret_key") or (
            companions and file.name.endswith("-wal")
        ):
            shutil.copy2(file, target / "data")
    return target


@pytest.fixture
async def said(town: tuple[Running, Person, str]) -> Running:
    """A running server with a message in it."""
    server, minji, talk = town
    async with await minji.opens(talk) as socket:
        await says(socket, "봄비가 온다")
        await hears(socket, "ack")
    return server


STOPPED_WHILE_LOADING = """
import sys
from doran.server import cli
cli._run = lambda words: exec("import os, signal; os.kill(os.getpid(), signal.SIGTERM); print('still here')")
sys.exit(cli.main([]))
"""


def test_who_is_told_to_stop_while_modules_are_loaded_leaves_as_told(tmp_path: Path) -> None:
    """Found in a container: `exec` of a text, as dataclasses use it, made CPython leave by SIGINT whatever was caught."""
    (tmp_path / "loading.py").write_text(STOPPED_WHILE_LOADING, "utf-8")
    words = [sys.executable, "-m", "loading"]
    told = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, check=False, timeout=60)
    assert (told.returncode, told.stdout) == (0, b"")


def test_a_clean_stop_leaves_whole_files(said: Running, tmp_path: Path) -> None:
    assert said.is_told(signal.SIGTERM) == EXITS["done"][0]
    assert said.said().rstrip().endswith("Stopped.")
    for service in ("core", "chat", "ai"):
        log = tmp_path / "data" / f"{service}.sqlite3-wal"
        assert not log.exists() or log.stat().st_size == 0
    assert contents(tmp_path, alone=True) == ["봄비가 온다"]
    alone = copied(tmp_path, tmp_path / "alone")
    with running(folder=alone) as again:
        assert again.asks("/health/ready")[0] == 200
    assert contents(alone) == ["봄비가 온다"]


def test_a_file_copied_alone_from_a_running_server_is_noticed(said: Running, tmp_path: Path) -> None:
    alone, whole = copied(tmp_path, tmp_path / "alone"), copied(tmp_path, tmp_path / "whole", companions=True)
    before = {file.name: file.read_bytes() for file in (alone / "data").iterdir()}
    commands = ["up", "--port", "0"], ["serve", "core", "--port", "0"], ["work", "core"], ["migrate"], ["check"]
    elsewhere = {"DORAN_CORE_DATABASE": "postgresql://doran:doran@127.0.0.1:1/core"}
    for command in (*commands, ["backup", str(tmp_path / "torn")], ["move", "core"]):
        settings = elsewhere if command[0] == "move" else {}
        refused = doran(*command, "--data", str(alone / "data"), cwd=tmp_path, **settings)
        assert "copied while Doran used it, without core.sqlite3-wal" in refused.stdout + refused.stderr, command
        assert refused.returncode in (EXITS["bad_database"][0], EXITS["failed"][0])
        assert {file.name: file.read_bytes() for file in (alone / "data").iterdir() if file.name != "lock"} == before
    with running(folder=whole) as again:
        assert again.asks("/health/ready")[0] == 200
    assert contents(whole) == ["봄비가 온다"]
    assert doran("restored", "--data", str(alone / "data"), cwd=tmp_path).returncode == EXITS["done"][0]
    with running(folder=alone) as again:
        assert again.asks("/health/ready")[0] == 200
    assert contents(alone) == []


def test_who_was_killed_is_taken_for_no_copy(said: Running, tmp_path: Path) -> None:
    said.is_told(signal.SIGKILL)
    for _ in range(2):
        with running(folder=tmp_path) as again:  # and killed at the end of the block
            assert again.asks("/health/ready")[0] == 200
    assert contents(tmp_path) == ["봄비가 온다"]


def test_who_was_killed_and_then_read_by_another_program_is_taken_for_no_copy(said: Running, tmp_path: Path) -> None:
    """The last program that closes a file folds the log in and removes it, whatever program that is."""
    said.is_told(signal.SIGKILL)
    alone = copied(tmp_path, tmp_path / "alone")
    found = doran("check", "--data", str(tmp_path / "data"), cwd=tmp_path, DORAN_PORT="0")
    assert found.returncode == EXITS["done"][0], found.stdout
    for service in ("core", "chat", "ai"):
        with closing(sqlite3.connect(tmp_path / "data" / f"{service}.sqlite3")) as program:
            assert program.execute("SELECT count(*) FROM django_migrations").fetchone() != (0,)
        assert not (tmp_path / "data" / f"{service}.sqlite3-wal").exists()
    assert contents(tmp_path) == ["봄비가 온다"]
    with running(folder=tmp_path) as again:
        assert again.asks("/health/ready")[0] == 200
    torn = doran("check", "--data", str(alone / "data"), cwd=tmp_path, DORAN_PORT="0")
    assert torn.returncode == EXITS["failed"][0]
    assert "NO   chat database" in torn.stdout


def test_a_backup_of_a_running_server_is_whole(said: Running, tmp_path: Path) -> None:
    made = doran("backup", str(tmp_path / "monday"), "--data", str(tmp_path / "data"), cwd=tmp_path)
    assert made.returncode == EXITS["done"][0], made.stderr
    new = tmp_path / "new"
    back = doran("restore", str(tmp_path / "monday"), "--data", str(new / "data"), cwd=tmp_path)
    assert back.returncode == EXITS["done"][0], back.stderr
    with running(folder=new) as again:
        assert again.asks("/health/ready")[0] == 200
    assert contents(new) == ["봄비가 온다"]
