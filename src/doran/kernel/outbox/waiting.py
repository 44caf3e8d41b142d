"""One row of an outbox as the database gives it, and the envelope it becomes."""

from __future__ import annotations

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

    def envelope(self, producer: str) -> Envelope:
        """As it waits, unchecked."""
        return Envelope(
            event_type=self.event_type,
            timestamp=clock.rfc3339(_utc(self.timestamp)),
            data=msgspec.Raw(self.data.encode()),
            event_id=self.name,
            schema_version=self.schema_version,
            producer=producer,
            key=self.key,
            trace_id=self.trace_id,
        )

    @property
    def name(self) -> str:
        """The event's id as everybody writes it, whatever the database made of it."""
        digits = str(self.event_id)
        if len(digits) != 32:
            return digits
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
