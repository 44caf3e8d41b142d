"""What one process says to all others of its kind, at once and without waiting.

Hints may be lost, late or repeated: whoever listens must be right without them, only later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Listener = Callable[[bytes], None]


class Hints(Protocol):
    """Used from the event loop only."""

    @property
    def are_heard(self) -> bool:
        """Whether what others say most likely arrives here just now."""
        ...

    def say(self, kind: str, body: bytes) -> None:
        """Say this to all others. Returns at once, whatever becomes of it."""
        ...

    def listen(self, kind: str, listener: Listener) -> None:
        """From now on hand everything of this kind that others say to `listener`."""
        ...

    def start(self, channel: str) -> None:
        """Begin to speak and listen to those who use the same channel."""
        ...

    async def stop(self) -> None: ...


class Silence:
    """Nobody else is there, or nobody can be told: one process, or several that share only a database."""

    are_heard = False

    def say(self, kind: str, body: bytes) -> None:
        pass

    def listen(self, kind: str, listener: Listener) -> None:
        pass

    def start(self, channel: str) -> None:
        pass

    async def stop(self) -> None:
        pass
