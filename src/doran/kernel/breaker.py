"""Whether somebody who failed is worth asking now: another service, a provider."""

from __future__ import annotations

import enum
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SEEN: Final = 20
FAILURES: Final = 5
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


class State(enum.Enum):
    """The numbers are what the metric shows."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Stops asking somebody who fails, and finds out with single questions when they are well again.

    It opens when at least five of the last twenty questions failed, and half of those there were.
    While open nobody asks; after a pause one question is let through. If that fails the pause doubles,
    up to 30 seconds; the jitter keeps many processes from coming back at one moment.
    For one thread. `changed` hears of each new state, but not of pauses that follow each other.
    """

    def __init__(
        self,
        changed: Callable[[State], None] = lambda state: None,
        *,
        ticks: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311
    ) -> None:
        self.state = State.CLOSED
        self._changed = changed
        self._ticks = ticks
        self._jitter = jitter
        self._seen: deque[bool] = deque(maxlen=SEEN)
        self._pauses = 0
        self._until = 0.0

    def wait(self) -> float:
        """0.0 if they may be asked now, otherwise the seconds until that is worth a try.

        Who gets 0.0 from an open breaker asks the one question, and must say how it went.
        """
        if self.state is State.CLOSED:
            return 0.0
        if self.state is State.OPEN and self._ticks() >= self._until:
            self._become(State.HALF_OPEN)
            return 0.0
        return max(0.1, self._until - self._ticks())

    def succeeded(self) -> None:
        if self.state is State.HALF_OPEN:
            self._pauses = 0
            self._seen.clear()
            self._become(State.CLOSED)
        self._seen.append(True)

    def failed(self) -> None:
        self._seen.append(False)
        failures = self._seen.count(False)
        has_enough = failures >= FAILURES and 2 * failures >= len(self._seen)
        if self.state is State.HALF_OPEN or (self.state is State.CLOSED and has_enough):
            self._open()

    def _open(self) -> None:
        self._until = self._ticks() + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._pauses, 10)) * self._jitter()
        self._pauses += 1
        self._become(State.OPEN)

    def _become(self, state: State) -> None:
        if state is not self.state:
            self.state = state
            self._changed(state)
