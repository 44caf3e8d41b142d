"""The replayer: what an operator wants tried again is tried by the service that runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from django.db import connections

from doran.kernel import telemetry
from doran.kernel.doors import home, reopen_if_broken
from doran.kernel.inbox.consumer import Consumer

log = logging.getLogger(__name__)


class Replayer:
    """A thread that looks every `poll` seconds for dead letters of this consumer that are to be tried again.

    It also tries those that waited behind a letter which was given up. Several copies may look at once.
    """

    def __init__(self, consumer: Consumer, *, poll: float = 1.0) -> None:
        self._consumer, self._poll = consumer, poll
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._stuck = telemetry.Outage(log, "dead letters could not be replayed now", "dead letters can be replayed")
        self._unwatch: Callable[[], None] = lambda: None

    def start(self) -> None:
        self._stopping.clear()
        letters, source = self._consumer.letters, f"{home(self._consumer.dead_letters)} database"
        self._unwatch = telemetry.watch_dead_letters(self._consumer.subscription, letters.count, source=source)
        name = f"replayer-{self._consumer.subscription}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the letter under way. Safe to call twice."""
        self._unwatch()
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.wait(self._poll):
            try:
                self._consumer.replay_asked(until=self._stopping.is_set)
            except Exception as wrong:
                reopen_if_broken(home(self._consumer.dead_letters))
                self._stuck.goes_on(wrong, subscription=self._consumer.subscription)
            else:
                self._stuck.is_over()
        connections.close_all()
