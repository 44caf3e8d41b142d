"""What a deletion takes back from events that still wait: the words of a message, the name of a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec

from doran.contracts import events
from doran.contracts.events import Envelope, Event

_EMPTY: Final[Mapping[str, Mapping[str, Any]]] = {
    events.MessageCreated.NAME: {"content": None},
    events.MessageUpdated.NAME: {"content": None},
    events.AiMessageGenerated.NAME: {"content": ""},
    events.UserCreated.NAME: {"username": "", "display_name": ""},
    events.UserUpdated.NAME: {"username": "", "display_name": "", "avatar_url": None, "status_message": ""},
}
PERSONAL: Final = frozenset(_EMPTY)
_MESSAGES: Final = frozenset({events.MessageCreated.NAME, events.MessageUpdated.NAME})
DELETIONS: Final = frozenset({events.MessageDeleted.NAME, events.UserErased.NAME})


def concerning(event_types: Collection[str]) -> frozenset[str]:
    """The deletions that who keeps events of these types must hear of."""
    hears = {events.MessageDeleted.NAME: _MESSAGES, events.UserErased.NAME: PERSONAL}
    return frozenset(deletion for deletion, emptied in hears.items() if emptied & set(event_types))


def narrowed(deletion: Event) -> dict[str, Any]:
    """The rows a deletion can concern, as a Django filter on `event_type` and `key`."""
    if isinstance(deletion, events.MessageDeleted):
        return {"event_type__in": sorted(_MESSAGES), "key": deletion.key()}
    return {"event_type__in": sorted(PERSONAL)}


def without(deletion: Event, event_type: str, data: bytes) -> bytes | None:
    """The data without what the deletion takes back; None where it holds nothing of that."""
    told = msgspec.json.decode(data)
    if not isinstance(told, dict) or not _concerns(deletion, told):
        return None
    emptied = {**told, **_EMPTY[event_type]}
    return None if emptied == told else msgspec.json.encode(emptied)


def envelope_without(deletion: Event, envelope: str) -> str | None:
    """A whole envelope, as JSON, without what the deletion takes back; None where it holds nothing of that."""
    said = msgspec.json.decode(envelope, type=Envelope)
    emptied = without(deletion, said.event_type, bytes(said.data))
    if emptied is None:
        return None
    return msgspec.json.encode(msgspec.structs.replace(said, data=msgspec.Raw(emptied))).decode()


def person(event: Event) -> str:
    """Whose words or names the event carries; empty if nobody's."""
    if event.NAME not in PERSONAL:
        return ""
    return str(getattr(event, "sender_id", None) or getattr(event, "user_id", ""))


def _concerns(deletion: Event, told: Mapping[str, Any]) -> bool:
    if isinstance(deletion, events.MessageDeleted):
        return bool(told.get("message_id") == deletion.message_id)
    if isinstance(deletion, events.UserErased):
        return deletion.user_id in (told.get("user_id"), told.get("sender_id"))
    return False
