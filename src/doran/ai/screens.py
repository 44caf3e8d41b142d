"""What goes to people's open screens, by way of chat: in order, from a thread of its own, and nobody waits for it.

It is a hint and may be lost: whoever missed it reads the job, the consent or the offer by REST.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec
from django.db import connections

from doran.contracts.errors import Problem
from doran.contracts.frames import ServerFrame
from doran.kernel import siblings, telemetry

log = logging.getLogger("doran.ai.screens")
_untold = telemetry.Outage(log, "screens could not be told", "screens are told again")

PATH: Final = "/api/chat/screens/"
MOST_WAITING: Final = 1000
_IDLE_SECONDS: Final = 1.0

Look = Callable[[], ServerFrame | None]


class _News(NamedTuple):
    user_ids: tuple[str, ...] | None
    frame: ServerFrame | Look
    conversation_id: str | None


class Screens:
    """Tells what is put to it until it is stopped; what is still to be told then, is."""

    def __init__(self) -> None:
        self._news: queue.Queue[_News | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name="ai-screens", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._news.put(None)
        self._thread.join()

    def put(self, news: _News) -> None:
        try:
            self._news.put_nowait(news)
        except queue.Full:
            telemetry.screens_told("dropped")

    def _work(self) -> None:
        while True:
            try:
                news = self._news.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                connections.close_all()
                continue
            if news is None:
                break
            _tell(news)
        connections.close_all()


_open: Screens | None = None


def open_screens(new: Screens | None) -> None:
    global _open
    _open = new


def tell(user_ids: Sequence[str], frame: ServerFrame | Look, conversation_id: str | None = None) -> None:
    """Show this frame, or what `frame()` looks up, on all screens of these people. Returns at once."""
    if _open is not None and siblings.is_there("chat"):
        _open.put(_News(tuple(user_ids), frame, conversation_id))


def tell_everybody(frame: Look) -> None:
    """Show it to whoever is connected. Returns at once."""
    if _open is not None and siblings.is_there("chat"):
        _open.put(_News(None, frame, None))


def _tell(news: _News) -> None:
    try:
        frame = news.frame() if callable(news.frame) else news.frame
        if frame is not None:
            telemetry.screens_told(_told(news, frame))
    except Exception as wrong:
        telemetry.screens_told("lost")
        _untold.goes_on(wrong)
    else:
        _untold.is_over()


def _told(news: _News, frame: ServerFrame) -> str:
    body = {"user_ids": news.user_ids, "frame": frame, "conversation_id": news.conversation_id}
    try:
        status, _ = siblings.tell("chat", PATH, msgspec.json.encode(body), asker="ai")
    except Problem:
        return "lost"
    return "ok" if status == 204 else "lost"
