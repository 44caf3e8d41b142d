"""A database file that is lost under a running server: nothing is acknowledged any more, and no start hides it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from doran.server.exits import EXITS
from tests.house.running import doran, running
from tests.house.test_backups import Person

pytestmark = [pytest.mark.timeout(240), pytest.mark.judged]  # processes of their own, on a machine that may be busy


def removed(data: Path, service: str) -> None:
    for file in data.glob(f"{service}.sqlite3*"):
        file.unlink()


def renamed(data: Path, _service: str) -> None:
    data.rename(data.with_name("elsewhere"))


def replaced(data: Path, service: str) -> None:
    (data / "other").write_bytes((data / f"{service}.sqlite3").read_bytes())
    os.replace(data / "other", data / f"{service}.sqlite3")


def emptied(data: Path, service: str) -> None:
    os.truncate(data / f"{service}.sqlite3", 0)


def without_log(data: Path, service: str) -> None:
    (data / f"{service}.sqlite3-wal").unlink()


@pytest.mark.parametrize("lose", [removed, renamed, replaced, emptied, without_log])
def test_nothing_is_acknowledged_after_the_file_of_chat_is_lost(
    lose: Callable[[Path, str], None], tmp_path: Path
) -> None:
    with running(folder=tmp_path) as server:
        minji, junho = Person(server, "minji"), Person(server, "junho")
        talk = minji.starts(junho)
        minji.says(talk, "지켜진 말")
        lose(tmp_path / "data", "chat")
        there, body = f"/api/chat/conversations/{talk}/messages/", {"content": "사라질 말"}
        for _ in range(3):
            assert server.asks(f"{there}send/", body, token=minji.token)[0] == 503
            status, problem = server.asks(there, token=junho.token)
            assert (status, problem["code"]) == (503, "unavailable")
        ready = server.asks("/health/ready")
        assert ready[0] == 503
        assert ready[1]["dependencies"]["chat database"]["detail"] == "lost"
        made_anew = (tmp_path / "data" / "chat.sqlite3").exists()
        assert made_anew == (lose in (replaced, emptied, without_log))


@pytest.mark.parametrize("service", ["core", "ai"])
def test_nothing_is_answered_from_a_lost_file_of_another_service(service: str, tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        minji, junho = Person(server, "minji"), Person(server, "junho")
        talk = minji.starts(junho)
        removed(tmp_path / "data", service)
        asked = {"core": "/api/core/users/me/", "ai": f"/api/ai/consents/{talk}/"}[service]
        status, problem = server.asks(asked, token=minji.token)
        assert (status, problem["code"]) == (503, "unavailable")
        ready = server.asks("/health/ready")[1]["dependencies"]
        assert ready[f"{service} database"]["detail"] == "lost"
        assert server.asks(f"/api/chat/conversations/{talk}/", token=minji.token)[0] == 200
        assert not list((tmp_path / "data").glob(f"{service}.sqlite3"))
        assert server.said().count("database file lost") == 1


def test_sends_in_flight_are_acknowledged_only_before_the_loss(tmp_path: Path) -> None:
    """The file is renamed, so that it can be read afterwards: what was acknowledged is in it, and nobody was told yes later."""
    with running(folder=tmp_path) as server:
        minji, junho = Person(server, "minji"), Person(server, "junho")
        talk = minji.starts(junho)
        acknowledged: list[str] = []
        is_lost, enough = threading.Event(), threading.Event()
        late: list[str] = []

        def talks() -> None:
            for number in range(100_000):
                began_late, text = is_lost.is_set(), f"말 {number}"
                path = f"/api/chat/conversations/{talk}/messages/send/"
                if server.asks(path, {"content": text}, token=minji.token)[0] != 201:
                    return
                (late if began_late else acknowledged).append(text)
                if len(acknowledged) == 20:
                    enough.set()

        talking = threading.Thread(target=talks)
        talking.start()
        assert enough.wait(60)
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        is_lost.set()
        talking.join(60)
        assert not talking.is_alive()
        assert late == []
        assert server.said().count("database file lost") == 1
    with closing(sqlite3.connect(tmp_path / "elsewhere" / "chat.sqlite3")) as chat:
        kept = {content for (content,) in chat.execute("SELECT content FROM chat_message")}
    assert set(acknowledged) <= kept


@pytest.mark.parametrize("lose", [removed, emptied])
@pytest.mark.parametrize("service", ["core", "chat", "ai"])
def test_no_start_makes_a_lost_database_anew(service: str, lose: Callable[[Path, str], None], tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert doran("migrate", "--data", "data", cwd=tmp_path).returncode == 0
    lose(data, service)
    for words in (("up", "--port", "0"), ("migrate", service)):
        refused = doran(*words, "--data", "data", cwd=tmp_path)
        assert refused.returncode == EXITS["lost_database"][0], refused.stdout
        assert f"{service}.sqlite3" in refused.stderr
        assert "doran restore" in refused.stderr
    assert not (data / f"{service}.sqlite3").exists() or not (data / f"{service}.sqlite3").stat().st_size
    (data / "made").unlink()
    assert doran("migrate", service, "--data", "data", cwd=tmp_path).returncode == 0
    assert (data / f"{service}.sqlite3").stat().st_size


def test_a_copy_takes_the_place_of_a_lost_file(tmp_path: Path) -> None:
    for words in (("migrate",), ("backup", "copy")):
        assert doran(*words, "--data", "data", cwd=tmp_path).returncode == 0
    removed(tmp_path / "data", "chat")
    assert doran("restore", "copy", "--data", "data", "--replace", cwd=tmp_path).returncode == 0
    with running(folder=tmp_path) as server:
        assert server.asks("/health/ready")[0] == 200
