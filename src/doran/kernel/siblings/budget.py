"""How often a sibling may be asked again."""

from __future__ import annotations

from typing import Final

RATIO: Final = 0.1
MOST: Final = 10.0


class RetryBudget:
    """Ten retries, and one more for every ten questions: retries must not multiply what a sick sibling has to bear."""

    def __init__(self) -> None:
        self._left = MOST

    def earn(self) -> None:
        """A question was asked for the first time."""
        self._left = min(MOST, self._left + RATIO)

    def spend(self) -> bool:
        """Whether one more retry is allowed; if so it is counted."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
