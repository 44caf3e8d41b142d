"""The smallest service: it says events, hears events, and keeps what it heard in one table."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

import msgspec
from django.db import connections, models, transaction

from doran.contracts import events
from doran.contracts.events import Envelope, Event
from doran.kernel import clock
from doran.kernel.bus import Concern, Handler, Said, Unavailable, every
from doran.kernel.dead_letters import OUTBOX, AbstractDeadLetter, Letters
from doran.kernel.inbox import AbstractInbox
from doran.kernel.keysets import AbstractKeySet
from doran.kernel.lanes import lane
from doran.kernel.outbox import AbstractOutbox, AbstractOutboxLease

LABEL = "shop"
NOON = "2026-11-23T12:00:00.000000Z"


class Inbox(AbstractInbox):
    class Meta(AbstractInbox.Meta):
        app_label = LABEL


class DeadLetter(AbstractDeadLetter):
    class Meta(AbstractDeadLetter.Meta):
        app_label = LABEL


class KeySet(AbstractKeySet):
    class Meta:
        app_label = LABEL


class OutboxLease(AbstractOutboxLease):
    class Meta:
        app_label = LABEL


class Outbox(AbstractOutbox):
    DEAD_LETTERS, LEASES = DeadLetter, OutboxLease

    class Meta:
        app_label = LABEL


class Heard(models.Model):
    """An effect: what was heard, in the order in which it was heard."""

    key = models.CharField(max_length=255)
    what = models.TextField()

    class Meta:
        app_label = LABEL


class Router:
    """The shop's tables live in the shop's database; everybody else's are at home where they were."""

    def db_for_write(self, model: type[models.Model], **_hints: object) -> str | None:
        return LABEL if model._meta.app_label == LABEL else None

    db_for_read = db_for_write


SAYS = events.PRODUCERS["chat"] + events.PRODUCERS["core"]
MODELS = (Outbox, OutboxLease, Inbox, DeadLetter, KeySet, Heard)


def make_tables(database: str) -> None:
    with connections[database].schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)


def sent(number: int, conversation: str = "minji-junho", *, content: str = "") -> events.MessageCreated:
    """Minji's message of this number to Junho."""
    return events.MessageCreated(
        message_id=f"m{number}",
        conversation_id=conversation,
        sender_id="minji",
        recipient_id="junho",
        seq=number,
        content=content or f"안녕 {number}",
        message_type="text",
        created_at=NOON,
    )


def deleted(number: int, conversation: str = "minji-junho") -> events.MessageDeleted:
    return events.MessageDeleted(
        message_id=f"m{number}",
        conversation_id=conversation,
        sender_id="minji",
        seq=number,
        change_seq=100 + number,
        deleted_at=NOON,
    )


def erased(user_id: str) -> events.UserErased:
    return events.UserErased(user_id=user_id, erased_at=NOON)


def say(*said: Event) -> None:
    """A change that says these events, and commits."""
    with transaction.atomic(using=LABEL):
        for event in said:
            Outbox.add(event)


def envelope(event: Event, *, event_type: str = "", data: bytes = b"") -> Envelope:
    """The event on its way to a consumer."""
    return Envelope(
        event_type=event_type or event.NAME,
        timestamp=NOON,
        data=msgspec.Raw(data or events.encode(event)),
        event_id=str(uuid.uuid4()),
        schema_version=event.VERSION,
        producer="chat",
        key=event.key(),
        trace_id="",
    )


def hear(event: events.MessageCreated) -> None:
    """The shop's one effect."""
    Heard.objects.create(key=event.conversation_id, what=event.content)


def heard(key: str = "minji-junho") -> list[str]:
    return list(Heard.objects.filter(key=key).order_by("id").values_list("what", flat=True))


def greetings(*numbers: int) -> list[str]:
    return [f"안녕 {number}" for number in numbers]


class Courier:
    """A bus that behaves as it is told and remembers what it took."""

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.calls = 0
        self.down = False
        self.refuses: set[str] = set()
        self.trips_over: set[str] = set()
        self.wanted: set[str] = set(events.EVENTS)

    def wants(self, said: Said) -> bool:
        return said.event_type in self.wanted

    def subscribe(
        self, subscription: str, event_types: Collection[str], handler: Handler, concerns: Concern = every
    ) -> None:
        raise AssertionError("nobody listens to the courier")

    def publish(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        self.calls += 1
        if self.down:
            raise Unavailable
        if self.trips_over & {one.key for one in envelopes}:
            raise RuntimeError("the driver stumbles")
        self.taken += [one for one in envelopes if one.key not in self.refuses]
        return frozenset(one.event_id for one in envelopes if one.key in self.refuses)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def contents(self, key: str = "minji-junho") -> list[str]:
        return [msgspec.json.decode(one.data)["content"] for one in self.taken if one.key == key]


def waiting() -> list[str]:
    """Keys of the rows that wait in the outbox, oldest first."""
    return list(Outbox.objects.order_by("id").values_list("key", flat=True))


def parked() -> Letters:
    """What could not be published."""
    return Letters(DeadLetter, OUTBOX)


def put(event: Event, **columns: object) -> Outbox:
    """A row as some other writer left it."""
    row = {
        "event_id": clock.new_id(),
        "event_type": event.NAME,
        "key": event.key(),
        "data": events.encode(event).decode(),
        "timestamp": clock.now(),
        "lane": lane(event.key()),
    }
    return Outbox.objects.create(**{**row, **columns})
