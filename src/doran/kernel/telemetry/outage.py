"""Outages in the log: a line when something goes away, one a minute while it stays away, one when it is back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from doran.kernel.telemetry.logs import places

REMIND_SECONDS: Final = 60.0


class Outage:
    """Something that fails again and again, with the sentences that say so. Cheap, from any thread.

    Also what comes and goes all the time is logged no more than once a minute; `count` says how often it failed.
    """

    def __init__(
        self,
        log: logging.Logger,
        sentence: str,
        back: str = "",
        *,
        level: int = logging.WARNING,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log, self._sentence, self._back, self._level, self._ticks = log, sentence, back, level, ticks
        self._lock = threading.Lock()
        self._since: float | None = None
        self._logged_at = float("-inf")
        self._is_told = False
        self._count = 0

    def goes_on(self, error: BaseException | None = None, **facts: Any) -> None:
        """It failed, for the first time or again."""
        with self._lock:
            now = self._ticks()
            self._since = now if self._since is None else self._since
            self._count += 1
            if now - self._logged_at < REMIND_SECONDS:
                return
            self._logged_at, self._is_told = now, True
            if self._count > 1:
                facts = {**facts, "count": self._count, "seconds": round(now - self._since, 1)}
            self._count = 0
        if error is not None:
            facts = {"error_class": type(error).__name__, **facts}
        if error is not None and self._level >= logging.ERROR:
            facts["places"] = places(error.__traceback__)
        self._log.log(self._level, self._sentence, extra=facts)

    def is_over(self) -> None:
        """It works."""
        if self._since is None:
            return
        with self._lock:
            since, self._since = self._since, None
            is_told, self._is_told = self._is_told, False
        if is_told and self._back and since is not None:
            self._log.log(self._level, self._back, extra={"seconds": round(self._ticks() - since, 1)})
