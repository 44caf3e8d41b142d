"""What chat has in common with other processes that share its database, or needs not have, alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from doran.chat import feed, gaps, nodes
from doran.chat.feed import FeedKeeper, FeedWriter
from doran.chat.reading import Readers
from doran.chat.writer import Account, NoAccount
from doran.contracts.errors import Problem
from doran.kernel import telemetry
from doran.kernel.config import Config
from doran.realtime.fanout import Fanout, Step
from doran.realtime.fanout.memory import MemoryFanout
from doran.realtime.fanout.order import Hole, Told
from doran.realtime.fanout.shared import SharedFanout
from doran.realtime.hints import Hints, Silence
from doran.realtime.hub import Hub
from doran.realtime.presence import Presence
from doran.realtime.presence.memory import MemoryPresence
from doran.realtime.presence.shared import SharedPresence

log = logging.getLogger(__name__)


class Sharing(Protocol):
    """`fanout` shows commits to screens, `hints` tells other processes, `account` keeps track of commits for them.

    `presence` knows who is connected to any of them.
    """

    shares: bool
    fanout: Fanout
    hints: Hints
    presence: Presence
    account: Account

    async def start(self, epoch: str) -> None:
        """Before the writer writes and the first socket is served. `epoch` names the store that is shared."""
        ...

    async def stop(self) -> None: ...


class Alone:
    """One process: nobody to tell, nothing to keep track of. On a database server it is only known to be there."""

    shares = False

    def __init__(self, hub: Hub) -> None:
        self.fanout: Fanout = MemoryFanout(hub)
        self.hints: Hints = Silence()
        self.presence: Presence = MemoryPresence(hub)
        self.account: Account = NoAccount()
        self._readers: Readers | None = None
        self._node = 0
        self._renewing: asyncio.Task[None] | None = None

    async def start(self, epoch: str) -> None:
        if nodes.has_server():
            self._readers = Readers(1, seconds=10.0)
            await self._readers(feed.forget)
            self._node = await self._readers(nodes.create)
            self._renewing = asyncio.ensure_future(_every_ten_seconds(self._readers, partial(nodes.renew, self._node)))

    async def stop(self) -> None:
        if self._renewing is None or self._readers is None:
            return
        await _ended(self._renewing)
        with suppress(Problem):  # a database that is away forgets the row by itself
            await self._readers(partial(nodes.remove, self._node))
        await asyncio.to_thread(self._readers.close)


class Together:
    """Several processes. `shown`: a step of any of them was shown here; `missed`: one of them is gone."""

    shares = True

    def __init__(self, config: Config, hub: Hub, *, shown: Callable[[Step], None], missed: Callable[[], Any]) -> None:
        self.hints = _hints(config)
        self.presence: Presence = SharedPresence(hub, self.hints)
        self.account: Account
        self.account = self._writer = FeedWriter()
        self._readers = Readers(2, seconds=config.database_patience)
        self._archive = _Archive(self._readers, self._writer)
        self.fanout: Fanout
        self.fanout = self._fanout = SharedFanout(hub, self.hints, self._archive, shown=shown)
        self._keeper = FeedKeeper(self._writer, missed=missed)
        self._tending: asyncio.Task[None] | None = None

    async def start(self, epoch: str) -> None:
        await self._readers(self._writer.begin)
        self.hints.start(f"doran:{epoch}:chat")
        await self._fanout.begin()
        self._fanout.start()
        self.presence.start()
        self._tending = asyncio.ensure_future(_every_ten_seconds(self._readers, self._keeper.tend))

    async def stop(self) -> None:
        if self._tending is not None:
            await _ended(self._tending)
        await self._fanout.stop()
        await self.presence.stop()
        await self.hints.stop()
        await asyncio.to_thread(self._readers.close)


async def _every_ten_seconds(readers: Readers, tend: Callable[[], None]) -> None:
    away = telemetry.Outage(
        log, "the row of this process could not be renewed; it is tried again", "it is renewed again"
    )
    while True:
        await asyncio.sleep(nodes.RENEW_SECONDS)
        try:
            await readers(tend)
        except Exception as wrong:
            away.goes_on(wrong)
        else:
            away.is_over()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


class _Archive:
    """The database as the fan-out asks it: off the event loop, on threads that others do not keep busy."""

    def __init__(self, readers: Readers, writer: FeedWriter) -> None:
        self._readers = readers
        self._writer = writer

    def begun(self) -> tuple[int, int]:
        return self._writer.begun

    async def ends(self) -> dict[int, int]:
        return await self._readers(partial(feed.ends, self._writer))

    async def steps(self, node: int, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        return await self._readers(partial(feed.steps, node, numbers))

    async def read(self, holes: Sequence[Hole]) -> Sequence[Told]:
        return await self._readers(partial(gaps.read, holes))


def _hints(config: Config) -> Hints:
    """Over Redis, if there is one."""
    if not config.redis:
        return Silence()
    from doran.realtime.hints.redis import RedisHints

    hints = RedisHints(config.redis)
    telemetry.watch_hints(lambda: hints.is_up)
    return hints
