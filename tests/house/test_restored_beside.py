"""`doran restored` on a database server: it sees chat processes that live, and one that it could not see ends by itself."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from doran.server.exits import EXITS
from tests.house.running import Running, doran, running
from tests.servers.databases import MariaDB, PostgreSQL, private_database

pytestmark = pytest.mark.timeout(400)  # processes of their own, on a machine that may be busy

NOWHERE = "http://127.0.0.1:9"
CHAT = {
    "DORAN_PUBLIC_URL": "http://localhost",
    "DORAN_CORE_URL": NOWHERE,
    "DORAN_SERVICE_SECRET": "known to chat and to nobody else",
    "DORAN_BUS": "redis://127.0.0.1:9/0",
    "DORAN_REVOKED_POLL_SECONDS": "0.2",
}
IN_USE, BAD_DATABASE = EXITS["in_use"][0], EXITS["bad_database"][0]


class Store:
    """Chat's database on a server of its own."""

    def __init__(self, server: Any, name: str) -> None:
        self.server, self.name = server, name
        server.say(f"CREATE DATABASE {name}")
        self.settings = {**CHAT, "DORAN_CHAT_DATABASE": server.url(name)}

    def epoch(self) -> str:
        ((found,),) = self.server.say("SELECT epoch FROM chat_store", database=self.name)
        return str(found)

    def says(self, statement: str) -> None:
        self.server.say(statement, database=self.name)

    @contextmanager
    def serves(self, folder: Path, *, copies: int = 1, command: str = "serve") -> Iterator[list[Running]]:
        more = {**self.settings, "DORAN_CHAT_COPIES": "many" if copies > 1 else "one"}
        says = r"ready at (\S+) " if command == "serve" else r"health at port (\d+)"
        with ExitStack() as stack:
            yield [
                stack.enter_context(running("chat", folder=folder, command=command, says=says, **more))
                for _ in range(copies)
            ]

    def is_restored(self, folder: Path) -> Any:
        return doran("restored", "--data", "journal", cwd=folder, **self.settings)


@pytest.fixture(scope="module", params=[MariaDB, PostgreSQL], ids=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    with private_database(request.param) as found:
        yield found


@pytest.fixture
def store(server: Any, request: pytest.FixtureRequest) -> Store:
    return Store(server, "doran_" + re.sub(r"\W+", "_", request.node.name)[-40:].lower())


@pytest.mark.parametrize(("copies", "command"), [(2, "serve"), (1, "serve"), (1, "work")])
def test_living_processes_are_named_and_nothing_is_changed(
    store: Store, copies: int, command: str, tmp_path: Path
) -> None:
    with store.serves(tmp_path, copies=copies, command=command) as chats:
        before = store.epoch()
        refused = store.is_restored(tmp_path)
        assert refused.returncode == IN_USE, refused
        assert refused.stderr.startswith("Chat processes use this database: ")
        assert refused.stderr.count("\n") == 1
        for chat in chats:
            assert re.search(rf":{chat.process.pid}\b", refused.stderr)
        assert store.epoch() == before
        assert not (tmp_path / "journal").exists()
        for chat in chats:
            assert chat.is_told(signal.SIGTERM) == 0
    store.says("UPDATE chat_node SET renewed_at = '2026-01-01 00:00:00'")  # half a minute later, and more
    assert store.is_restored(tmp_path).returncode == 0
    assert store.epoch() != before
    assert (tmp_path / "journal" / "restores.json").exists()


def test_a_process_that_stood_still_meanwhile_ends_instead_of_serving_the_lost_timeline(
    store: Store, tmp_path: Path
) -> None:
    with store.serves(tmp_path, copies=2) as (first, second):
        store.says("UPDATE chat_store SET epoch = 'f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0'")
        for chat in (first, second):
            assert chat.process.wait(timeout=100) == BAD_DATABASE
            assert "chat's database was put back while this process ran" in chat.said()
            assert "Traceback" not in chat.said()
    with store.serves(tmp_path) as (again,):
        assert again.is_told(signal.SIGTERM) == 0
