"""Reads for sockets, off the event loop: a few threads with their own database connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from doran.chat.writer import DATABASE
from doran.contracts.errors import Problem
from doran.kernel import deadline, trouble

T = TypeVar("T")


class Readers:
    """`await readers(fn)` runs `fn` in a thread whose connection stays open.

    It is refused as `unavailable` when the database gives no answer within `seconds`, waiting for a thread included.
    """

    def __init__(self, threads: int, *, seconds: float) -> None:
        self._line = deadline.Queue(seconds)
        self._opened: list[BaseDatabaseWrapper] = []
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="reader", initializer=self._begin)

    async def __call__(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._mended, read, self._line.ends_at())

    @property
    def waiting(self) -> int:
        """Reads that no thread has time for yet."""
        return self.pool._work_queue.qsize()

    def close(self) -> None:
        self.pool.shutdown(wait=True)
        for connection in self._opened:
            connection.inc_thread_sharing()  # its own thread is gone
            connection.close()

    def _begin(self) -> None:
        self._opened.append(connections[DATABASE])

    def _mended(self, read: Callable[[], T], ends_at: float) -> T:
        """A read is repeated once, for its connection may have died unseen; if in vain, it is refused."""
        with deadline.until(self._line.prolonged(ends_at)):
            for is_last in (False, True):
                if deadline.is_over():
                    break
                try:
                    found = read()
                except Exception as wrong:
                    if not trouble.is_passing(wrong):
                        raise
                    if is_last:
                        raise Problem("unavailable", retry_after=1) from wrong
                else:
                    self._line.served()
                    return found
                finally:
                    connections[DATABASE].close_if_unusable_or_obsolete()
        raise Problem("unavailable", retry_after=1)
