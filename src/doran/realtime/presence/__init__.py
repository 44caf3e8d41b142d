"""Who is here, told to those who asked and may know. Used from the event loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from doran.contracts.frames import PresenceShown

if TYPE_CHECKING:
    from doran.realtime.connection import Connection


class Presence(Protocol):
    """Somebody is online while a socket of theirs is open, and for a moment of grace after the last."""

    @property
    def remembered(self) -> int:
        """How many people it is known of when they were last here."""
        ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...

    def arrive(self, user_id: str) -> None:
        """A socket of this person has opened here."""
        ...

    def leave(self, connection: Connection) -> None:
        """This socket has closed; it watches nobody any more."""
        ...

    def watch(self, connection: Connection, user_ids: list[str]) -> None:
        """Tell this socket about these people now and whenever it changes."""
        ...

    def of(self, user_id: str) -> PresenceShown:
        """How this person is, as far as is known here."""
        ...

    def hide(self, user_id: str, *, from_user_id: str) -> None:
        """They may not know of each other any more; whoever watched sees them leave."""
        ...
