"""What ai does when it hears of something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from doran.ai import assistant, concern, offering, screens
from doran.ai.privacy import forgetting
from doran.ai.retrieval import keeping_up
from doran.contracts import events, frames


def on_message_created(event: events.MessageCreated) -> None:
    assistant.hear(event)
    keeping_up.soon(event.conversation_id)


def on_message_updated(event: events.MessageUpdated) -> None:
    forgetting.on_message_updated(event)
    keeping_up.soon(event.conversation_id)


def on_ai_switched(event: events.AiSwitched) -> None:
    """Open pages show and hide at once what can be asked now."""
    screens.tell_everybody(lambda: frames.AiOffer(offering.window()))


concerns: Final = concern.concerns
"""Asked before anything else, so that plain messages cost nothing here."""

SUBSCRIPTIONS: Final[Mapping[str, Callable[[Any], None]]] = {
    events.MessageCreated.NAME: on_message_created,
    events.MessageUpdated.NAME: on_message_updated,
    events.MessageDeleted.NAME: forgetting.on_message_deleted,
    events.UserDeactivated.NAME: forgetting.on_user_deactivated,
    events.UserErased.NAME: forgetting.on_user_erased,
    events.AiSwitched.NAME: on_ai_switched,
}
