"""Reads for sockets, off the event loop: a few threads with their own database connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

from doran.chat.writer import DATABASE

T = TypeVar("T")


class Readers:
    """`await readers(fn)` runs `fn` in a thread whose connection stays open."""

    def __init__(self, threads: int) -> None:
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")

    async def __call__(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, _mended, read)

    def close(self) -> None:
        self.pool.shutdown(wait=True)


def _mended(read: Callable[[], T]) -> T:
    """A broken connection fails one read, not all that follow."""
    try:
        return read()
    finally:
        connections[DATABASE].close_if_unusable_or_obsolete()
