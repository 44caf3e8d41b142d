"""Both copies of chat are restarted in turn while everybody talks, and nobody notices more than a pause."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from doran.verify.nemesis import Server
from tests.cluster.quarter import conversation, people, quarter, stored
from tests.cluster.talker import Talker, talking
from tests.servers.databases import MariaDB
from tests.servers.process import private
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240), pytest.mark.judged]


async def restart(part: Server) -> None:
    """As an orchestrator does it: SIGTERM, wait, start again, wait until it is ready and the proxy has seen it."""
    assert await part.stop(patience=20) == 0
    await part.start()
    await asyncio.sleep(2)


async def test_a_rolling_restart_fails_no_send(tmp_path: Path, database: MariaDB) -> None:
    with private(RedisServer) as redis:
        engines = {"DORAN_REDIS": redis.url, "DORAN_BUS": redis.url}
        await rolls(tmp_path, database, **engines)


async def rolls(folder: Path, database: MariaDB, **engines: str) -> None:
    async with quarter(folder, database, DORAN_DRAIN_DELAY_SECONDS="1.5", **engines) as town:
        everybody = await people(town, 6)
        talks = [await conversation(town, *everybody[at : at + 2]) for at in (0, 2, 4)]
        talkers = [
            Talker(town.gate, token, talks[number // 2], f"p{number}-{'rest' if by_rest else 'socket'}", by_rest)
            for number, (token, _) in enumerate(everybody)
            for by_rest in (False, True)
        ]

        async def roll() -> None:
            await asyncio.sleep(1)
            for name in ("chat_1", "chat_2"):
                await restart(town.parts[name])
            await asyncio.sleep(1)

        await talking(talkers, asyncio.ensure_future(roll()))
        assert [(one.name, one.wrong) for one in talkers if one.wrong] == []
        assert {code for one in talkers for code in one.closes} == {1012}
        assert max(one.worst for one in talkers) < 3.0
        for number, talk in enumerate(talks):
            rows = await stored(town, talk, everybody[2 * number][0])
            assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
            said = [cmid for one in talkers if one.conversation == talk for cmid in one.sent]
            assert sorted(cmid for _, cmid in rows) == sorted(said)
            assert len(said) > 100
