"""Fan-out inside one process: straight to the hub."""

from __future__ import annotations

from collections.abc import Sequence

from doran.realtime.hub import Delivery, Hub


class MemoryFanout:
    """Live frames are hints: what is missed is found by asking `changes`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def publish(self, deliveries: Sequence[Delivery]) -> None:
        """Offer a commit's frames, in order, to every screen they are for."""
        for delivery in deliveries:
            self._hub.deliver(delivery)

    def end_session(self, user_id: str, session_id: str | None) -> None:
        """Close the sockets of one session, or of all sessions of the person."""
        for connection in self._hub.of(user_id):
            if session_id is None or connection.session_id == session_id:
                connection.end(4401)
