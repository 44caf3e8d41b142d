"""The sockets of this process, by person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from doran.realtime.connection import Connection


class Delivery(NamedTuple):
    """One encoded frame for every screen of some people.

    `conversation_id` limits it to sockets of that conversation and to `/ws/`; None means only
    `/ws/`. `change_seq` lets a socket that is just opening drop what its history already shows
    (0: never dropped); so does `seq` for a message that may have been changed since. `but` is the
    id of the socket that caused it and has its own answer.
    """

    user_ids: tuple[str, ...]
    text: str
    conversation_id: str | None
    change_seq: int = 0
    but: int = 0
    seq: int = 0


class Hub:
    """Who is connected here. Used from the event loop only."""

    def __init__(self, *, sockets_per_person: int) -> None:
        self._people: dict[str, dict[int, Connection]] = {}
        self._sockets_per_person = sockets_per_person

    def __iter__(self) -> Iterator[Connection]:
        return iter([one for ours in self._people.values() for one in ours.values()])

    def __len__(self) -> int:
        return sum(map(len, self._people.values()))

    def join(self, connection: Connection) -> None:
        """From now on this socket hears what is for its person. The oldest of too many makes room."""
        ours = self._people.setdefault(connection.user_id, {})
        ours[connection.id] = connection
        if len(ours) > self._sockets_per_person:
            oldest = next(iter(ours.values()))
            self.leave(oldest)
            oldest.end(4409)

    def leave(self, connection: Connection) -> None:
        ours = self._people.get(connection.user_id)
        if ours is None:
            return
        ours.pop(connection.id, None)
        if not ours:
            del self._people[connection.user_id]

    def is_here(self, user_id: str) -> bool:
        return user_id in self._people

    def here(self, user_ids: Iterable[str]) -> tuple[str, ...]:
        """Those of them who are connected here."""
        return tuple(one for one in user_ids if one in self._people)

    def of(self, user_id: str) -> Iterable[Connection]:
        return tuple(self._people.get(user_id, {}).values())

    def end_session(self, user_id: str, session_id: str | None) -> None:
        """Close the sockets of one session, or of all sessions of the person."""
        for connection in self.of(user_id):
            if session_id is None or connection.session_id == session_id:
                connection.end(4401)

    def resync(self, user_id: str, conversation_id: str) -> None:
        """Let whoever may see this conversation come back and read anew."""
        for connection in self.of(user_id):
            if connection.conversation_id in (None, conversation_id):
                connection.end(1012)

    def announce(self, text: str) -> None:
        """Offer the frame to every `/ws/` socket, whoever's it is."""
        everybody = Delivery((), text, None)
        for connection in self:
            if connection.hears(everybody):
                connection.take(everybody)

    def deliver(self, delivery: Delivery) -> int:
        """Offer the frame to every socket it is for; how many took it."""
        taken = 0
        for user_id in delivery.user_ids:
            ours = self._people.get(user_id)
            if ours is None:
                continue
            for connection in tuple(ours.values()):
                if connection.id != delivery.but and connection.hears(delivery):
                    connection.take(delivery)
                    taken += 1
        return taken
