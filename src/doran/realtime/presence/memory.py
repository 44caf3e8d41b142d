"""Presence of the people connected to this process. Never stored; it may be lost."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from doran.contracts import frames
from doran.kernel import clock
from doran.realtime.hub import Hub

if TYPE_CHECKING:
    from doran.realtime.connection import Connection

REMEMBERED = 100_000
WATCHED_AT_MOST = 500


class MemoryPresence:
    """Somebody is online while a socket of theirs is open, and for `grace` seconds after the last.

    The grace keeps a reconnecting phone from flickering. Only those who `watch` are told.
    """

    def __init__(self, hub: Hub, *, grace: float = 3.0) -> None:
        self._hub = hub
        self._grace = grace
        self._here: set[str] = set()
        self._last_seen: OrderedDict[str, str] = OrderedDict()
        self._watchers: dict[str, dict[int, Connection]] = {}

    @property
    def remembered(self) -> int:
        """How many people it is known of when they were last here."""
        return len(self._last_seen)

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def arrive(self, user_id: str) -> None:
        if user_id not in self._here:
            self._came(user_id)

    def leave(self, connection: Connection) -> None:
        self._forget_watching(connection)
        if not self._hub.is_here(connection.user_id):
            asyncio.get_running_loop().call_later(self._grace, self._look_after, connection.user_id)

    def watch(self, connection: Connection, user_ids: list[str]) -> None:
        """Tell this socket about these people now and whenever it changes."""
        for user_id in user_ids:
            self._watch(connection, user_id)
            connection.offer(self.of(user_id))

    def hide(self, user_id: str, *, from_user_id: str) -> None:
        """They may not know of each other any more; whoever watched sees them leave."""
        for connection in list(self._watchers.get(user_id, {}).values()):
            if connection.user_id == from_user_id:
                self._unwatch(connection, user_id)
                connection.offer(frames.PresenceShown(user_id=user_id, online=False, last_seen_at=None))

    def is_online(self, user_id: str) -> bool:
        return user_id in self._here

    def of(self, user_id: str) -> frames.PresenceShown:
        online = self.is_online(user_id)
        last_seen_at = None if online else self._last_seen.get(user_id)
        return frames.PresenceShown(user_id=user_id, online=online, last_seen_at=last_seen_at)

    # -- what changes ------------------------------------------------------------------------------

    def _came(self, user_id: str) -> None:
        self._change(user_id, lambda: self._here.add(user_id))

    def _went(self, user_id: str) -> None:
        self._remember(user_id)
        self._change(user_id, lambda: self._here.discard(user_id))

    def _look_after(self, user_id: str) -> None:
        if user_id in self._here and not self._hub.is_here(user_id):
            self._went(user_id)

    def _change(self, user_id: str, change: Callable[[], object]) -> None:
        """Make it, and tell who watches if it makes a difference."""
        before = self.is_online(user_id)
        change()
        if self.is_online(user_id) != before:
            self._tell(user_id)

    def _remember(self, user_id: str) -> None:
        """They were seen until now."""
        self._last_seen[user_id] = clock.rfc3339(clock.now())
        self._last_seen.move_to_end(user_id)
        if len(self._last_seen) > REMEMBERED:
            self._last_seen.popitem(last=False)

    def _tell(self, user_id: str) -> None:
        shown = self.of(user_id)
        for connection in list(self._watchers.get(user_id, {}).values()):
            connection.offer(shown)

    # -- who watches -------------------------------------------------------------------------------

    def _watch(self, connection: Connection, user_id: str) -> None:
        watching = connection.watching = connection.watching or set()
        if len(watching) < WATCHED_AT_MOST or user_id in watching:
            watching.add(user_id)
            self._watchers.setdefault(user_id, {})[connection.id] = connection

    def _forget_watching(self, connection: Connection) -> None:
        for user_id in list(connection.watching or ()):
            self._unwatch(connection, user_id)

    def _unwatch(self, connection: Connection, user_id: str) -> None:
        if connection.watching:
            connection.watching.discard(user_id)
        watchers = self._watchers.get(user_id, {})
        watchers.pop(connection.id, None)
        if not watchers:
            self._watchers.pop(user_id, None)
