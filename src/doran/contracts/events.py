"""What services tell each other: one struct per event, one envelope, one table.

Every event is checked against its struct when it is published and again when it is consumed.
An envelope is at the same time a CloudEvents 1.0 event (see `cloud_event`). Data only grows:
a field is never renamed or removed within a `schema_version`, and consumers ignore what they
do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import msgspec

from doran.contracts.frames import MessageType


class Event(msgspec.Struct, frozen=True):
    """Base of all event data. `NAME` is the `event_type`, `KEY` the field whose value orders them."""

    NAME: ClassVar[str]
    KEY: ClassVar[str]
    VERSION: ClassVar[int] = 1

    def key(self) -> str:
        return str(getattr(self, self.KEY))


class UserCreated(Event, frozen=True):
    NAME, KEY = "user.created", "user_id"
    user_id: str
    username: str
    display_name: str
    created_at: str
    kind: str = "human"


class UserUpdated(Event, frozen=True):
    """The public profile as it now stands."""

    NAME, KEY = "user.updated", "user_id"
    user_id: str
    username: str
    display_name: str
    avatar_url: str | None
    status_message: str
    locale: str
    updated_at: str


class UserDeactivated(Event, frozen=True):
    """The person cannot log in or be reached; `active` says whether that was taken back."""

    NAME, KEY = "user.deactivated", "user_id"
    user_id: str
    active: bool
    changed_at: str


class UserErased(Event, frozen=True):
    """The person is gone for good: forget everything personal."""

    NAME, KEY = "user.erased", "user_id"
    user_id: str
    erased_at: str


class UserBlocked(Event, frozen=True):
    NAME, KEY = "user.blocked", "user_id"
    user_id: str
    blocked_user_id: str
    created_at: str


class UserUnblocked(Event, frozen=True):
    NAME, KEY = "user.unblocked", "user_id"
    user_id: str
    blocked_user_id: str
    created_at: str


class SessionRevoked(Event, frozen=True):
    """Close the sockets of this session, or of all sessions of the person where it is null."""

    NAME, KEY = "session.revoked", "user_id"
    user_id: str
    session_id: str | None
    reason: str
    revoked_at: str


class ConversationCreated(Event, frozen=True):
    NAME, KEY = "conversation.created", "conversation_id"
    conversation_id: str
    participant1_id: str
    participant2_id: str
    created_at: str


class MessageCreated(Event, frozen=True):
    NAME, KEY = "message.created", "conversation_id"
    message_id: str
    conversation_id: str
    sender_id: str
    recipient_id: str
    seq: int
    content: str | None
    message_type: MessageType
    created_at: str


class MessageUpdated(Event, frozen=True):
    NAME, KEY = "message.updated", "conversation_id"
    message_id: str
    conversation_id: str
    sender_id: str
    seq: int
    change_seq: int
    content: str | None
    edited_at: str


class MessageDeleted(Event, frozen=True):
    NAME, KEY = "message.deleted", "conversation_id"
    message_id: str
    conversation_id: str
    sender_id: str
    seq: int
    change_seq: int
    deleted_at: str


class MessageDelivered(Event, frozen=True):
    NAME, KEY = "message.delivered", "conversation_id"
    conversation_id: str
    user_id: str
    up_to_seq: int
    message_id: str
    timestamp: str


class MessageRead(Event, frozen=True):
    NAME, KEY = "message.read", "conversation_id"
    conversation_id: str
    user_id: str
    up_to_seq: int
    message_id: str
    timestamp: str


class MessageUndelivered(Event, frozen=True):
    """No device of the recipient has acknowledged these messages for a while: tell them by push."""

    NAME, KEY = "message.undelivered", "conversation_id"
    conversation_id: str
    recipient_id: str
    sender_id: str
    message_id: str
    up_to_seq: int
    unread_count: int
    timestamp: str


class AiMessageGenerated(Event, frozen=True):
    NAME, KEY = "ai.message.generated", "conversation_id"
    response_id: str
    job_id: str
    conversation_id: str
    sender_id: str
    content: str
    created_at: str


class AiJobCompleted(Event, frozen=True):
    NAME, KEY = "ai.job.completed", "job_id"
    job_id: str
    kind: str
    completed_at: str


class AiJobFailed(Event, frozen=True):
    NAME, KEY = "ai.job.failed", "job_id"
    job_id: str
    kind: str
    code: str
    failed_at: str


PRODUCERS: Final[Mapping[str, tuple[type[Event], ...]]] = {
    "core": (
        UserCreated,
        UserUpdated,
        UserDeactivated,
        UserErased,
        UserBlocked,
        UserUnblocked,
        SessionRevoked,
    ),
    "chat": (
        ConversationCreated,
        MessageCreated,
        MessageUpdated,
        MessageDeleted,
        MessageDelivered,
        MessageRead,
        MessageUndelivered,
    ),
    "ai": (AiMessageGenerated, AiJobCompleted, AiJobFailed),
}
EVENTS: Final[Mapping[str, type[Event]]] = {event.NAME: event for events in PRODUCERS.values() for event in events}


class Envelope(msgspec.Struct, frozen=True):
    """What surrounds every event on the wire and in the outbox."""

    event_type: str
    timestamp: str
    data: msgspec.Raw
    event_id: str
    schema_version: int
    producer: str
    key: str
    trace_id: str

    def event(self) -> Event:
        """The checked data. Raises `UnknownEvent` or `BadEvent`."""
        kind = EVENTS.get(self.event_type)
        if kind is None:
            raise UnknownEvent(self.event_type)
        try:
            event: Event = _decoders[kind].decode(self.data)
        except msgspec.ValidationError as wrong:
            raise BadEvent(f"{self.event_type}: {wrong}") from None
        return event


class UnknownEvent(LookupError):
    """Nobody has said what this event means."""


class BadEvent(ValueError):
    """The data does not have the shape its schema promises."""


_encoder = msgspec.json.Encoder()
_decoders: Mapping[type[Event], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in EVENTS.values()
}
_envelopes = msgspec.json.Decoder(Envelope)


def encode(event: Event) -> bytes:
    """The data as JSON, checked against its own schema first. Raises `BadEvent`."""
    data = _encoder.encode(event)
    try:
        _decoders[type(event)].decode(data)
    except msgspec.ValidationError as wrong:
        raise BadEvent(f"{event.NAME}: {wrong}") from None
    return data


def cloud_event(envelope: Envelope) -> bytes:
    """The envelope as the one JSON object that goes over a wire: our names and CloudEvents 1.0."""
    return _encoder.encode(
        {
            "specversion": "1.0",
            "type": envelope.event_type,
            "time": envelope.timestamp,
            "id": envelope.event_id,
            "source": envelope.producer,
            "subject": envelope.key,
            "partitionkey": envelope.key,
            "datacontenttype": "application/json",
            **{name: getattr(envelope, name) for name in Envelope.__struct_fields__},
        }
    )


def read_cloud_event(raw: bytes) -> Envelope:
    """What `cloud_event` wrote. Raises `BadEvent`."""
    try:
        return _envelopes.decode(raw)
    except msgspec.DecodeError as wrong:
        raise BadEvent(f"envelope: {wrong}") from None
