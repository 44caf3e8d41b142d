"""What an operator does from the command line, and what people notice of it."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import pytest

from doran.server.exits import EXITS
from tests.house.running import Running, doran, running

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

MINJI = {"username": "minji", "password": "봄비가 내리는 밤"}


def signs_up(server: Running) -> str:
    """민지 signs up and logs in; her access token."""
    assert server.asks("/api/core/users/", MINJI)[0] == 201
    return str(server.asks("/api/core/tokens/", MINJI)[1]["access_token"])


def words(*told: str, folder: Path) -> str:
    """What a command printed; it has to succeed."""
    result = doran(*told, "--data", "data", cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_deactivated_person_cannot_log_in_until_taken_back(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        signs_up(server)
        assert words("users", "deactivate", "MINJI", folder=tmp_path) == "MINJI is deactivated.\n"
        assert server.asks("/api/core/tokens/", MINJI)[0] == 401
        words("users", "reactivate", "minji", folder=tmp_path)
        assert server.asks("/api/core/tokens/", MINJI)[0] == 200
        words("users", "erase", "minji", folder=tmp_path)
        assert server.asks("/api/core/tokens/", MINJI)[0] == 401


def test_nobody_of_that_name_is_told(tmp_path: Path) -> None:
    words("migrate", folder=tmp_path)
    result = doran("users", "erase", "sora", "--data", "data", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (EXITS["not_found"][0], "Nobody has this user name.\n")


def test_a_rotation_keeps_every_token_and_a_stolen_key_ends_them(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        token = signs_up(server)
        before = words("keys", "list", folder=tmp_path)
        assert [line.split("  ")[-1] for line in before.splitlines()[1:]] == ["signs now", "next"]
        words("keys", "rotate", folder=tmp_path)
        assert server.asks("/api/core/users/me/", token=token)[0] == 200
        words("keys", "rotate", "--at-once", folder=tmp_path)
        server.is_told(signal.SIGTERM)
    with running(folder=tmp_path) as server:
        assert server.asks("/api/core/users/me/", token=token)[0] == 401
        assert server.asks("/api/core/tokens/", MINJI)[0] == 200


def test_a_restored_store_has_another_timeline(tmp_path: Path) -> None:
    def epoch() -> str:
        with sqlite3.connect(tmp_path / "data" / "chat.sqlite3") as database:
            ((found,),) = database.execute("SELECT epoch FROM chat_store").fetchall()
        database.close()
        return str(found)

    with running(folder=tmp_path):
        lost = epoch()
        refused = doran("restored", "--data", "data", cwd=tmp_path)
        assert refused.returncode == EXITS["in_use"][0]
        assert epoch() == lost
    words("restored", folder=tmp_path)
    assert epoch() != lost


def test_events_that_wait_are_listed_replayed_and_given_up(tmp_path: Path) -> None:
    words("migrate", folder=tmp_path)
    assert words("dead-letters", "list", folder=tmp_path) == "No event waits.\n"
    with sqlite3.connect(tmp_path / "data" / "chat.sqlite3") as database:
        for number, username in ((1, "minji"), (2, "junho")):
            database.execute(
                "INSERT INTO chat_deadletter (event_id, subscription, event_type, key, envelope, reason, failed_at)"
                " VALUES (?, 'chat', 'user.created', ?, ?, 'it was a bad day', '2026-01-01 00:00:00')",
                [f"{number:032x}", f"person-{number}", envelope(number, username)],
            )
    database.close()
    listed = words("dead-letters", "list", folder=tmp_path)
    assert listed.count("user.created") == 2
    assert "minji" not in listed
    words("dead-letters", "discard", "2", folder=tmp_path)
    assert words("dead-letters", "replay", folder=tmp_path) == "1 took effect, 0 still wait.\n"
    assert words("dead-letters", "list", folder=tmp_path) == "No event waits.\n"
    with sqlite3.connect(tmp_path / "data" / "chat.sqlite3") as database:
        known = database.execute("SELECT user_id FROM chat_person").fetchall()
    database.close()
    assert known == [("person-1",)]


def envelope(number: int, username: str) -> str:
    said = f'{{"user_id":"person-{number}","username":"{username}","display_name":"x","created_at":"2026-01-01T00:00:00Z"}}'
    return (
        f'{{"event_type":"user.created","timestamp":"2026-01-01T00:00:00Z","data":{said},"event_id":"{number:032x}",'
        f'"schema_version":1,"producer":"core","key":"person-{number}","trace_id":""}}'
    )


def test_settings_are_shown_without_their_secrets(tmp_path: Path) -> None:
    shown = doran("config", cwd=tmp_path, DORAN_SECRET_KEY="never show this to anybody at all", DORAN_PORT="8123")
    assert "8123" in shown.stdout
    assert "never show this" not in shown.stdout
    assert "(set)" in shown.stdout


def test_a_look_at_the_deployment_changes_nothing(tmp_path: Path) -> None:
    looked = doran("check", "--production", cwd=tmp_path, DORAN_PORT="0")
    assert looked.returncode == EXITS["failed"][0]
    assert "NO  production     public_url must be an https:// address" in looked.stdout
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", ["", "up", "serve", "migrate", "config", "check", "users", "keys", "dead-letters", "verify"]
)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    asked = doran(*command.split(), "--help", cwd=tmp_path)
    assert asked.returncode == 0
    assert asked.stdout.startswith("usage: ")
