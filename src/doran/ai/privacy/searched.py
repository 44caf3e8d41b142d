"""Which conversations may be searched by meaning: those in which everybody allows their history."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Final

from django.db.models import Exists, OuterRef, Q

from doran.ai.models import Consent, Conversation
from doran.contracts.people import ASSISTANT_ID
from doran.kernel.doors import look

_RENEW_SECONDS: Final = 5.0


def by_both() -> Q:
    """What narrows conversations to those in which both allow `history`; the assistant allows everything."""
    return _by("participant1_id") & _by("participant2_id")


def _by(participant: str) -> Q:
    allowed = Consent.objects.filter(
        conversation_id=OuterRef("id"), user_id=OuterRef(participant), scope=Consent.Scope.HISTORY
    )
    return Q(Exists(allowed)) | Q(**{participant: ASSISTANT_ID})


class _Known:
    """The ids of all of them, as they stood some seconds ago.

    A message that is missed meanwhile is embedded with the next one, or when somebody searches.
    """

    def __init__(self) -> None:
        self._ids: frozenset[str] = frozenset()
        self._until = 0.0
        self._renewing = threading.Lock()

    def ids(self) -> frozenset[str] | None:
        """None where they would have to be read and nobody may wait: on an event loop."""
        if time.monotonic() >= self._until:
            if _is_on_a_loop():
                return None
            self._renew()
        return self._ids

    def _renew(self) -> None:
        if self._renewing.acquire(blocking=False):
            try:
                self._ids = look("ai", _read)
                self._until = time.monotonic() + _RENEW_SECONDS
            finally:
                self._renewing.release()

    def forget(self) -> None:
        self._until = 0.0


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _read() -> frozenset[str]:
    return frozenset(Conversation.objects.filter(by_both()).values_list("id", flat=True))


_known: Final = _Known()


def lately() -> frozenset[str] | None:
    """The ids of all of them; changes made in this process are in it, those of others some seconds later.

    None on an event loop that would have to wait for the database: ask again on a thread.
    """
    return _known.ids()


def forget() -> None:
    """Consent has changed in this process: ask the database with the next look."""
    _known.forget()
