"""Typing: it passes and is forgotten. Lives on the event loop, in memory; other processes are hinted at it."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec

from doran.contracts import frames
from doran.realtime.hints import Hints
from doran.realtime.hub import Delivery, Hub

KIND: Final = "typing"
LATER_SECONDS: Final = 1.0
"""A sign seen by another process expires there by itself, should its end not be heard."""

_hints = msgspec.msgpack.Decoder(tuple[str, str, str, bool])


class _Sign(NamedTuple):
    timer: asyncio.TimerHandle
    to: str
    is_ours: bool


class TypingSigns:
    """Who is writing where. A sign that is not repeated expires by itself after `seconds`."""

    def __init__(self, hub: Hub, hints: Hints, *, seconds: float) -> None:
        self._hub = hub
        self._hints = hints
        self._seconds = seconds
        self._signs: dict[tuple[str, str], _Sign] = {}
        hints.listen(KIND, self._hear)

    def __len__(self) -> int:
        return len(self._signs)

    def show(self, *, conversation_id: str, user_id: str, to: str, is_typing: bool) -> None:
        """Tell the other person, who alone is told."""
        if is_typing:
            self._begin(conversation_id, user_id, to, is_ours=True)
        else:
            self.end(conversation_id, user_id)

    def end(self, conversation_id: str, user_id: str) -> None:
        """The sign is over: the person stopped, sent the message, or time passed."""
        sign = self._signs.pop((conversation_id, user_id), None)
        if sign is not None:
            sign.timer.cancel()
            self._tell(conversation_id, user_id, sign, is_typing=False)

    def _hear(self, body: bytes) -> None:
        """A sign of another process, for somebody who may be here."""
        conversation_id, user_id, to, is_typing = _hints.decode(body)
        if not is_typing:
            self.end(conversation_id, user_id)
        elif self._hub.is_here(to):
            self._begin(conversation_id, user_id, to, is_ours=False)

    def _begin(self, conversation_id: str, user_id: str, to: str, *, is_ours: bool) -> None:
        before = self._signs.pop((conversation_id, user_id), None)
        if before is not None:
            before.timer.cancel()
        seconds = self._seconds if is_ours else self._seconds + LATER_SECONDS
        timer = asyncio.get_running_loop().call_later(seconds, self.end, conversation_id, user_id)
        sign = self._signs[conversation_id, user_id] = _Sign(timer, to, is_ours)
        self._tell(conversation_id, user_id, sign, is_typing=True)

    def _tell(self, conversation_id: str, user_id: str, sign: _Sign, *, is_typing: bool) -> None:
        frame = frames.TypingShown(conversation_id, user_id, is_typing)
        self._hub.deliver(Delivery((sign.to,), frames.encode(frame).decode(), conversation_id))
        if sign.is_ours:
            self._hints.say(KIND, msgspec.msgpack.encode((conversation_id, user_id, sign.to, is_typing)))
