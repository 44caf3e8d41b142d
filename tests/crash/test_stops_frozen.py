"""A stop while a database stands still (SIGSTOP): in its promised time, and whoever waits is told to come back."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.house.running import running
from tests.servers.databases import MariaDB, PostgreSQL, Server, private_database

pytestmark = [pytest.mark.crash, pytest.mark.timeout(180), pytest.mark.judged]

PROMISED = 2 * 5.0 + 5.0
"""Seconds after which the process is gone, with the settings as they come (docs/operate.md)."""
MARGIN = 10.0
"""What a loaded machine may add; a driver by itself waits for ever."""
ME = {"username": "minji", "password": "봄비가 내리는 밤"}


@pytest.mark.parametrize("kind", [MariaDB, PostgreSQL])
def test_a_stop_keeps_its_promise_and_answers_who_waits(tmp_path: Path, kind: type[Server]) -> None:
    with private_database(kind) as server:
        databases = {f"DORAN_{name.upper()}_DATABASE": f"doran_{name}" for name in ("core", "chat", "ai")}
        for name in databases.values():
            server.say(f"CREATE DATABASE {name}")
        settings = {key: server.url(name) for key, name in databases.items()}
        with running(folder=tmp_path, **settings) as house, ThreadPoolExecutor(3) as people:
            ids = [house.asks("/api/core/users/", {**ME, "username": name})[1]["id"] for name in ("minji", "junho")]
            token = house.asks("/api/core/tokens/", ME)[1]["access_token"]
            talk = house.asks("/api/chat/conversations/", {"participant_id": ids[1]}, token=token)[1]["id"]
            messages = f"/api/chat/conversations/{talk}/messages/"
            with server.frozen():
                calls = [
                    people.submit(
                        house.asks, f"{messages}send/", {"content": "하나", "client_message_id": "c"}, token=token
                    ),
                    people.submit(house.asks, messages, token=token),
                    people.submit(house.asks, "/api/core/tokens/", ME),
                ]
                time.sleep(1.0)  # so that they are under way
                began = time.monotonic()
                code = house.is_told(signal.SIGTERM)
                assert time.monotonic() - began < PROMISED + MARGIN, house.said()
                assert code in (0, 1), house.said()
                assert [call.result()[0] for call in calls] == [503, 503, 503]
