"""What a deletion takes back from events that still wait: the words of a message, the name of a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doran.contracts import events
from doran.contracts.events import Event

_EMPTY: Final[Mapping[str, Mapping[str, Any]]] = {
    events.MessageCreated.NAME: {"content": None},
    events.MessageUpdated.NAME: {"content": None},
    events.AiMessageGenerated.NAME: {"content": ""},
    events.UserCreated.NAME: {"username": "", "display_name": ""},
    events.UserUpdated.NAME: {"username": "", "display_name": "", "avatar_url": None, "status_message": ""},
}
PERSONAL: Final = frozenset(_EMPTY)
DELETIONS: Final = frozenset({events.MessageDeleted.NAME, events.UserErased.NAME})


def narrowed(deletion: Event) -> dict[str, Any]:
    """The rows a deletion can concern, as a Django filter on `event_type` and `key`."""
    if isinstance(deletion, events.MessageDeleted):
        return {"event_type__in": [events.MessageCreated.NAME, events.MessageUpdated.NAME], "key": deletion.key()}
    return {"event_type__in": sorted(PERSONAL)}


def without(deletion: Event, event_type: str, data: bytes) -> bytes | None:
    """The data without what the deletion takes back; None where it holds nothing of that."""
    told: dict[str, Any] = msgspec.json.decode(data)
    if not _concerns(deletion, told):
        return None
    emptied = {**told, **_EMPTY[event_type]}
    return None if emptied == told else msgspec.json.encode(emptied)


def _concerns(deletion: Event, told: Mapping[str, Any]) -> bool:
    if isinstance(deletion, events.MessageDeleted):
        return bool(told.get("message_id") == deletion.message_id)
    if isinstance(deletion, events.UserErased):
        return deletion.user_id in (told.get("user_id"), told.get("sender_id"))
    return False
