"""Every part is killed, frozen and started again in turn while six people on twelve devices talk, and they lose nothing.

What they saw is judged by the history checker, as for one process (tests/crash), only that all screens have 30 seconds
to agree after the last fault.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from doran.verify import report
from doran.verify.history import Fault, Recorder, in_order
from doran.verify.judge import judge
from doran.verify.nemesis import Server
from doran.verify.run import Campaign, Plan
from doran.verify.side import keep, search
from tests.cluster.quarter import Quarter, quarter
from tests.servers.databases import MariaDB
from tests.servers.process import private
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(420), pytest.mark.judged]

FROZEN_SECONDS = 2.0
SENDS_WITHIN = 20.0

Meanwhile = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """What happens while a part is away of which nothing is asked."""


@dataclass
class Storm:
    """What is done to whom, noted in the history."""

    town: Quarter
    database: MariaDB
    redis: RedisServer
    broker: RabbitMQServer
    recorder: Recorder

    async def rages(self) -> None:
        await asyncio.sleep(2)
        await self.goes_on_without(self.crash, "core_1")
        await self.goes_on_without(self.freeze, "core_1")
        await self.goes_on_without(self.freeze, "redis")
        await self.goes_on_without(self.freeze, "broker")
        await self.crash("chat_1")
        await self.freeze("chat_2")
        await self.freeze("database")
        await self.crash("database")
        await self.goes_on_without(self.crash, "broker")
        await self.goes_on_without(self.crash, "redis")
        await self.goes_on_without(self.crash, "ai_1")
        await self.restart("chat_2")
        await asyncio.sleep(2)

    async def goes_on_without(self, deed: Callable[[str, Meanwhile], Awaitable[None]], name: str) -> None:
        """Messages are stored although this part is away; it stays away until one was."""

        async def somebody_sends() -> None:
            before, until = self._stored(), time.monotonic() + SENDS_WITHIN
            while self._stored() == before:
                assert time.monotonic() < until, f"nobody could send while {deed.__name__} of {name}"
                await asyncio.sleep(0.01)

        await deed(name, somebody_sends)

    def _stored(self) -> int:
        sends = [one for one in self.recorder.operations.values() if type(one).__name__ == "Send"]
        return sum(getattr(one, "outcome", "") == "ok" for one in sends)

    async def crash(self, name: str, meanwhile: Meanwhile = nothing) -> None:
        fault = self.recorder.begin(Fault(name="kill", detail=name))
        part = self.town.parts.get(name)
        if part is not None:
            await part.kill()
            await meanwhile()
            await part.start()
        else:
            engine = getattr(self, name)
            await asyncio.to_thread(getattr(engine, "kill", engine.stop))
            await meanwhile()
            await asyncio.to_thread(engine.start)
        self.recorder.end(fault)

    async def freeze(self, name: str, meanwhile: Meanwhile = nothing) -> None:
        fault = self.recorder.begin(Fault(name="stall", detail=name))
        with ExitStack() as until:
            self._freeze(name, until)
            await asyncio.sleep(FROZEN_SECONDS)
            await meanwhile()
        self.recorder.end(fault)

    def _freeze(self, name: str, until: ExitStack) -> None:
        part = self.town.parts.get(name)
        if part is not None:
            part.pause()
            until.callback(part.go_on)
        elif name == "database":
            until.enter_context(self.database.frozen())
        else:
            engine = getattr(self, name)
            engine.freeze()
            until.callback(engine.thaw)

    async def restart(self, name: str) -> None:
        fault = self.recorder.begin(Fault(name="restart", detail=name))
        part: Server = self.town.parts[name]
        assert await part.stop(patience=20) == 0
        await part.start()
        self.recorder.end(fault)


async def test_nothing_is_lost_whatever_is_killed_or_frozen(tmp_path: Path, database: MariaDB) -> None:
    with private(RedisServer) as redis, private(RabbitMQServer) as broker:
        await rage(tmp_path, database, redis, broker)


async def rage(folder: Path, database: MariaDB, redis: RedisServer, broker: RabbitMQServer) -> None:
    recorder = Recorder(time.monotonic_ns, folder / "history.jsonl")
    async with quarter(folder, database, DORAN_REDIS=redis.url, DORAN_BUS=broker.url) as town:
        campaign = Campaign(town.gate, recorder, Plan(seed=30, think_seconds=0.3, converge_seconds=30.0))
        await campaign.run(Storm(town, database, redis, broker, recorder).rages)
        await events_have_arrived(database, len(campaign.house.accounts))
        metrics = folder / "metrics"
        keep(metrics, await town.doors["chat_1"].read("/metrics"))
    recorder.close()
    house = campaign.house
    logs = [part.log for part in town.parts.values()]
    search(recorder, [metrics, *logs], run=house.run, secrets=house.secrets())
    verdict = judge(in_order(recorder.operations.values()))
    assert verdict.clean, report.as_text(verdict, recorder.operations)
    assert verdict.silent == ()
    assert verdict.counts["fault"] == 12
    assert verdict.counts["send ok"] >= 100
    assert b"doran_" in metrics.read_bytes(), "there was nothing to search"


async def events_have_arrived(database: MariaDB, newcomers: int) -> None:
    """Nobody waits in an outbox, and chat has heard of everybody core knows."""

    def settled() -> bool:
        tables = [f"doran_{one}.{one}_outbox" for one in ("core", "chat")]
        waiting = sum(int(database.say(f"SELECT COUNT(*) FROM {table}")[0][0]) for table in tables)
        known = int(database.say("SELECT COUNT(*) FROM doran_chat.chat_person")[0][0])
        return waiting == 0 and known >= newcomers

    async with asyncio.timeout(60):
        while not await asyncio.to_thread(settled):  # noqa: ASYNC110  another process does it
            await asyncio.sleep(0.2)
