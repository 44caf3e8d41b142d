"""One row of an outbox as the database gives it, and the envelope it becomes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from doran.contracts.events import Envelope
from doran.kernel import clock


class Row(NamedTuple):
    """A row as the database gives it; a plain tuple, because there may be very many."""

    id: int
    event_id: Any
    event_type: str
    schema_version: int
    key: str
    data: str
    timestamp: datetime
    trace_id: str
    attempts: int
    retry_at: datetime | None

    def envelope(self, producer: str) -> Envelope:
        """Checked against its schema again. Raises `BadEvent` or `UnknownEvent`."""
        envelope = Envelope(
            event_type=self.event_type,
            timestamp=clock.rfc3339(_utc(self.timestamp)),
            data=msgspec.Raw(self.data.encode()),
            event_id=self.name,
            schema_version=self.schema_version,
            producer=producer,
            key=self.key,
            trace_id=self.trace_id,
        )
        envelope.event()
        return envelope

    @property
    def name(self) -> str:
        """The event's id as everybody writes it, whatever the database made of it."""
        return str(self.event_id if isinstance(self.event_id, uuid.UUID) else uuid.UUID(str(self.event_id)))

    def wait(self) -> float:
        """Seconds until this row may be tried again; 0 or less if it may go now."""
        return 0.0 if self.retry_at is None else (_utc(self.retry_at) - clock.now()).total_seconds()


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
