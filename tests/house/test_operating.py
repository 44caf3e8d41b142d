"""What an operator does from the command line, and what people notice of it."""

from __future__ import annotations

import json
import signal
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

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
        assert not (tmp_path / "data" / "restores.json").exists()
    for wrong in ("0", "-1", "many", "1000001"):
        assert doran("restored", "--reserve", wrong, "--data", "data", cwd=tmp_path).returncode == EXITS["usage"][0]
    assert epoch() == lost
    said = words("restored", "--reserve", "50", folder=tmp_path)
    assert epoch() != lost
    assert "In each conversation (0) the next message leaves out 50 positions" in said


def test_events_that_wait_are_listed_replayed_and_given_up(tmp_path: Path) -> None:
    words("migrate", folder=tmp_path)
    assert words("dead-letters", "list", folder=tmp_path) == "No event waits.\n"
    bury(tmp_path, born("minji"), born("junho"))
    listed = words("dead-letters", "list", folder=tmp_path)
    assert listed.count("user.created") == 2
    assert "minji's name" not in listed
    words("dead-letters", "discard", "2", folder=tmp_path)
    assert words("dead-letters", "replay", folder=tmp_path) == "1 went on, 0 still wait.\n"
    assert words("dead-letters", "list", folder=tmp_path) == "No event waits.\n"
    assert known(tmp_path) == ["minji"]


def test_a_server_that_runs_tries_again_what_an_operator_asks_for(tmp_path: Path) -> None:
    words("migrate", folder=tmp_path)
    bury(tmp_path, born("minji"), {**born("junho"), "data": {"user_id": 7}})
    bury(tmp_path, {**talk("t1"), "event_type": "user.sang"}, talk("t2"), subscription="outbox")
    with running(folder=tmp_path):
        before = words("dead-letters", "list", folder=tmp_path)
        assert (before.count("  inbox   "), before.count("  outbox  ")) == (2, 2)
        asked = doran("dead-letters", "replay", "--data", "data", cwd=tmp_path)
        assert (asked.returncode, asked.stdout) == (1, "2 went on, 2 still wait.\n")
        left = words("dead-letters", "list", folder=tmp_path).splitlines()[1:]
        assert [line.split()[:4] for line in left] == [
            ["chat", "2", "inbox", "user.created"],
            ["chat", "3", "outbox", "user.sang"],
        ]
        assert "BadEvent" in left[0]
        assert left[1].endswith("UnknownEvent: user.sang")
        words("dead-letters", "discard", "2", "3", folder=tmp_path)
        assert words("dead-letters", "list", folder=tmp_path) == "No event waits.\n"
        assert known(tmp_path) == ["minji"]


def test_a_letter_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    words("migrate", folder=tmp_path)
    for what in ("replay", "discard"):
        refused = doran("dead-letters", what, "7", "--data", "data", cwd=tmp_path)
        assert (refused.returncode, refused.stderr) == (EXITS["not_found"][0], "chat has no such dead letter.\n")


LONG_AGO = "2026-01-01T00:00:00.000000Z"


def bury(folder: Path, *envelopes: dict[str, Any], subscription: str = "chat") -> None:
    """Dead letters that an earlier day left in chat's database."""
    columns = "event_id, subscription, event_type, key, envelope, reason, failed_at, again"
    with closing(sqlite3.connect(folder / "data" / "chat.sqlite3")) as database, database:
        for one in envelopes:
            row = [
                one["event_id"],
                subscription,
                one["event_type"],
                one["key"],
                json.dumps(one),
                "a bad day",
                LONG_AGO,
                0,
            ]
            database.execute(f"INSERT INTO chat_deadletter ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def known(folder: Path) -> list[str]:
    """Whom chat knows, but for the assistant, whom everybody does."""
    asked = "SELECT user_id FROM chat_person WHERE kind = 'human' ORDER BY user_id"
    with closing(sqlite3.connect(folder / "data" / "chat.sqlite3")) as database:
        return [user_id for (user_id,) in database.execute(asked)]


def born(name: str) -> dict[str, Any]:
    data = {"user_id": name, "username": name, "display_name": f"{name}'s name", "created_at": LONG_AGO}
    return envelope("user.created", name, data)


def talk(name: str) -> dict[str, Any]:
    data = {"conversation_id": name, "participant1_id": "minji", "participant2_id": "junho", "created_at": LONG_AGO}
    return envelope("conversation.created", name, data)


def envelope(event_type: str, key: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_type": event_type, "timestamp": LONG_AGO, "data": data, "event_id": uuid.uuid4().hex,
        "schema_version": 1, "producer": "core", "key": key, "trace_id": "",
    }  # fmt: skip


def test_settings_are_shown_without_their_secrets(tmp_path: Path) -> None:
    shown = doran("config", cwd=tmp_path, DORAN_SECRET_KEY="never show this to anybody at all", DORAN_PORT="8123")
    assert "8123" in shown.stdout
    assert "never show this" not in shown.stdout
    assert "(set)" in shown.stdout


def test_a_wrong_table_of_providers_is_found_before_the_start(tmp_path: Path) -> None:
    looked = doran("check", cwd=tmp_path, DORAN_PORT="0", DORAN_AI_PROVIDERS='[[provider]]\nname = "house"')
    assert looked.returncode == 1
    assert "NO   AI providers   DORAN_AI_PROVIDERS: provider 'house': say its wire" in looked.stdout


def test_what_production_refuses_of_providers_is_found_before_it_is_production(tmp_path: Path) -> None:
    line = '[[provider]]\nname = "vendor"\nwire = "openai"\nurl = "http://api.example.com/v1"\nmodel = "m"'
    looked = doran("check", "--production", cwd=tmp_path, DORAN_PORT="0", DORAN_AI_PROVIDERS=line)
    assert "to api.example.com by https:// only" in looked.stdout
    assert "by https:// only" not in doran("check", cwd=tmp_path, DORAN_PORT="0", DORAN_AI_PROVIDERS=line).stdout


def test_a_look_at_the_deployment_changes_nothing(tmp_path: Path) -> None:
    looked = doran("check", "--production", cwd=tmp_path, DORAN_PORT="0")
    assert looked.returncode == EXITS["failed"][0]
    assert "NO   production     public_url must be an https:// address" in looked.stdout
    assert not any(tmp_path.iterdir())


def test_unread_counts_are_recomputed_and_set_right(tmp_path: Path) -> None:
    assert "unread counts" not in doran("check", cwd=tmp_path, DORAN_PORT="0").stdout
    doran("migrate", cwd=tmp_path)
    assert "ok   unread counts  none differs, of 0 members" in doran("check", cwd=tmp_path, DORAN_PORT="0").stdout
    with closing(sqlite3.connect(next(tmp_path.rglob("chat.sqlite3")))) as database, database:
        database.execute("PRAGMA foreign_keys = OFF")
        columns = [name for _, name, *_ in database.execute("PRAGMA table_info(chat_member)") if name != "id"]
        given = {"conversation_id": "0" * 32, "user_id": "minji", "draft": "", "unread_deleted": 3}
        values = [given.get(name, None if name in ("muted_until", "pinned_at") else 0) for name in columns]
        database.execute(
            f"INSERT INTO chat_member ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            values,
        )
    for words in (["check"], ["check", "--production"]):
        looked = doran(*words, cwd=tmp_path, DORAN_PORT="0")
        assert looked.returncode == 1
        assert "NO   unread counts  1 differ, of 1 members: doran check --repair" in looked.stdout
    assert "ok   unread counts" in doran("check", "--repair", cwd=tmp_path, DORAN_PORT="0").stdout
    assert "ok   unread counts" in doran("check", cwd=tmp_path, DORAN_PORT="0").stdout


@pytest.mark.parametrize(
    "command", ["", "up", "serve", "migrate", "config", "check", "users", "keys", "dead-letters", "verify"]
)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    asked = doran(*command.split(), "--help", cwd=tmp_path)
    assert asked.returncode == 0
    assert asked.stdout.startswith("usage: ")
