"""What the workers of services have in common: a thread with an event loop, and one that speaks to the database.

A worker looks for what is due when it is woken and every second besides, because other copies do not wake it. What it
holds, it holds by leases; so whatever goes wrong here, somebody does the work.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

from django.db import DatabaseError, connections

from doran.kernel import telemetry
from doran.kernel.doors import reopen_if_broken

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 1.0
_LINGER: Final = 0.01  # what falls due at the same moment is looked for once
_AGAIN: Final = 0.5


class NotWorking(Exception):
    """The worker's thread is gone."""


class Every:
    """Whether it is time again: at once, and then whenever so many seconds have gone by."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._last = seconds, float("-inf")

    def is_due(self) -> bool:
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


class Worker(ABC):
    """Works from `start` to `stop`, in any number of copies.

    `name` is that of its threads and log lines. `is_alone` says that no other copy can be at work on this database,
    so that leases found at the start are of the dead; by default, whether it is SQLite. A stop gives what is under
    way `drain_seconds`, then cancels it.
    """

    def __init__(self, name: str, database: str, *, drain_seconds: float, is_alone: bool | None = None) -> None:
        self._name, self._home, self._drain_seconds = name, database, drain_seconds
        self._follows_the_dead = connections[database].vendor == "sqlite" if is_alone is None else is_alone
        self._blind = telemetry.Outage(log, "what is due cannot be looked for", "what is due is found again")
        self._untold = telemetry.Outage(log, "the outcome of work waits")
        self._is_stopping = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # -- outside ---------------------------------------------------------------------------------

    def start(self) -> None:
        self._is_stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something may have become due. Cheap, from any thread."""
        self.call_soon(lambda: self._news.set())

    def stop(self) -> None:
        """Let what is under way end, and let go of everything that is held."""
        self._is_stopping = True
        self.wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def call_soon(self, told: Callable[..., object], *words: Any) -> None:
        """Tell the worker on its own loop; nothing where it does not work."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it has just ended
                self._loop.call_soon_threadsafe(told, *words)

    def check(self) -> None:
        """Raises `NotWorking`."""
        if self._thread is None or not self._thread.is_alive():
            raise NotWorking

    # -- what a worker is ------------------------------------------------------------------------

    @abstractmethod
    def _listen(self) -> Callable[[], None]:
        """Have `wake` called on news; what ends that."""

    @abstractmethod
    def _lease(self) -> timedelta:
        """How long something is held without a word."""

    @abstractmethod
    def _free_all(self) -> None:
        """Take every lease away. Called on the database's thread."""

    @abstractmethod
    async def _look(self) -> None:
        """Begin what is due and for which there is room. May raise: it is looked for again."""

    @abstractmethod
    def _under_way(self) -> Collection[asyncio.Task[None]]: ...

    @abstractmethod
    async def _close(self) -> None:
        """Nothing is under way any more: let go of what the work needed."""

    # -- the loop --------------------------------------------------------------------------------

    async def _work(self) -> None:
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._database = ThreadPoolExecutor(1, thread_name_prefix=f"{self._name}-database")
        forget_me = self._listen()
        try:
            while not self._is_stopping:
                await self._pass()
                await self._rest()
            await self._finish()
        finally:
            forget_me()
            await self._close()
            await self._ask(connections.close_all)
            self._database.shutdown()

    async def _pass(self) -> None:
        """Whatever is wrong with the database now may be well the next time."""
        try:
            await self._succeed_the_dead()
            await self._look()
        except Exception as wrong:
            self._blind.goes_on(wrong, worker=self._name)
        else:
            self._blind.is_over()

    async def _succeed_the_dead(self) -> None:
        """Once, before anything is held here; a database that is away then is waited for."""
        if self._follows_the_dead:
            await self._ask(self._free_all)
            self._follows_the_dead = False

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), POLL_SECONDS)
        await asyncio.sleep(_LINGER)
        self._news.clear()

    async def _finish(self) -> None:
        if tasks := list(self._under_way()):
            await asyncio.wait(tasks, timeout=self._drain_seconds)
        for task in (left := list(self._under_way())):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # -- the database ----------------------------------------------------------------------------

    async def _patiently(self, change: Callable[[], T]) -> T:
        """What was done in the world is done: try as long as a lease lasts to write it down."""
        until = time.monotonic() + self._lease().total_seconds()
        while True:
            try:
                return await self._ask(change)
            except DatabaseError as wrong:
                if time.monotonic() > until or self._is_stopping:
                    raise
                self._untold.goes_on(wrong, worker=self._name)
                await asyncio.sleep(_AGAIN)

    async def _ask(self, question: Callable[[], T]) -> T:
        """The answer of the one thread that speaks to the database for the worker itself."""
        return await asyncio.get_running_loop().run_in_executor(self._database, self._answered, question)

    def _answered(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except DatabaseError:
            reopen_if_broken(self._home)
            raise
