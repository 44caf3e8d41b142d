"""Connections to a server may die while they lie still; whoever takes one up again tries it first."""

from __future__ import annotations

import time
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

STILL_SECONDS: Final = 1.0


class Waking(BaseDatabaseWrapper):
    """A connection that was not used for a second, or met an error, is opened anew if it does not answer.

    Under load nothing is asked. Inside a transaction nothing is ever replaced.
    """

    _used_at = float("-inf")

    def connect(self) -> None:
        """A connection that took long to open is not tried before it is all set: that would begin a transaction."""
        self.autocommit = False
        super().connect()

    def close_if_health_check_failed(self) -> None:
        now = time.monotonic()
        if self._is_free() and (now - self._used_at > STILL_SECONDS or self.errors_occurred):
            self._try_it()
        self._used_at = now

    def _is_free(self) -> bool:
        return self.connection is not None and self.autocommit and not self.in_atomic_block

    def _try_it(self) -> None:
        if self.is_usable():
            self.errors_occurred = False
        else:
            self.close()
