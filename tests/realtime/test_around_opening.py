"""Around the moment at which a conversation's socket opens: nothing is missed, nothing shown twice."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from doran.kernel import config as settings
from doran.kernel.auth import Principal
from doran.realtime.connection import Connection, Gateway, Gone, History
from doran.realtime.hub import Delivery, Hub
from doran.realtime.presence.memory import MemoryPresence

MINJI = Principal("minji", "session", "us", int(time.time()) + 600, "token")


class Screen:
    """What reaches 민지, as far as it is not about the socket itself. She says nothing and stays."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.lit = asyncio.Event()

    def allow_frames_of(self, size: int) -> None:
        pass

    async def receive(self) -> str:
        await asyncio.Event().wait()
        raise Gone

    def send_at_once(self, text: str) -> bool:
        return False

    async def send(self, text: str) -> None:
        if not (text.startswith("{") and msgspec.json.decode(text)["type"] == "ready"):
            self.shown.append(text)
            self.lit.set()

    async def close(self, code: int, reason: str) -> None:
        pass

    def abort(self) -> None:
        pass


def news(text: str, change_seq: int) -> Delivery:
    return Delivery(("minji",), text, "conversation", change_seq)


class Opening:
    """민지 opens a conversation whose history is complete up to change 7."""

    def __init__(self) -> None:
        self.screen = Screen()
        self.subscribed = asyncio.Event()
        self.read = asyncio.Event()
        hub = Hub(sockets_per_person=4)
        gateway = Gateway(
            config=settings.load({}),
            hub=hub,
            presence=MemoryPresence(hub),
            verify=self._verify,
            handlers={},
            open_conversation=self._history,
            epoch=lambda: "epoch",
            settled=self._settled,
        )
        self.socket = Connection(self.screen, gateway, conversation_id="conversation", token="token")
        self._life = asyncio.create_task(self.socket.live())

    async def _verify(self, token: str) -> Principal:
        return MINJI

    async def _history(self, connection: Connection) -> History:
        self.subscribed.set()
        await self.read.wait()
        return History("history up to 7", 7, 5)

    async def _settled(self) -> None:
        """Nothing was said that could wait for an answer."""

    async def opened(self) -> None:
        self.read.set()
        await self.screen.lit.wait()

    async def ended(self) -> None:
        self.socket.end(1000)
        await self._life


@pytest.mark.parametrize("when", ["while the history is read", "after the history was shown"])
async def test_what_the_history_shows_is_not_shown_again(when: str) -> None:
    """A commit can be read before it is told to the sockets: the telling may come at either time."""
    opening = Opening()
    await opening.subscribed.wait()
    if when == "after the history was shown":
        await opening.opened()
    for change in (6, 7, 8):
        opening.socket.take(news(f"change {change}", change))
    opening.socket.take(news("no change at all", 0))
    await opening.opened()
    await opening.ended()
    assert opening.screen.shown == ["history up to 7", "change 8", "no change at all"]
