"""What services tell each other: one struct per event, one envelope, one table.

Every event is checked against its struct when it is published and again when it is consumed.
An envelope is at the same time a CloudEvents 1.0 event (see `cloud_event`). Data only grows:
a field is never renamed or removed within a `schema_version`, and consumers ignore what they
do not know. Anything else is a new version of the event (docs/guides/events.md).
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

    def later(self) -> Event:
        """The same as the next version says it; for versions that nobody says any more (`FORMER`)."""
        raise NotImplementedError


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


class WebhookDisabled(Event, frozen=True):
    """An endpoint gets nothing any more: it asked for that (`gone`), or it failed for days (`failing`)."""

    NAME, KEY = "webhook.disabled", "endpoint_id"
    endpoint_id: str
    reason: str
    disabled_at: str


class WebhookTest(Event, frozen=True):
    """Sent to one endpoint because an operator asked for it; nobody else hears it."""

    NAME, KEY = "webhook.test", "endpoint_id"
    endpoint_id: str
    sent_at: str


class ConversationCreated(Event, frozen=True):
    NAME, KEY = "conversation.created", "conversation_id"
    conversation_id: str
    participant1_id: str
    participant2_id: str
    created_at: str


class MessageCreated(Event, frozen=True):
    """`client_message_id` is what its sender called it: whoever had something sent knows it again by that."""

    NAME, KEY = "message.created", "conversation_id"
    message_id: str
    conversation_id: str
    sender_id: str
    recipient_id: str
    seq: int
    content: str | None
    message_type: MessageType
    created_at: str
    client_message_id: str | None = None


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
    """The assistant has answered: chat stores it as a message of `sender_id`, once for each `response_id`."""

    NAME, KEY = "ai.message.generated", "conversation_id"
    response_id: str
    job_id: str
    conversation_id: str
    sender_id: str
    content: str
    created_at: str
    reply_to: str | None = None


class AiJobCompleted(Event, frozen=True):
    NAME, KEY = "ai.job.completed", "job_id"
    job_id: str
    kind: str
    completed_at: str
    user_id: str = ""


class AiJobFailed(Event, frozen=True):
    """`code` is one of `JOB_FAILURES`."""

    NAME, KEY = "ai.job.failed", "job_id"
    job_id: str
    kind: str
    code: str
    failed_at: str
    user_id: str = ""


class AiConsentChanged(Event, frozen=True):
    """What one person allows the AI in one conversation: `off`, `on_demand` or `history`."""

    NAME, KEY = "ai.consent.changed", "conversation_id"
    conversation_id: str
    user_id: str
    scope: str
    changed_at: str


class AiSwitched(Event, frozen=True):
    """The operator has switched the AI of the whole deployment off or on. There is one `switch`, called `ai`."""

    NAME, KEY = "ai.switched", "switch"
    switch: str
    is_off: bool
    changed_at: str


PRODUCERS: Final[Mapping[str, tuple[type[Event], ...]]] = {
    "core": (
        UserCreated,
        UserUpdated,
        UserDeactivated,
        UserErased,
        UserBlocked,
        UserUnblocked,
        SessionRevoked,
        WebhookDisabled,
        WebhookTest,
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
    "ai": (AiMessageGenerated, AiJobCompleted, AiJobFailed, AiConsentChanged, AiSwitched),
}
FORMER: Final[Mapping[str, tuple[type[Event], ...]]] = {}
"""Versions that nobody says any more, by event; they may still wait in an outbox, a dead letter or a broker."""

EVENTS: Final[Mapping[str, type[Event]]] = {event.NAME: event for events in PRODUCERS.values() for event in events}
LISTENERS: Final[Mapping[str, frozenset[str]]] = {
    "core": frozenset(),
    "chat": frozenset(
        event.NAME
        for event in (
            UserCreated,
            UserUpdated,
            UserDeactivated,
            UserErased,
            UserBlocked,
            UserUnblocked,
            SessionRevoked,
            AiMessageGenerated,
        )
    ),
    "ai": frozenset(
        event.NAME
        for event in (MessageCreated, MessageUpdated, MessageDeleted, UserDeactivated, UserErased, AiSwitched)
    ),
}
"""Who listens to what. Whoever speaks knows it too, so that a broker keeps these events even before they are heard."""


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
        """The checked data, as today's code says it. Raises `UnknownEvent`, `NewerEvent` or `BadEvent`."""
        kind = EVENTS.get(self.event_type)
        if kind is None:
            raise UnknownEvent(self.event_type)
        if self.schema_version > kind.VERSION:
            raise NewerEvent(f"{kind.NAME} {self.schema_version}, understood up to {kind.VERSION}")
        if self.schema_version < kind.VERSION:
            return self._brought_up_to_date(kind)
        return _read(kind, self.data)

    def _brought_up_to_date(self, kind: type[Event]) -> Event:
        former = {old.VERSION: old for old in FORMER.get(self.event_type, ())}
        if self.schema_version not in former:
            raise BadEvent(f"{self.event_type} {self.schema_version} was never said")
        event = _read(former[self.schema_version], self.data)
        while type(event) is not kind:
            event = event.later()
        return event


class UnknownEvent(LookupError):
    """Nobody has said what this event means."""


class BadEvent(ValueError):
    """The data does not have the shape its schema promises."""


class NewerEvent(BadEvent):
    """Said in a version that only later code understands. The text names event and versions."""


_encoder = msgspec.json.Encoder()
_decoders: dict[type[Event], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (*EVENTS.values(), *(old for kinds in FORMER.values() for old in kinds))
}
_envelopes = msgspec.json.Decoder(Envelope)


def encode(event: Event) -> bytes:
    """The data as JSON, checked against its own schema first. Raises `BadEvent`."""
    data = _encoder.encode(event)
    _read(type(event), data)
    return data


def _read(kind: type[Event], data: bytes | msgspec.Raw) -> Event:
    try:
        event: Event = _decoders[kind].decode(data)
    except msgspec.DecodeError as wrong:
        raise BadEvent(f"{kind.NAME}: {wrong}") from None
    return event


def cloud_attributes(envelope: Envelope) -> dict[str, str]:
    """The envelope in the words of CloudEvents 1.0, but for the data and its content type."""
    return {
        "specversion": "1.0",
        "type": envelope.event_type,
        "time": envelope.timestamp,
        "id": envelope.event_id,
        "source": envelope.producer,
        "subject": envelope.key,
        "partitionkey": envelope.key,
    }


def cloud_event(envelope: Envelope) -> bytes:
    """The envelope as the one JSON object that goes over a wire: our names and CloudEvents 1.0."""
    own = {name: getattr(envelope, name) for name in Envelope.__struct_fields__}
    return _encoder.encode({**cloud_attributes(envelope), "datacontenttype": "application/json", **own})


def read_cloud_event(raw: bytes) -> Envelope:
    """What `cloud_event` wrote. Raises `BadEvent`."""
    try:
        return _envelopes.decode(raw)
    except msgspec.DecodeError as wrong:
        raise BadEvent(f"envelope: {wrong}") from None
