"""A stretch of work that can be called off: what is under way is finished, nothing new is begun."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class Shift:
    """Lasts until `end`, or until the shift around it ends."""

    def __init__(self, within: Shift | None = None) -> None:
        self._over = asyncio.Event()
        self._inner: WeakSet[Shift] = WeakSet()
        if within is not None:
            within._inner.add(self)
            if within.is_over:
                self.end()

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    def end(self) -> None:
        self._over.set()
        for inner in list(self._inner):
            inner.end()

    async def over(self) -> None:
        """Wait for the end."""
        await self._over.wait()

    async def rest(self, seconds: float) -> None:
        """Wait that long, or for the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    async def until_over(self, coming: Coroutine[Any, Any, T]) -> T | None:
        """What comes, or None when the shift ends first; then it is not waited for any more."""
        waiting, ending = asyncio.ensure_future(coming), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait({waiting})
        return None if waiting.cancelled() else waiting.result()

    def begin(self, part: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let this go on beside the rest. If it fails, the shift ends."""
        task = asyncio.ensure_future(part)
        task.add_done_callback(self._look_at)
        return task

    async def work(self, parts: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Let all these go on until the shift ends, and finish. Raises why one of them failed."""
        tasks = [self.begin(part) for part in parts]
        await asyncio.wait(tasks)
        for task in tasks:
            task.result()

    def _look_at(self, ended: asyncio.Task[None]) -> None:
        if ended.cancelled() or ended.exception():
            self.end()
