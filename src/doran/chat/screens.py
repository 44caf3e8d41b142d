"""What another service shows on people's open screens: passed on at once, here and by hints to other processes, not kept."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from doran.contracts import frames
from doran.realtime.hints import Hints
from doran.realtime.hub import Delivery, Hub

KIND: Final = "screens"
EVERYBODY: Final = "everybody"

Shown = frames.AiDelta | frames.AiJob | frames.AiConsent | frames.AiOffer
"""All that a service may show."""

_hints = msgspec.msgpack.Decoder(tuple[tuple[str, ...], str, str | None])


class Screens:
    """The screens of all processes. Made on the event loop; `show` may be called from any thread."""

    def __init__(self, hub: Hub, hints: Hints) -> None:
        self._hub = hub
        self._hints = hints
        self._loop = asyncio.get_running_loop()
        hints.listen(KIND, self._hear)
        hints.listen(EVERYBODY, lambda body: hub.announce(body.decode()))

    def show(self, user_ids: tuple[str, ...], frame: Shown, conversation_id: str | None) -> None:
        """One frame for these people: on the sockets of this conversation, and where everything of theirs is shown."""
        text = frames.encode(frame).decode()
        self._loop.call_soon_threadsafe(self._show, user_ids, text, conversation_id)

    def show_everybody(self, frame: Shown) -> None:
        """One frame for whoever is connected, where everything of theirs is shown."""
        self._loop.call_soon_threadsafe(self._announce, frames.encode(frame).decode())

    def _announce(self, text: str) -> None:
        self._hub.announce(text)
        self._hints.say(EVERYBODY, text.encode())

    def _show(self, user_ids: tuple[str, ...], text: str, conversation_id: str | None) -> None:
        self._hub.deliver(Delivery(user_ids, text, conversation_id))
        self._hints.say(KIND, msgspec.msgpack.encode((user_ids, text, conversation_id)))

    def _hear(self, body: bytes) -> None:
        self._hub.deliver(Delivery(*_hints.decode(body)))
