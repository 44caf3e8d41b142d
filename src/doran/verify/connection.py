"""A device's sockets: opened, listened to, broken, opened again; and REST beside them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from contextlib import suppress
from itertools import count
from typing import Any

from doran.verify.client import TOO_LONG, Answer, Gate, Json, Lost, Unreachable
from doran.verify.history import Closed, Garbled, Level, Looked, Opened, Recorder
from doran.verify.memory import Account
from doran.verify.witness import Link, Witness

PATIENCE = 6.0
"""Seconds to wait for the answer to a frame before its outcome counts as unknown."""


class Refused(Exception):
    """The server said no where a run cannot go on without a yes."""


class Connected(Witness, ABC):
    """A device with a way to the server: one socket to everything, or (`by_room`) one per conversation."""

    def __init__(
        self,
        account: Account,
        name: str,
        gate: Gate,
        recorder: Recorder,
        *,
        by_room: bool = False,
        in_band: bool = False,
    ) -> None:
        super().__init__(account, name, recorder)
        self.gate = gate
        self.epoch = ""
        self.state_seq = 0
        self.token = ""
        self._by_room = by_room
        self._in_band = in_band
        self._links: dict[str, Link] = {}
        self._refs = count(1)
        self._chores: set[asyncio.Task[Any]] = set()

    @abstractmethod
    async def sync(self) -> bool:
        """Catch up on everything; whether it worked."""

    @abstractmethod
    async def ask_changes(self, conversation: str) -> bool:
        """Catch up on one conversation; whether it worked."""

    async def log_in(self) -> None:
        """A new session of this device. Raises `Unreachable`, `Lost`, or `Refused`."""
        body = {"username": self.account.username, "password": self.account.password}
        answer = await self.gate.ask("POST", "/api/core/tokens/", body={**body, "device_name": self.name})
        if answer.status not in (200, 201):
            raise Refused(f"log-in: {answer.code}")
        self.token = answer.body["access_token"]

    # -- links -------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return all(self._link(room) is not None for room in self._rooms())

    def _rooms(self) -> list[str]:
        return list(self.conversations) if self._by_room else [""]

    def _link(self, room: str) -> Link | None:
        link = self._links.get(room)
        return link if link is not None and link.alive else None

    def _way_to(self, conversation: str) -> Link | None:
        return self._link(conversation if self._by_room else "")

    async def connect(self) -> bool:
        """Open what is not open, and catch up. False where the server is not there."""
        try:
            for room in self._rooms():
                if self._link(room) is None:
                    await self._open(room)
            return True
        except (Unreachable, Lost):
            return False

    async def catch_up(self) -> bool:
        """Reconnect where the line is cut, and resume from my own mark."""
        return await self.connect() and await self.sync()

    async def _open(self, room: str) -> None:
        path = f"/ws/chat/{room}/" if room else "/ws/"
        began = self.recorder.clock()
        opening = self.gate.open(path, token=self.token, in_band=self._in_band)
        link = Link(next(self.recorder.links), room, await patiently(opening))
        try:
            await self._greet(link, began)
        except (Lost, KeyError) as failed:
            await self._end(link, getattr(failed, "code", 0))
            await link.wire.close()
            raise Lost from failed
        self._links[room] = link
        link.reader = asyncio.create_task(self._listen(link))
        await (self.ask_changes(room) if room else self.sync())

    async def _greet(self, link: Link, began: int) -> None:
        ready = await patiently(link.wire.hear())
        if ready["type"] != "ready":
            raise Lost
        self.epoch = ready["epoch"]
        self._note(Opened(room=link.room, epoch=self.epoch), link, inv=began)
        if link.room:
            await self._take_history(link, began)

    async def _take_history(self, link: Link, began: int) -> None:
        """The first frame of a conversation's socket; it may be as old as the opening."""
        frame = await patiently(link.wire.hear())
        if frame.get("type") != "conversation_history":
            self._heard(link, frame)
            return
        self._saw(link, link.room, "history", frame["messages"], inv=began, last_seq=frame["last_seq"])
        self._looked(link, link.room, "history", frame["peer"], inv=began)
        self._looked_at_me(link, link.room, "history", frame.get("me"), inv=began)

    async def drop(self) -> None:
        """Hang up every socket, as a phone does in a tunnel."""
        for link in list(self._links.values()):
            if link.alive:
                link.closing = True
                await self._end(link, 0)
                await link.wire.close()
        for link in list(self._links.values()):
            if link.reader is not None and link.reader is not asyncio.current_task():
                link.reader.cancel()
                with suppress(asyncio.CancelledError):
                    await link.reader
        self._links.clear()

    async def _end(self, link: Link, code: int) -> None:
        if not link.alive:
            return
        link.alive = False
        by_device = link.closing
        self._note(Closed(room=link.room, code=code, by="device" if by_device else "server"), link)
        for answer in link.answers.values():
            if not answer.done():
                answer.set_exception(Lost(code))

    # -- listening ---------------------------------------------------------------------------

    async def _listen(self, link: Link) -> None:
        try:
            while link.alive:
                frame = await link.wire.hear()
                with self.shapes(str(frame.get("type"))):
                    self._heard(link, frame)
        except Lost as lost:
            await self._end(link, lost.code)

    def _heard(self, link: Link, frame: Json) -> None:
        answer = link.answers.pop(str(frame.get("ref")), None)
        if answer is not None and not answer.done():
            answer.set_result(frame)
        else:
            self._unasked(link, frame)

    def _unasked(self, link: Link, frame: Json) -> None:
        kind = str(frame.get("type"))
        if kind == TOO_LONG:
            self._note(Garbled(what=f"a frame of {frame['bytes']} bytes, more than is promised"), link)
        elif kind in ("chat_message", "message_updated", "message_deleted", "ack"):
            message = frame["message"]
            conversation = frame.get("conversation_id", message["conversation_id"])
            self._saw(link, conversation, "live", [message], frame=kind)
            self._ask_for_hole(conversation)
        elif kind in ("message_delivered", "message_read"):
            level: Level = "read" if kind == "message_read" else "delivered"
            self._note(
                Looked(
                    conversation=frame["conversation_id"],
                    source="live",
                    whose=frame["user_id"],
                    read=frame["up_to_seq"] if level == "read" else None,
                    delivered=frame["up_to_seq"] if level == "delivered" else None,
                ),
                link,
            )
        elif frame.get("conversation_id") not in (None, *self.conversations):
            self._saw(link, frame["conversation_id"], "live", [], frame=kind)

    def _ask_for_hole(self, conversation: str) -> None:
        memory = self.memory.get(conversation)
        if memory is not None and memory.cursor is not None and memory.has_hole():
            self._chore(self.ask_changes(conversation))

    def _chore(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(_quietly(work))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # -- asking ------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str, body: Json | None = None) -> Answer:
        asking = self.gate.ask(method, path, token=self.token, body=body)
        answer: Answer = await patiently(asking)
        return answer

    async def _say(self, link: Link, frame: Json) -> Json:
        """A frame and its answer. Raises `Lost` where none comes."""
        ref = f"r{next(self._refs)}"
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        link.answers[ref] = answer
        try:
            await link.wire.say({**frame, "ref": ref})
            said: Json = await patiently(answer)
            return said
        finally:
            link.answers.pop(ref, None)
            if answer.done() and not answer.cancelled():
                answer.exception()


async def patiently(work: Awaitable[Any]) -> Any:
    """Wait for an answer, but not for ever: then it counts as lost."""
    try:
        return await asyncio.wait_for(work, PATIENCE)
    except TimeoutError:
        raise Lost from None


async def _quietly(work: Awaitable[object]) -> None:
    with suppress(Unreachable, Lost):
        await work
