"""An event loop in a thread of its own, for code that has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar
from weakref import WeakSet

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """Remembers its connections, so that those which nobody could close in time do not stay open."""

    def __init__(self) -> None:
        super().__init__()
        self._connections: WeakSet[asyncio.BaseTransport] = WeakSet()

    async def create_connection(self, *words: Any, **more: Any) -> Any:
        made = await super().create_connection(*words, **more)
        self._connections.add(made[0])
        return made

    def abort_connections(self) -> None:
        for transport in list(self._connections):
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()


class LoopThread:
    """Runs from its making until `close`."""

    def __init__(self, name: str) -> None:
        self._loop = _Loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], *, seconds: float) -> T:
        """Its result. Raises what it raises, and TimeoutError when it takes longer or the loop is closed."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise TimeoutError("the loop is closed") from None
        try:
            return future.result(seconds)
        except CancelledError:
            raise TimeoutError("the loop was closed") from None
        finally:
            future.cancel()

    def close(self) -> None:
        """Give up whatever still runs, and end."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        while tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.abort_connections()
        self._loop.run_until_complete(asyncio.sleep(0.01))  # what was closed just now is let go in the next rounds
        self._loop.close()
