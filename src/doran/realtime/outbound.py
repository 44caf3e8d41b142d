"""What waits to be written to one socket: bounded, in order, and never in anybody else's way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

Write = Callable[[str], Awaitable[None]]


class Outbound:
    """Frames for one slow or fast reader.

    `offer` never waits. A reader that leaves more than `limit` characters unread, or one write
    unfinished for `seconds`, is too slow: `on_slow` is called once and nothing more is taken.
    """

    __slots__ = ("_closed", "_limit", "_on_slow", "_seconds", "_task", "_waiting", "_weight", "_write")

    def __init__(self, write: Write, *, limit: int, seconds: float, on_slow: Callable[[], None]) -> None:
        self._write = write
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
            return
        if self._waiting is None:
            self._waiting = deque()
            self._task = asyncio.ensure_future(self._drain())
        self._waiting.append(text)
        self._weight += len(text)
        if self._weight > self._limit:
            self._too_slow()

    def close(self) -> None:
        """Take nothing more; what waits is forgotten."""
        self._closed = True
        self._weight = 0
        if self._waiting is not None:
            self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def finish(self) -> None:
        """Return when everything offered so far is written, or writing has failed."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _too_slow(self) -> None:
        if not self._closed:
            self.close()
            self._on_slow()

    async def _drain(self) -> None:
        waiting = self._waiting
        assert waiting is not None
        watchdog = None
        loop = asyncio.get_running_loop()
        try:
            while waiting:
                text = waiting.popleft()
                self._weight -= len(text)
                writing = self._write(text)
                watchdog = loop.call_later(self._seconds, self._too_slow)
                await writing
                watchdog.cancel()
        except Exception:  # the socket is gone; its reader learns that by itself
            self._closed = True
        finally:
            if watchdog is not None:
                watchdog.cancel()
            self._waiting = None
            self._task = None
