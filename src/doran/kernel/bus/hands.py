"""Threads in which handlers run: hired when there is something to do, and they leave nothing open."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from django.db import connections

T = TypeVar("T")


class Hands:
    """At most `most` threads. Each keeps its database connections while it is employed."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def do(self, work: Callable[[], T]) -> Future[T]:
        """The outcome, when a hand has come to it. `work` must not raise."""
        done: Future[T] = Future()
        if not self._free.acquire(blocking=False) and len(self._threads) < self._most:
            self._hire()
        self._jobs.put(lambda: done.set_result(work()))
        return done

    def rest(self, *, seconds: float) -> None:
        """Let everybody go; wait that long for those who are still busy."""
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._threads = []

    def _hire(self) -> None:
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            self._free.release()
        connections.close_all()
