"""How long the writer bears with a database that is away, or with others who are in its way."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from doran.kernel import deadline, telemetry, trouble
from doran.kernel.backoff import backoff

log = logging.getLogger(__name__)

CONFLICTS_AT_MOST: Final = 5
LOOK_AGAIN_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 0.5
_LONGEST_PAUSE: Final = 1.0


@dataclass(slots=True)
class Patience:
    """`seconds` is how long changes wait for a database that is away or silent, from when it was first asked in vain.

    After that they are refused at once until it answers again. Whether it does is tried with each batch; where it was
    silent, once a second, for each such try takes its time.
    """

    seconds: float
    _began: float = 0.0
    _failed_at: float = 0.0
    _was_silent: bool = False
    _away_since: float | None = None

    @property
    def is_away(self) -> bool:
        """Whether the last try was in vain."""
        return self._away_since is not None

    def is_used_up(self) -> bool:
        """Whether trying is pointless: the database has been away for too long, and was silent until a moment ago."""
        return (
            self._was_silent
            and self._has_lasted() >= self.seconds
            and time.monotonic() - self._failed_at < LOOK_AGAIN_SECONDS
        )

    @contextmanager
    def tries(self, seconds: float) -> Iterator[None]:
        """A try: the database may take so long, and a little more where it answers but is slow."""
        self._began = time.monotonic()
        with deadline.until(deadline.within(seconds)):
            yield

    def bears(self, wrong: BaseException, tries: int, *, hurry: bool = False) -> bool:
        """Sleep with back-off and return True if what failed `tries` times may be tried again.

        Who is in a `hurry` waits for no server.
        """
        if trouble.is_conflict(wrong):
            telemetry.commit_repeated("conflict")
            return tries < CONFLICTS_AT_MOST and _pause(tries)
        if not trouble.is_away(wrong):
            return False
        self._miss()
        if hurry or self._has_lasted() >= self.seconds:
            return False
        telemetry.commit_repeated("away")
        return _pause(tries)

    def is_relieved(self) -> None:
        """The database has answered."""
        if self._away_since is not None:
            log.warning("the database is back", extra={"seconds": round(self._has_lasted(), 1)})
            self._away_since = None

    def _miss(self) -> None:
        """A server that is silent has been away since it was asked, not since it was given up."""
        self._failed_at = time.monotonic()
        self._was_silent = self._failed_at - self._began >= SILENT_SECONDS
        if self._away_since is None:
            log.warning("the database is away; changes wait")
            self._away_since = self._began

    def _has_lasted(self) -> float:
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since


def _pause(tries: int) -> bool:
    time.sleep(backoff(tries - 1, _LONGEST_PAUSE))
    return True
