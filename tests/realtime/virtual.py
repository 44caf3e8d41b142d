"""An event loop whose time passes when nothing else is to do: hours in milliseconds, and the same every time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Nothing arrives from outside, so waiting is only a jump of the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("everybody waits for somebody else")
        self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(story: Coroutine[Any, Any, T]) -> T:
    """The story from its beginning to its end, in its own time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(story)
