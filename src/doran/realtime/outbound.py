"""What waits to be written to one socket: bounded, in order, and never in anybody else's way."""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

Write = Callable[[str], Coroutine[Any, Any, None]]
WriteAtOnce = Callable[[str], bool]


class Outbound:
    """Frames for one slow or fast reader.

    `offer` never waits. A reader that leaves more than `limit` characters unread, or one write
    unfinished for `seconds`, is too slow: `on_slow` is called once and nothing more is taken.
    `at_once` writes where that needs no waiting, and says whether it did: so nearly always.
    """

    __slots__ = ("_at_once", "_closed", "_limit", "_on_slow", "_seconds", "_task", "_waiting", "_weight", "_write")

    def __init__(
        self, write: Write, at_once: WriteAtOnce, *, limit: int, seconds: float, on_slow: Callable[[], None]
    ) -> None:
        self._write = write
        self._at_once = at_once
        self._limit = limit
        self._seconds = seconds
        self._on_slow = on_slow
        self._waiting: deque[str] | None = None
        self._weight = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def offer(self, text: str) -> None:
        """Write this after everything offered before."""
        if self._closed:
            return None
        if self._task is not None:
            return self._queue(text)
        try:
            if not self._at_once(text):
                self._begin(text)
        except Exception:  # the socket is gone; its reader learns that by itself
            self._closed = True

    def close(self) -> None:
        """Take nothing more; what waits is forgotten."""
        self._closed = True
        self._waiting = None
        self._weight = 0
        if self._task is not None:
            self._task.cancel()

    async def finish(self) -> None:
        """Return when everything offered so far is written, or writing has failed."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _queue(self, text: str) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(text)
        self._weight += len(text)
        if self._weight > self._limit:
            self._too_slow()

    def _begin(self, text: str) -> None:
        """The write is begun by hand; only if it has to wait does a task wait with it."""
        writing = self._write(text)
        try:
            waiting_for = writing.send(None)
        except StopIteration:
            return
        self._task = asyncio.ensure_future(self._drain(_continued(writing, waiting_for)))

    async def _drain(self, writing: Any) -> None:
        """One write that has to wait, then everything that queued behind it."""
        watchdog = asyncio.get_running_loop().call_later(self._seconds, self._too_slow)
        try:
            await writing
            while self._waiting:
                text = self._waiting.popleft()
                self._weight -= len(text)
                watchdog.cancel()
                watchdog = asyncio.get_running_loop().call_later(self._seconds, self._too_slow)
                await self._write(text)
        except Exception:  # as above
            self._closed = True
        finally:
            watchdog.cancel()
            self._waiting = None
            self._task = None

    def _too_slow(self) -> None:
        if not self._closed:
            self.close()
            self._on_slow()


@types.coroutine
def _continued(begun: Coroutine[Any, Any, None], waiting_for: Any) -> Generator[Any, Any, None]:
    """Await a coroutine that was begun by hand and has stopped to wait for something."""
    try:
        while True:
            try:
                answer = yield waiting_for
            except BaseException as wrong:  # whatever it is belongs to the coroutine
                waiting_for = begun.throw(wrong)
            else:
                waiting_for = begun.send(answer)
    except StopIteration:
        return
