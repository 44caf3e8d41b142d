"""Redis or the broker is away under load: nothing is lost, nobody waits long, and nothing stays broken.

Away means six seconds here. `TEST_AWAY_SECONDS` says otherwise; docs/guarantees.md tells of long runs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doran.contracts.events import Envelope
from doran.kernel.bus.opening import open_bus
from doran.verify.client import Lost, NetworkGate
from tests.buses import KINDS
from tests.cluster.quarter import PASSWORD, Quarter, conversation, people, quarter, stored
from tests.cluster.talker import Talker, talking
from tests.servers.databases import MariaDB
from tests.servers.process import Server, private
from tests.servers.redis import LastingRedisServer, RedisServer

BUSY = 2
"""So many times as long as promised may something take where all processes of a deployment share two cores."""
AWAY = float(os.environ.get("TEST_AWAY_SECONDS", "6"))
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240 + 4 * AWAY), pytest.mark.judged]

Deed = Callable[[], Any]


# -- the broker ----------------------------------------------------------------------------------------


@dataclass
class Integrator:
    """A program of somebody else, which hears of messages: the seqs of each conversation, as it first heard of them."""

    knows: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    told: int = 0
    _known: set[str] = field(default_factory=set)

    @contextmanager
    def listening(self, url: str) -> Iterator[None]:
        bus = open_bus(url)
        bus.subscribe("integrator", ["message.created"], self._hears)
        bus.start()
        try:
            yield
        finally:
            bus.stop()

    def _hears(self, event: Envelope) -> None:
        self.told += 1
        if event.event_id not in self._known:
            self._known.add(event.event_id)
            self.knows[event.key].append(msgspec.json.decode(event.data)["seq"])


DEEDS: dict[str, tuple[str, str]] = {
    "RabbitMQ": ("stop", "start"),
    "Redis": ("stop", "start"),
    "Kafka": ("freeze", "thaw"),  # Tansu, as it is packaged, keeps everything in memory
}


@pytest.mark.parametrize("kind", DEEDS)
async def test_what_was_acknowledged_while_the_broker_was_away_is_heard_in_order(
    tmp_path: Path, database: MariaDB, kind: str
) -> None:
    make = KINDS[kind]
    assert make is not None
    with private(make) as broker:
        goes, returns = (getattr(broker, deed) for deed in DEEDS[kind])
        await hears_everything(tmp_path, database, broker, goes, returns)


async def hears_everything(folder: Path, database: MariaDB, broker: Server, goes: Deed, returns: Deed) -> None:
    integrator = Integrator()
    async with quarter(folder, database, DORAN_BUS=broker.url) as town:
        with integrator.listening(broker.url):
            talks = await talked(town, lambda: away(goes, returns, integrator))
            await until(lambda: integrator.knows == talks, seconds=60 + AWAY)


async def talked(town: Quarter, torment: Callable[[], Awaitable[None]]) -> dict[str, list[int]]:
    """Four people talk while something is done; the seqs of each conversation that were acknowledged."""
    everybody = await people(town, 4)
    talks = [await conversation(town, *everybody[at : at + 2]) for at in (0, 2)]
    talkers = [
        Talker(town.gate, token, talks[number // 2], f"p{number}", by_rest=number % 2 == 0, longest_pause=0.1)
        for number, (token, _) in enumerate(everybody)
    ]
    await talking(talkers, asyncio.ensure_future(torment()))
    assert [(one.name, one.wrong, one.closes) for one in talkers if one.wrong or one.closes] == []
    found = {}
    for number, talk in enumerate(talks):
        rows = await stored(town, talk, everybody[2 * number][0])
        said = [cmid for one in talkers if one.conversation == talk for cmid in one.sent]
        assert sorted(cmid for _, cmid in rows) == sorted(said)
        assert len(said) > AWAY
        found[talk] = [seq for seq, _ in rows]
    return found


async def away(goes: Deed, returns: Deed, integrator: Integrator) -> None:
    """Meanwhile nothing is heard; before and afterwards something is."""
    await until(lambda: integrator.told > 20, seconds=20)
    await asyncio.to_thread(goes)
    await asyncio.sleep(AWAY / 2)
    told = integrator.told
    await asyncio.sleep(AWAY / 2)
    assert integrator.told == told
    await asyncio.to_thread(returns)
    await until(lambda: integrator.told > told, seconds=60)


# -- Redis ---------------------------------------------------------------------------------------------


@dataclass
class Street:
    """민지 sends at one copy of chat, 준호 listens at the other; `late` is how long after its ack he heard of each."""

    town: Quarter
    redis: RedisServer
    late: list[float] = field(default_factory=list)
    _acked: dict[str, float] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)

    async def moves_in(self) -> None:
        (self._minji, _), (self._junho, _) = self._people = await people(self.town, 2)
        self.talk = await conversation(self.town, *self._people)
        self._wire = await self.town.doors["chat_2"].open(f"/ws/chat/{self.talk}/", token=self._junho)
        self.listening = asyncio.create_task(self._listens())

    async def _listens(self) -> None:
        while True:
            frame = await self._wire.hear()
            if frame["type"] == "chat_message":
                self._heard[frame["message"]["client_message_id"]] = time.monotonic()

    async def talks(self, seconds: float) -> None:
        """Messages all the time; each has to arrive within two seconds, on a machine that all of this shares in four."""
        door, over, sent = self.town.doors["chat_1"], time.monotonic() + seconds, []
        while time.monotonic() < over:
            sent.append(cmid := f"m-{len(self._acked)}")
            body = {"content": "봄이 왔어", "client_message_id": cmid}
            path = f"/api/chat/conversations/{self.talk}/messages/send/"
            answer = await door.ask("POST", path, token=self._minji, body=body)
            assert answer.status == 201, answer.body
            self._acked[cmid] = time.monotonic()
            await asyncio.sleep(0.05)
        await until(lambda: self._heard.keys() >= set(sent), seconds=10)
        self.late = [self._heard[cmid] - self._acked[cmid] for cmid in sent]
        assert max(self.late) < 2.0 * BUSY

    async def guesses(self) -> None:
        """Four guess 민지's password until they are refused; the eleventh is not looked at, but for one each six seconds.

        How many are looked at depends on how long a loaded machine takes for each, so they go on until they know.
        """
        body, begun = {"username": "person0", "password": "아닌 것 같은데"}, time.monotonic()
        statuses: list[int] = []
        while 429 not in statuses and len(statuses) < 80:
            guesses = [self.town.gate.ask("POST", "/api/core/tokens/", body=body) for _ in range(4)]
            statuses += [answer.status for answer in await asyncio.gather(*guesses)]
        assert set(statuses) <= {401, 429}
        assert 429 in statuses
        assert statuses.count(401) <= 10 + (time.monotonic() - begun) / 6

    async def loses_a_phone(self) -> None:
        """준호 logs in once more and revokes that session; its socket is closed within five seconds, here in ten."""
        body = {"username": "person1", "password": PASSWORD}
        phone = (await self.town.gate.ask("POST", "/api/core/tokens/", body=body)).body
        wire = await self.town.doors["chat_2"].open("/ws/", token=phone["access_token"])
        assert (await wire.hear())["type"] == "ready"
        revoked = {"refresh_token": phone["refresh_token"]}
        assert (await self.town.gate.ask("POST", "/api/core/tokens/revoke/", body=revoked)).status == 204
        async with asyncio.timeout(5 * BUSY):
            with pytest.raises(Lost) as lost:
                while True:
                    await wire.hear()
        assert lost.value.code == 4401

    async def is_mended(self) -> None:
        """Both copies hear each other at once again, count together, and know who is at the other."""
        for name in ("chat_1", "chat_2"):
            await shows(self.town.doors[name], b"doran_hints_up 1.0", b"doran_limits_alone 0.0")
        hers = await self.town.doors["chat_1"].open("/ws/", token=self._minji)
        await hers.say({"type": "presence", "user_ids": [self._people[1][1]]})
        async with asyncio.timeout(15):
            while (await hers.hear()).get("online") is not True:
                pass
        await hers.close()


async def shows(door: NetworkGate, *lines: bytes) -> None:
    """The metrics say so, soon."""
    async with asyncio.timeout(15):
        while not set(lines) <= set((await door.read("/metrics")).splitlines()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_without_redis_messages_arrive_and_guessing_stays_slow(tmp_path: Path, database: MariaDB) -> None:
    with private(RedisServer) as redis, private(LastingRedisServer) as bus:
        async with quarter(tmp_path, database, DORAN_REDIS=redis.url, DORAN_BUS=bus.url) as town:
            street = Street(town, redis)
            await street.moves_in()
            await street.talks(2)
            await street.is_mended()
            for goes, returns in ((redis.stop, redis.start), (redis.flush, redis.flush), (redis.freeze, redis.thaw)):
                await asyncio.to_thread(goes)
                await asyncio.gather(street.talks(AWAY), street.guesses(), street.loses_a_phone())
                await asyncio.to_thread(returns)
                await street.is_mended()
                await street.talks(1)
            assert not street.listening.done(), "his socket was closed"
            street.listening.cancel()


async def until(true: Callable[[], bool], *, seconds: float) -> None:
    """Ask until it is so; another process does it, and tells nobody."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
