"""Hints over Redis: one connection that listens, one that speaks.

Nobody ever waits for Redis. What is said while it is away, or faster than it takes, is dropped and
counted; both connections come back by themselves, with pauses that grow and vary.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from doran.kernel import telemetry
from doran.realtime import redis
from doran.realtime.hints import Listener

log = logging.getLogger(__name__)

QUEUE_BYTES: Final = 4_194_304
AT_ONCE_BYTES: Final = 524_288
SILENT_SECONDS: Final = 1.0
"""After so long without a word Redis is asked whether it is there, and has as long again to answer."""
LAST_WORDS_SECONDS: Final = 0.5
ALONE_SECONDS: Final = 1.0
"""How long a process that nobody else hears is silent before it tries again whether somebody does."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.05, 2.0

_pack = msgspec.msgpack.Encoder().encode
_heard = msgspec.msgpack.Decoder(tuple[bytes, list[tuple[str, bytes]]])


class RedisHints:
    """What is said is published as soon as the last publishing is done: so it groups by itself under load.

    Who is alone says nothing: Redis told how many heard the last word, and whoever comes says hello.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.connect(url)
        self._me = secrets.token_bytes(8)
        self._channel = ""
        self._listeners: dict[str, Listener] = {}
        self._queue: list[tuple[str, bytes]] = []
        self._queued = 0
        self._awake = asyncio.Event()
        self._speaks = False
        self._said = asyncio.Event()
        self._alone_until = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.are_heard = False
        self._away = telemetry.Outage(log, "Redis is away", "Redis is back")

    @property
    def is_up(self) -> bool:
        """Whether both connections work, as far as is known."""
        return self._speaks and self.are_heard

    def start(self, channel: str) -> None:
        self._channel = channel
        self._tasks = [asyncio.ensure_future(self._again_and_again(one)) for one in (self._speak, self._hear)]

    async def stop(self) -> None:
        """What was said is still published, if that takes no longer than a moment."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS if self._speaks else 0.0):
                await self._said.wait()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with suppress(Exception):
            await self._redis.aclose()

    # -- speaking ----------------------------------------------------------------------------------

    def say(self, kind: str, body: bytes) -> None:
        if self._alone_until > asyncio.get_running_loop().time():
            return None
        if not self._speaks or self._queued + len(body) > QUEUE_BYTES:
            return telemetry.hints_dropped(1)
        self._queue.append((kind, body))
        self._queued += len(body)
        self._said.clear()
        self._awake.set()

    async def _speak(self) -> None:
        await self._redis.ping()
        self._speaks = True
        self._note_return()
        while True:
            self._said.set()
            await self._awake.wait()
            self._awake.clear()
            while self._queue:
                await self._publish(self._next())

    async def _publish(self, said: list[tuple[str, bytes]]) -> None:
        heard_by: int = await self._redis.publish(self._channel, _pack((self._me, said)))
        if heard_by <= 1 and self.are_heard:  # by ourselves
            self._alone_until = asyncio.get_running_loop().time() + ALONE_SECONDS

    def _next(self) -> list[tuple[str, bytes]]:
        """As much as one publishing may carry, at least one hint."""
        taken = size = 0
        while taken < len(self._queue) and (not taken or size + len(self._queue[taken][1]) <= AT_ONCE_BYTES):
            size += len(self._queue[taken][1])
            taken += 1
        said, self._queue = self._queue[:taken], self._queue[taken:]
        self._queued -= size
        return said

    def _fall_silent(self) -> None:
        """Nobody waits for old hints: who missed them has found it out otherwise."""
        if self._queue:
            telemetry.hints_dropped(len(self._queue))
        self._queue, self._queued, self._speaks = [], 0, False

    # -- hearing -----------------------------------------------------------------------------------

    def listen(self, kind: str, listener: Listener) -> None:
        self._listeners[kind] = listener

    async def _hear(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            was_silent = False
            while True:
                message = await pubsub.get_message(timeout=SILENT_SECONDS)
                if message is None and was_silent:
                    raise TimeoutError("Redis says nothing")
                was_silent = message is None
                if message is None:
                    await pubsub.ping()
                else:
                    self._take(message)
                    if message["type"] == "subscribe":
                        await self._publish([])  # hello: whoever was alone is not any more

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self.are_heard = True
            self._note_return()
        elif message["type"] == "message":
            self._hand_over(message["data"])

    def _hand_over(self, data: bytes) -> None:
        try:
            speaker, said = _heard.decode(data)
        except msgspec.DecodeError:
            return log.warning("a hint could not be read")
        if speaker != self._me:
            self._alone_until = 0.0
            telemetry.hints_heard(len(said))
            for kind, body in said:
                self._tell(kind, body)

    def _tell(self, kind: str, body: bytes) -> None:
        """A hint that cannot be used must not keep the others from being heard."""
        try:
            if (listener := self._listeners.get(kind)) is not None:
                listener(body)
        except Exception:
            log.exception("a hint could not be used")

    def _note_return(self) -> None:
        if self.is_up:
            self._away.is_over()

    # -- coming back ---------------------------------------------------------------------------------

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        pause = SHORTEST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await work()
            except Exception as wrong:
                self._away.goes_on(wrong)
            finally:
                self._forget(work)
            worked = asyncio.get_running_loop().time() - began > LONGEST_PAUSE
            pause = SHORTEST_PAUSE if worked else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311  only so that not all come at once

    def _forget(self, work: Callable[[], Awaitable[None]]) -> None:
        if work == self._speak:
            self._fall_silent()
        else:
            self.are_heard = False
