"""What another service shows on people's open screens: passed on at once, here and by hints to other processes."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from doran.contracts import frames
from doran.contracts.errors import Problem
from doran.realtime.hints import Hints
from doran.realtime.hub import Delivery, Hub

KIND: Final = "screens"
EVERYBODY: Final = "everybody"

Shown = frames.AiDelta | frames.AiJob | frames.AiConsent | frames.AiOffer
"""All that a service may show."""

_hints = msgspec.msgpack.Decoder(tuple[tuple[str, ...], str, str | None])
_announcements = msgspec.msgpack.Decoder(tuple[int, str])


class Screens:
    """The screens of all processes. Made on the event loop; `show` may be called from any thread."""

    def __init__(self, hub: Hub, hints: Hints) -> None:
        self._hub = hub
        self._hints = hints
        self._loop = asyncio.get_running_loop()
        self._announced = 0
        hints.listen(KIND, self._hear)
        hints.listen(EVERYBODY, lambda body: self.announce(*_announcements.decode(body)))

    def show(
        self, user_ids: tuple[str, ...], frame: Shown | frames.UserUpdated, conversation_id: str | None = None
    ) -> None:
        """Show a frame to these people: on the sockets of this conversation, and where everything of theirs is shown.

        Raises `Problem("payload_too_large")`: a frame is never cut, and clients read by REST what did not reach them.
        """
        encoded = frames.encode(frame)
        if len(encoded) > frames.FRAME_BYTES:
            raise Problem("payload_too_large")
        self._loop.call_soon_threadsafe(self._show, user_ids, encoded.decode(), conversation_id)

    def show_everybody(self, number: int, text: str) -> None:
        """A stored announcement, for whoever is connected, where everything of theirs is shown."""
        self._loop.call_soon_threadsafe(self._show_everybody, number, text)

    def begin(self, announced: int) -> None:
        """Whoever connects from here on knows what was announced up to now."""
        self._announced = announced

    def announce(self, number: int, text: str) -> None:
        """Show it here, unless it was already, or something newer."""
        if number > self._announced:
            self._announced = number
            self._hub.announce(text)

    def _show_everybody(self, number: int, text: str) -> None:
        self.announce(number, text)
        self._hints.say(EVERYBODY, msgspec.msgpack.encode((number, text)))

    def _show(self, user_ids: tuple[str, ...], text: str, conversation_id: str | None) -> None:
        self._hub.deliver(Delivery(user_ids, text, conversation_id))
        self._hints.say(KIND, msgspec.msgpack.encode((user_ids, text, conversation_id)))

    def _hear(self, body: bytes) -> None:
        self._hub.deliver(Delivery(*_hints.decode(body)))
