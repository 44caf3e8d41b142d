"""Was this event handled, does its key wait, and now it is handled: asked for every event, so in plain SQL."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import connections, models

from doran.contracts.events import Envelope
from doran.kernel import clock
from doran.kernel.dead_letters import AbstractDeadLetter, column, event_uuid
from doran.kernel.inbox.tables import AbstractInbox


@dataclass(frozen=True)
class Marks:
    """The marks of one subscription in one database. The statements are derived once from the models."""

    database: str
    subscription: str
    inbox: type[AbstractInbox]
    dead_letters: type[AbstractDeadLetter]

    def look(self, envelope: Envelope) -> tuple[bool, bool]:
        """Whether the event was handled, and whether an earlier one of its key waits."""
        name = self._stored("event_id", event_uuid(envelope.event_id))
        with connections[self.database].cursor() as cursor:
            cursor.execute(self._question, [name, self.subscription, self.subscription, column(envelope.key)])
            is_handled, is_held = cursor.fetchone()
        return bool(is_handled), bool(is_held)

    def set(self, envelope: Envelope) -> None:
        """The event is handled. Fails if it was before."""
        values = {
            "event_id": event_uuid(envelope.event_id),
            "subscription": self.subscription,
            "handled_at": clock.now(),
        }
        with connections[self.database].cursor() as cursor:
            cursor.execute(self._insertion, [self._stored(name, value) for name, value in values.items()])

    def _stored(self, column: str, value: Any) -> Any:
        field = self.inbox._meta.get_field(column)
        assert isinstance(field, models.Field)  # a column is never a relation backwards
        return field.get_db_prep_value(field.to_python(value), connections[self.database])

    @cached_property
    def _question(self) -> str:
        name, subscription, key = map(self._quoted, ("event_id", "subscription", "key"))
        # Every part of these texts is a name from a model or a placeholder.
        handled = f"SELECT 1 FROM {self._table(self.inbox)} WHERE {name} = %s AND {subscription} = %s"  # noqa: S608
        held = f"SELECT 1 FROM {self._table(self.dead_letters)} WHERE {subscription} = %s AND {key} = %s"  # noqa: S608
        return f"SELECT EXISTS({handled}), EXISTS({held})"

    @cached_property
    def _insertion(self) -> str:
        columns = ", ".join(map(self._quoted, ("event_id", "subscription", "handled_at")))
        return f"INSERT INTO {self._table(self.inbox)} ({columns}) VALUES (%s, %s, %s)"  # noqa: S608

    def _table(self, model: type[models.Model]) -> str:
        return self._quoted(model._meta.db_table)

    def _quoted(self, name: str) -> str:
        return connections[self.database].ops.quote_name(name)
