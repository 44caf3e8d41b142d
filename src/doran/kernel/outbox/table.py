"""Where events wait: rows written in the change's own transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, ClassVar

from django.db import connections, models, transaction

from doran.contracts.events import PRODUCERS, BadEvent, Event, encode
from doran.kernel import clock, redaction, telemetry
from doran.kernel.dead_letters import OUTBOX, AbstractDeadLetter, Letters
from doran.kernel.doors import home
from doran.kernel.lanes import lane


class AbstractOutboxLease(models.Model):
    """Who carries a lane, and until when if nothing more is heard. `wanted_by` asks the owner for it."""

    lane = models.PositiveSmallIntegerField(primary_key=True)
    owner = models.CharField(max_length=64, default="")
    until = models.DateTimeField(null=True)
    wanted_by = models.CharField(max_length=64, default="")

    class Meta:
        abstract = True


class AbstractOutbox(models.Model):
    """An event that waits to be published. Each service has its own table; a published row is gone.

    Rows of one `key` are published in the order of `id`, which is the order of their commits,
    because whoever writes for a key holds that key's row. `lane` is that of the key: a relay that
    runs in several copies shares the rows by lanes. What cannot be published goes to `DEAD_LETTERS`.
    """

    DEAD_LETTERS: ClassVar[type[AbstractDeadLetter]]
    LEASES: ClassVar[type[AbstractOutboxLease]]

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=64)
    schema_version = models.PositiveSmallIntegerField(default=1)
    key = models.CharField(max_length=255)
    data = models.TextField()
    timestamp = models.DateTimeField()
    trace_id = models.CharField(max_length=32, default="")
    lane = models.PositiveSmallIntegerField()

    class Meta:
        abstract = True

    @classmethod
    def add(cls, event: Event, *, trace_id: str = "") -> None:
        """Say this event if and only if the transaction around commits.

        A deletion also takes its content out of events that still wait. Raises `BadEvent` for data
        that does not fit its schema or an event this service does not own, and
        `TransactionManagementError` outside of a transaction.
        """
        database = home(cls)
        if not connections[database].in_atomic_block:
            raise transaction.TransactionManagementError(f"{event.NAME} must be said inside the change's transaction")
        cls.forget(event)
        cls._base_manager.using(database).create(**row(cls._meta.app_label, event, trace_id=trace_id))
        transaction.on_commit(partial(_wake, cls), using=database)

    @classmethod
    def forget(cls, deletion: Event) -> None:
        """Take what a deletion deletes out of events that still wait, in the transaction around."""
        if deletion.NAME not in redaction.DELETIONS:
            return
        waiting = cls._base_manager.using(home(cls))
        for one in waiting.filter(**redaction.narrowed(deletion)).iterator():
            emptied = redaction.without(deletion, one.event_type, one.data.encode())
            if emptied is not None:
                waiting.filter(id=one.id).update(data=emptied.decode())
        Letters(cls.DEAD_LETTERS, OUTBOX).forget(deletion)


def row(service: str, event: Event, *, trace_id: str = "", at: datetime | None = None) -> dict[str, Any]:
    """The columns of an outbox row that says this event, for whoever writes it by other means than `add`."""
    if type(event) not in PRODUCERS.get(service, ()):
        raise BadEvent(f"{event.NAME} is not said by {service}")
    return {
        "event_id": clock.new_id(),
        "event_type": event.NAME,
        "schema_version": event.VERSION,
        "key": event.key(),
        "data": encode(event).decode(),
        "timestamp": at or clock.now(),
        "trace_id": trace_id or telemetry.trace_id(),
        "lane": lane(event.key()),
    }


_wakers: dict[type[AbstractOutbox], Callable[[], None]] = {}


def when_said(outbox: type[AbstractOutbox], wake: Callable[[], None] | None) -> None:
    """Call this after each commit that says something; None: nobody any more."""
    if wake is None:
        _wakers.pop(outbox, None)
    else:
        _wakers[outbox] = wake


def _wake(outbox: type[AbstractOutbox]) -> None:
    wake = _wakers.get(outbox)
    if wake is not None:
        wake()
