"""Chat's database is killed, stopped, frozen and cut off under load: nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.signals import connection_created

from doran.kernel.telemetry import health
from tests.cast import Mint, Person
from tests.chat.conftest import Play
from tests.servers.databases import MariaDB, PostgreSQL, Server, private_database
from tests.servers.wire import Wire
from tests.stage import awake, eventually, ground
from tests.wire import Answer, call, refuses

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120), pytest.mark.judged]

SOON = 30.0
"""Seconds within which service returns by itself."""


@pytest.fixture(scope="module", params=[MariaDB, PostgreSQL], ids=["mariadb", "postgresql"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with private_database(request.param) as server:
        yield server


class Town:
    """민지 and 준호 in a house whose database is `server`'s; what they sent, and what they were told."""

    def __init__(self, play: Play, server: Server, database: str) -> None:
        self.play, self._server, self.database = play, server, database
        self.answers: dict[str, Answer] = {}

    async def meet(self) -> None:
        self.minji, self.junho = await self.play.person("민지"), await self.play.person("준호")
        self.talk = await self.minji.starts(self.junho)

    @asynccontextmanager
    async def flood(self) -> AsyncIterator[None]:
        """Until the block ends both send with four hands each, as fast as they are answered."""
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as hands:
            for number, person in enumerate((self.minji, self.junho) * 4):
                hands.create_task(self._send(person, number, enough))
            yield
            enough.set()

    async def _send(self, person: Person, hand: int, enough: asyncio.Event) -> None:
        count = 0
        while not enough.is_set():
            count += 1
            content = f"{hand}/{count}"
            self.answers[content] = await person.tries_to_send(self.talk, content, client_message_id=content)
            await asyncio.sleep(0.002)

    async def wait_for_more(self) -> float:
        """Until somebody is answered again; how many seconds that took."""
        began, before = time.monotonic(), len(self.acknowledged)
        await eventually(lambda: len(self.acknowledged) > before + 20, seconds=SOON)
        return time.monotonic() - began

    @property
    def acknowledged(self) -> dict[str, int]:
        return {content: answer.json["seq"] for content, answer in self.answers.items() if answer.status == 201}

    async def repeat_what_was_refused(self) -> None:
        """As every client does: the same again, under the same id."""
        for content in self.answers.keys() - self.acknowledged.keys():
            refuses(self.answers[content], 503, "unavailable")
            person = (self.minji, self.junho)[int(content.split("/")[0]) % 2]
            again = await person.tries_to_send(self.talk, content, client_message_id=content)
            assert again.status in (200, 201), again.body
            self.answers[content] = Answer(201, again.headers, again.body)

    def stored(self) -> list[tuple[Any, ...]]:
        return self._server.say("SELECT content, seq FROM chat_message ORDER BY seq", database=self.database)

    async def rests(self) -> None:
        """Wait until every event was published: the next COMMIT is that of a change, and not of the relay."""
        async with asyncio.timeout(SOON):
            while self._server.say("SELECT count(*) FROM chat_outbox", database=self.database) != [(0,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def is_whole(self) -> None:
        """All that was acknowledged is there, once and in its place, and nothing else."""
        stored = self.stored()
        assert [seq for _, seq in stored] == list(range(1, len(stored) + 1))
        assert dict(stored) == self.acknowledged
        assert len(stored) == len(self.acknowledged)


@asynccontextmanager
async def town_on(server: Server, *, through: Wire | None = None, **changes: Any) -> AsyncIterator[Town]:
    database = f"chat_{time.time_ns()}"
    server.say(f"CREATE DATABASE {database}")
    url = server.url(database)
    mint = Mint()
    where = url if through is None else url.replace(f":{server.port}/", f":{through.port}/")
    async with (
        ground(services=("chat",), chat_database=where, **changes) as config,
        awake(config, own_keys=mint.published) as house,
    ):
        town = Town(Play(house, mint), server, database)
        await town.meet()
        yield town


Blow = Callable[[Server], Awaitable[None]]


async def killed(server: Server) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def restarted(server: Server) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.sleep(1.0)
    await asyncio.to_thread(server.start)


async def frozen(server: Server) -> None:
    with server.frozen():
        await asyncio.sleep(2.0)


@pytest.mark.parametrize("blow", [killed, restarted, frozen])
async def test_a_short_blow_is_waited_out(server: Server, blow: Blow) -> None:
    async with town_on(server) as town:
        reader = await town.junho.opens()
        async with town.flood():
            for _ in range(2):
                await town.wait_for_more()
                await blow(server)
                assert await town.wait_for_more() < SOON
        assert [answer.status for answer in town.answers.values() if answer.status != 201] == []
        town.is_whole()
        seen = [frame["message"]["seq"] for frame in await reader.hears_nothing_before_pong() if "message" in frame]
        assert seen == list(range(1, len(town.acknowledged) + 1))
        assert len((await town.junho.sees(town.talk))["messages"]) == 20


async def test_a_long_absence_is_said_and_ends_by_itself(server: Server) -> None:
    async with town_on(server, database_patience=0.5) as town:
        async with town.flood():
            await town.wait_for_more()
            await asyncio.to_thread(server.kill)
            await eventually(lambda: len(town.answers) > len(town.acknowledged) + 50, seconds=SOON)
            refuses(await town.minji.asks("GET", f"/api/chat/conversations/{town.talk}/"), 503, "unavailable")
            socket = await town.minji.opens()
            socket.says(type="changes", conversation_id=town.talk, since=0, ref="c")
            assert (await socket.hears("error"))["code"] == "unavailable"
            await asyncio.to_thread(server.start)
            assert await town.wait_for_more() < SOON
        await town.repeat_what_was_refused()
        town.is_whole()
        assert (await town.minji.sees(town.talk))["last_seq"] == len(town.acknowledged)
        socket.says(type="changes", conversation_id=town.talk, since=0, ref="d")
        assert (await socket.hears("changes"))["results"]


# -- the COMMIT whose answer is lost -----------------------------------------------------------------


@pytest.mark.parametrize("cut", ["question", "answer"])
async def test_a_commit_that_is_cut_off_happens_once(server: Server, cut: Any) -> None:
    async with Wire(server.port).laid() as wire, town_on(server, through=wire) as town:
        junho = await town.junho.opens()
        await town.rests()
        wire.cut = cut
        sent = await town.minji.sends(town.talk, "여보세요")
        assert wire.cut == "", "nothing was cut"
        assert town.stored() == [("여보세요", 1)]
        shown = [frame for frame in await junho.hears_nothing_before_pong() if frame["type"] == "chat_message"]
        assert [frame["message"] for frame in shown] == [sent]
        await town.rests()
        wire.cut = cut
        assert (await town.minji.edits(sent, "여보세요?")).status == 200
        assert wire.cut == "", "nothing was cut"
        shown = [frame for frame in await junho.hears_nothing_before_pong() if frame["type"] == "message_updated"]
        assert [frame["message"]["content"] for frame in shown] == ["여보세요?"]


@pytest.mark.parametrize(("cut", "happened"), [("question", False), ("answer", True)])
async def test_what_stays_in_doubt_too_long_is_refused_and_shown_later(
    server: Server, cut: Any, happened: bool
) -> None:
    async with Wire(server.port).laid() as wire, town_on(server, through=wire, database_patience=0.3) as town:
        junho = await town.junho.opens()
        await town.rests()
        wire.cut, wire.is_down = cut, True
        refuses(await town.minji.tries_to_send(town.talk, "하나", client_message_id="one"), 503, "unavailable")
        wire.is_down = False
        await town.minji.sends(town.talk, "둘")
        shown = [frame for frame in await junho.hears_nothing_before_pong() if frame["type"] == "chat_message"]
        contents = ["하나", "둘"] if happened else ["둘"]
        assert [frame["message"]["content"] for frame in shown] == contents
        assert [content for content, _ in town.stored()] == contents
        again = await town.minji.tries_to_send(town.talk, "하나", client_message_id="one")
        assert again.status == (200 if happened else 201)
        assert sorted(content for content, _ in town.stored()) == ["둘", "하나"]


# -- the server that stands still --------------------------------------------------------------------

PROMISED = 2.0 + 2.0
"""Seconds of patience here, and those that a last question may take besides."""
MARGIN = 8.0
"""What a loaded machine may add. Without an end of our own each call took from 30 to 90 seconds."""


async def test_a_server_that_stands_still_keeps_nobody_longer_than_promised(server: Server) -> None:
    async with town_on(server, database_patience=2.0) as town:
        socket = await town.minji.opens()
        before = await town.minji.sends(town.talk, "하나")
        assert (await call(town.play.app, "GET", "/metrics")).status == 200
        with server.frozen():
            took = await every_way(town, socket)
            assert max(took.values()) < PROMISED + MARGIN, took
            again = await every_way(town, socket)  # the patience is used up: now at once
            assert max(again.values()) < PROMISED + MARGIN, again
        await eventually_sends(town.minji, town.talk, "셋")
        refused = [content for content in ("rest", "socket") if content not in dict(town.stored())]
        for content in ("rest", "socket"):  # as every client does: the same again
            assert (await town.minji.tries_to_send(town.talk, content, client_message_id=content)).status in (200, 201)
        stored = town.stored()
        assert sorted(content for content, _ in stored) == sorted(["하나", "rest", "socket", "셋"]), refused
        assert [seq for _, seq in stored] == [1, 2, 3, 4]
        assert before["seq"] == 1


async def test_readiness_keeps_its_connections(server: Server) -> None:
    """A proxy asks each copy twice a second: a new connection costs the server and us more than all of the rest."""
    opened: list[str] = []

    def note(**_: object) -> None:
        opened.append(threading.current_thread().name)

    connection_created.connect(note)
    try:
        async with town_on(server) as town:
            for name, one in health._registered.items():
                one.fresh = 0.0 if name.startswith("chat ") else one.fresh
            for _ in range(10):
                assert (await call(town.play.app, "GET", "/health/ready")).status == 200
                assert (await call(town.play.app, "GET", "/metrics")).status == 200
    finally:
        connection_created.disconnect(note)
    assert opened.count("reading-chat database") == 1, opened


async def every_way(town: Town, socket: Any) -> dict[str, float]:
    """How long each kind of call took, all at the same time, while nothing is answered."""
    talk, minji = town.talk, town.minji

    async def timed(way: Awaitable[Any]) -> tuple[float, Any]:
        began = time.monotonic()
        found = await way
        return time.monotonic() - began, found

    async def over_the_socket() -> str:
        socket.says(type="chat_message", conversation_id=talk, content="socket", client_message_id="socket", ref="s")
        return str((await socket.hears("error", seconds=100))["code"])

    async def asked(path: str) -> int:
        return (await call(minji.app, "GET", path)).status

    ways: dict[str, tuple[Awaitable[Any], Any]] = {
        "a send": (status_of(minji.tries_to_send(talk, "rest", client_message_id="rest")), 503),
        "a send over a socket": (over_the_socket(), "unavailable"),
        "the history": (status_of(minji.asks("GET", f"/api/chat/conversations/{talk}/messages/")), 503),
        "the list": (status_of(minji.asks("GET", f"/api/chat/users/{minji.id}/conversations/")), 503),
        "metrics": (asked("/metrics"), 200),
        "readiness": (asked("/health/ready"), 503),
        "liveness": (asked("/health/live"), 200),
    }
    found = await asyncio.gather(*(timed(way) for way, _ in ways.values()))
    assert {name: said for name, (_, said) in zip(ways, found, strict=True)} == {
        name: expected for name, (_, expected) in ways.items()
    }
    return {name: seconds for name, (seconds, _) in zip(ways, found, strict=True)}


async def status_of(answer: Awaitable[Answer]) -> int:
    return (await answer).status


async def eventually_sends(person: Person, talk: str, content: str) -> None:
    until = time.monotonic() + SOON
    while (said := await person.tries_to_send(talk, content, client_message_id="again")).status not in (
        200,
        201,
    ):
        assert time.monotonic() < until, said.body
        await asyncio.sleep(0.1)


async def test_a_file_that_another_program_locks_keeps_nobody_longer_than_promised(tmp_path: Path) -> None:
    """Sixty changes at once: not each for itself waits for the lock."""
    file, mint = tmp_path / "chat.sqlite3", Mint()
    async with (
        ground(services=("chat",), chat_database=f"sqlite://{file}", database_patience=2.0) as config,
        awake(config, own_keys=mint.published) as house,
    ):
        play = Play(house, mint)
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        sent = await minji.sends(talk, "하나")
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for _ in range(2):
                began = time.monotonic()
                answers = await asyncio.gather(
                    *(minji.edits(sent, f"{number}") for number in range(30)),
                    *(minji.tries_to_send(talk, "둘", client_message_id=f"{number}") for number in range(30)),
                )
                assert time.monotonic() - began < 2 * PROMISED + MARGIN
                assert {answer.status for answer in answers} == {503}
                assert (await minji.sees(talk))["messages"][0]["content"] == "하나"
            other.execute("ROLLBACK")
        await eventually_sends(minji, talk, "둘")
        assert [message["content"] for message in (await minji.sees(talk))["messages"]] == ["하나", "둘"]
