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
from doran.kernel import trouble

T = TypeVar("T")


class Readers:
    """`await readers(fn)` runs `fn` in a thread whose connection stays open."""

    def __init__(self, threads: int) -> None:
        self._opened: list[BaseDatabaseWrapper] = []
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="reader", initializer=self._begin)

    async def __call__(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, _mended, read)

    def close(self) -> None:
        self.pool.shutdown(wait=True)
        for connection in self._opened:
            connection.inc_thread_sharing()  # its own thread is gone
            connection.close()

    def _begin(self) -> None:
        self._opened.append(connections[DATABASE])


def _mended(read: Callable[[], T]) -> T:
    """A read is repeated once, for its connection may have died unseen; if in vain, it is refused as `unavailable`."""
    for is_last in (False, True):
        try:
            return read()
        except Exception as wrong:
            if not trouble.is_passing(wrong):
                raise
            if is_last:
                raise Problem("unavailable", retry_after=1) from wrong
        finally:
            connections[DATABASE].close_if_unusable_or_obsolete()
    raise AssertionError("the last try ends in an answer or a refusal")
