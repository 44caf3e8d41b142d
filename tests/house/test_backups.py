"""A restore drill: a copy made while people talk is put back, and they go on without meeting anything twice."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from doran.server.exits import EXITS
from tests.house.running import Running, doran, running

pytestmark = [pytest.mark.timeout(240), pytest.mark.judged]  # processes of their own, on a machine that may be busy

PASSWORD = "봄비가 내리는 밤"


class Person:
    """Somebody who logs in anew at every start of the server: its address changes."""

    def __init__(self, server: Running, name: str) -> None:
        self.account = {"username": name, "password": PASSWORD}
        assert server.asks("/api/core/users/", self.account)[0] == 201
        self.comes_back(server)

    def comes_back(self, server: Running) -> None:
        self.server = server
        _, pair = server.asks("/api/core/tokens/", self.account)
        self.id, self.token = pair["user_id"], pair["access_token"]

    def asks(self, path: str, body: Any = None) -> Any:
        status, answer = self.server.asks(f"/api/chat/{path}", body, token=self.token)
        assert status < 300, answer
        return answer

    def starts(self, other: Person) -> str:
        return str(self.asks("conversations/", {"participant_id": other.id})["id"])

    def says(self, talk: str, text: str) -> Any:
        return self.asks(f"conversations/{talk}/messages/send/", {"content": text})


def command(folder: Path, *words: str) -> Any:
    return doran(*words, "--data", "data", cwd=folder)


def test_a_copy_made_while_people_talk_is_put_back_and_they_go_on(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        minji, junho = Person(server, "minji"), Person(server, "junho")
        talk = minji.starts(junho)
        certain = [minji.says(talk, f"vorher {number}") for number in range(20)]
        talking, enough, later = threading.Event(), threading.Event(), []

        def talks() -> None:
            while not talking.is_set():
                later.append(junho.says(talk, f"dabei {len(later)}"))
                if len(later) == 5:
                    enough.set()

        chatter = threading.Thread(target=talks)
        chatter.start()
        assert enough.wait(60)
        made = command(tmp_path, "backup", "copy")
        talking.set()
        chatter.join()
        assert made.returncode == 0, made.stderr
        lost = [minji.says(talk, f"danach {number}") for number in range(20)]
        known = minji.asks("sync/", {})
        in_use = command(tmp_path, "restore", "copy", "--replace")
        assert in_use.returncode == EXITS["in_use"][0]
        server.is_told(signal.SIGTERM)

    refused = command(tmp_path, "restore", "copy")
    assert (refused.returncode, "--replace" in refused.stderr) == (EXITS["in_use"][0], True)
    put = command(tmp_path, "restore", "copy", "--replace", "--reserve", "100")
    assert put.returncode == 0, put.stderr
    assert "leaves out 100 positions" in put.stdout

    with running(folder=tmp_path) as server:
        minji.comes_back(server)
        junho.comes_back(server)
        there = {one["seq"]: one for one in minji.asks(f"conversations/{talk}/messages/?page_size=100")["results"]}
        assert [there[one["seq"]]["content"] for one in certain] == [one["content"] for one in certain]
        assert not {one["seq"] for one in lost} & there.keys()
        copied = [one for one in later if one["seq"] in there]
        assert len(copied) >= 5
        assert copied == later[: len(copied)]
        assert [there[one["seq"]]["content"] for one in copied] == [one["content"] for one in copied]
        answer = minji.asks("sync/", {"epoch": known["epoch"], "known": {talk: lost[-1]["change_seq"]}})
        assert answer["reset"] is True
        assert junho.says(talk, "da bin ich wieder")["seq"] > lost[-1]["seq"]
        server.is_told(signal.SIGTERM)
    (aside,) = (tmp_path / "data").glob("replaced-*")
    assert (aside / "chat.sqlite3").exists()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """An empty deployment and a copy of it."""
    assert command(tmp_path, "migrate").returncode == 0
    assert command(tmp_path, "backup", "copy").returncode == 0
    return tmp_path


def test_a_copy_goes_into_an_empty_folder_with_its_secret(copied: Path) -> None:
    (copied / "data").rename(copied / "gone")
    assert command(copied, "restore", "copy").returncode == 0
    for name in ("core.sqlite3", "chat.sqlite3", "ai.sqlite3", "secret_key"):
        assert (copied / "data" / name).stat().st_mode & 0o077 == 0
        assert (copied / "copy" / name).stat().st_mode & 0o077 == 0
    assert (copied / "data" / "secret_key").read_text() == (copied / "gone" / "secret_key").read_text()
    assert len(json.loads((copied / "data" / "restores.json").read_text())) == 1
    with running(folder=copied) as server:
        assert server.asks("/health/ready")[0] == 200


def test_a_copy_is_never_written_over(copied: Path) -> None:
    before = {file.name: file.read_bytes() for file in (copied / "copy").iterdir()}
    assert command(copied, "backup", "copy").returncode == EXITS["unwritable"][0]
    assert {file.name: file.read_bytes() for file in (copied / "copy").iterdir()} == before


@pytest.mark.parametrize("name", ["chat.sqlite3", "secret_key", "backup.json"])
def test_a_damaged_copy_is_refused_and_nothing_changes(name: str, copied: Path) -> None:
    content = bytearray((copied / "copy" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "copy" / name).write_bytes(bytes(content))
    before = {file.name: file.read_bytes() for file in (copied / "data").iterdir()}
    refused = command(copied, "restore", "copy", "--replace")
    assert refused.returncode == EXITS["bad_database"][0], refused.stdout
    assert {file.name: file.read_bytes() for file in (copied / "data").iterdir()} == before


def test_a_folder_that_is_no_copy_is_refused(copied: Path) -> None:
    refused = command(copied, "restore", "data", "--replace")
    assert (refused.returncode, "no copy" in refused.stderr) == (EXITS["not_found"][0], True)


def test_no_server_starts_on_a_half_restore_and_the_next_one_finishes_it(copied: Path) -> None:
    """What was there goes aside once, however often the restore is interrupted."""
    was = (copied / "data" / "chat.sqlite3").read_bytes()
    (copied / "data" / "restoring").write_text("replaced-once")  # killed while putting aside
    (copied / "data" / "replaced-once").mkdir()
    shutil.move(copied / "data" / "core.sqlite3", copied / "data" / "replaced-once" / "core.sqlite3")
    for words in (("up", "--port", "0"), ("migrate",), ("restored",)):
        refused = command(copied, *words)
        assert refused.returncode == EXITS["bad_database"][0], refused.stdout
        assert "doran restore" in refused.stderr
    assert not (copied / "data" / "core.sqlite3").exists()
    assert command(copied, "restore", "copy").returncode == 0
    assert (copied / "data" / "replaced-once" / "chat.sqlite3").read_bytes() == was

    (copied / "data" / "restoring").write_text("")  # killed while putting back
    (copied / "data" / "chat.sqlite3").write_bytes(b"half of it")
    assert command(copied, "restore", "copy").returncode == 0
    assert (copied / "data" / "replaced-once" / "chat.sqlite3").read_bytes() == was
    assert not (copied / "data" / "restoring").exists()
    assert command(copied, "restored").returncode == 0


def test_a_database_on_a_server_is_left_to_the_tools_of_the_server(copied: Path) -> None:
    there = "postgresql://doran:x@127.0.0.1:1/chat"
    refused = doran("backup", "other", "--data", "data", cwd=copied, DORAN_CHAT_DATABASE=there)
    assert refused.returncode == EXITS["bad_setting"][0]
    assert "doran restored" in refused.stderr
    assert not (copied / "other").exists()
