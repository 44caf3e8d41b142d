"""Who sits at a socket: where to connect, how to prove who it is, and what a message of theirs looks like."""

from collections.abc import Callable
from dataclasses import dataclass

STAMP = b"%STAMP%"
PADDING = "The quick brown fox jumps over the lazy dog; ok, see you at 7 then!!".ljust(76)
BODY = f"@@{STAMP.decode()}@@{PADDING}"
"""100 bytes once the stamp (20 digits) is in place."""


@dataclass(frozen=True)
class Seat:
    """One authenticated connection: its address and its headers."""

    url: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Pair:
    """Two people in one conversation: A sends, B receives."""

    a: Seat
    b: Seat
    frame: bytes
    """What A sends, with STAMP wherever the 20 digits of the moment belong."""


@dataclass(frozen=True)
class Dialect:
    """How the frames of one server are told apart without parsing them."""

    history: bytes
    """Starts the frame with the messages so far."""
    answer: bytes
    """Starts what A hears once its message is stored."""
    message: bytes
    """Starts what B hears."""
    refusal: bytes
    answers: bool = True
    """Whether A hears anything at all; if not, a message is answered when B has it."""
    mark: Callable[[bytes], bytes] | None = None
    """What B says after a message, made from the frame it received; None when B says nothing."""
