"""What the runner asks of either side."""

from collections.abc import Sequence
from typing import Protocol

from bench.seats import Dialect, Pair


class Side(Protocol):
    name: str
    dialect: Dialect

    def check(self) -> None:
        """Raise `StartError` for what this machine lacks; starts nothing."""

    def start(self) -> None: ...

    def populate(self, people: int, *, history: int) -> None:
        """People in pairs, each pair with one conversation that holds `history` messages."""

    def restart(self) -> None:
        """End the server and start it again on the same data, so that its memory is fresh."""

    def pairs(self, count: int) -> Sequence[Pair]:
        """The first pairs, with proofs of identity that are good for some minutes from now."""

    def pids(self) -> list[int]:
        """Every process that belongs to this side: server, database, cache."""

    def stored(self) -> int:
        """How many messages are in the store now, by its own account."""

    def stop(self) -> None: ...
