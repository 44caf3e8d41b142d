"""Another chat process on the same database, as far as it shows things: its own sockets, its own fan-out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from doran.chat import opening
from doran.chat.feed import FeedWriter
from doran.chat.reading import Readers
from doran.chat.sharing import _Archive
from doran.kernel import auth
from doran.kernel.auth import Principal
from doran.realtime.connection import Connection, Gateway, History
from doran.realtime.fanout import Step
from doran.realtime.fanout.shared import SharedFanout
from doran.realtime.hints import Hints, Silence
from doran.realtime.hub import Hub
from doran.realtime.presence.memory import MemoryPresence
from doran.realtime.transport import asgi
from tests.cast import Person
from tests.chat.conftest import Play


class Copy:
    """It commits nothing. `app` opens sockets; REST is asked of the house."""

    def __init__(self, play: Play, hints: Hints) -> None:
        self._readers = Readers(2, seconds=10.0)
        self._play = play
        self.hub = Hub(sockets_per_person=30)
        self.shown: list[Step] = []
        self.archive = _Archive(self._readers, FeedWriter())
        self.fanout = SharedFanout(self.hub, hints, self.archive, shown=self.shown.append)
        self.gateway = Gateway(
            config=play.house.config,
            hub=self.hub,
            presence=MemoryPresence(self.hub),
            verify=self._verify,
            handlers={},
            open_conversation=self._history,
            epoch=lambda: "epoch",
            settled=_settled,
        )

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].rstrip("/")
        conversation_id = path.removeprefix("/ws/chat/") if path != "/ws" else None
        await asgi.serve(scope, receive, send, gateway=self.gateway, conversation_id=conversation_id)

    def of(self, person: Person) -> Person:
        """The same person, whose sockets open here."""
        return Person(self.app, person.name, person.id, person.token)

    async def _verify(self, token: str) -> Principal:
        return await self._readers(partial(auth.verify, token))

    async def _history(self, connection: Connection) -> History:
        return await self._readers(partial(opening.history, str(connection.conversation_id), connection.user_id))

    async def stop(self) -> None:
        await self.fanout.stop()
        await asyncio.to_thread(self._readers.close)


async def _settled() -> None:
    pass


@asynccontextmanager
async def beside(play: Play, *, hints: Hints | None = None) -> AsyncIterator[Copy]:
    """A copy that runs until the block ends; by default it hears nothing and has to find everything."""
    copy = Copy(play, hints or Silence())
    await copy.fanout.begin()
    copy.fanout.start()
    try:
        yield copy
    finally:
        await copy.stop()
