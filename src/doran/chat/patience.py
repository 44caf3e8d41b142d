"""How long the writer bears with a database that is away, or with others who are in its way."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from typing import Final

from doran.kernel import telemetry, trouble

log = logging.getLogger(__name__)

CONFLICTS_AT_MOST: Final = 5
_SHORTEST, _LONGEST = 0.02, 1.0


@dataclass(slots=True)
class Patience:
    """`seconds` is how long changes wait for a database that is away, from when it was first missed.

    After that they are refused at once, until it answers again.
    """

    seconds: float
    _away_since: float | None = None

    def bears(self, wrong: BaseException, tries: int, *, hurry: bool = False) -> bool:
        """Wait a little, then say whether what failed `tries` times may be tried again. Who is in a `hurry` waits for no server."""
        if trouble.is_conflict(wrong):
            telemetry.commit_repeated("conflict")
            return tries < CONFLICTS_AT_MOST and _pause(tries)
        if not trouble.is_away(wrong) or self._has_lasted() >= self.seconds or hurry:
            return False
        telemetry.commit_repeated("away")
        return _pause(tries)

    def is_relieved(self) -> None:
        """The database has answered."""
        if self._away_since is not None:
            log.warning("the database is back", extra={"seconds": round(self._has_lasted(), 1)})
            self._away_since = None

    def _has_lasted(self) -> float:
        now = time.monotonic()
        if self._away_since is None:
            log.warning("the database is away; changes wait")
            self._away_since = now
        return now - self._away_since


def _pause(tries: int) -> bool:
    time.sleep(min(_LONGEST, _SHORTEST * 2.0 ** min(tries, 10)) * random.uniform(0.5, 1.0))  # noqa: S311
    return True
