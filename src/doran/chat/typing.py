"""Typing: it passes and is forgotten. Lives on the event loop, in memory."""

from __future__ import annotations

import asyncio

from doran.contracts import frames
from doran.realtime.fanout.memory import MemoryFanout
from doran.realtime.hub import Delivery


class TypingSigns:
    """Who is writing where. A sign that is not repeated expires by itself after `seconds`."""

    def __init__(self, fanout: MemoryFanout, *, seconds: float) -> None:
        self._fanout = fanout
        self._seconds = seconds
        self._signs: dict[tuple[str, str], tuple[asyncio.TimerHandle, str]] = {}

    def show(self, *, conversation_id: str, user_id: str, to: str, is_typing: bool) -> None:
        """Tell the other person, who alone is told."""
        if is_typing:
            self._begin(conversation_id, user_id, to)
        else:
            self.end(conversation_id, user_id)

    def end(self, conversation_id: str, user_id: str) -> None:
        """The sign is over: the person stopped, sent the message, or time passed."""
        sign = self._signs.pop((conversation_id, user_id), None)
        if sign is not None:
            sign[0].cancel()
            self._tell(conversation_id, user_id, sign[1], is_typing=False)

    def _begin(self, conversation_id: str, user_id: str, to: str) -> None:
        before = self._signs.pop((conversation_id, user_id), None)
        if before is not None:
            before[0].cancel()
        timer = asyncio.get_running_loop().call_later(self._seconds, self.end, conversation_id, user_id)
        self._signs[conversation_id, user_id] = (timer, to)
        self._tell(conversation_id, user_id, to, is_typing=True)

    def _tell(self, conversation_id: str, user_id: str, to: str, *, is_typing: bool) -> None:
        frame = frames.TypingShown(conversation_id, user_id, is_typing)
        self._fanout.publish([Delivery((to,), frames.encode(frame).decode(), conversation_id)])
