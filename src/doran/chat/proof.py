"""Did it happen? How a writer that was not answered to its COMMIT learns whether it took place.

Behind a connection that answer can be lost. To write the batch again could double it, to give it up
could lose what is stored. So each transaction leaves its number in a row of its writer; whoever finds
the number there again knows. In a file nobody can lose the answer, and nothing is left.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Final

from django.db import connections, transaction

from doran.chat import statements as sql
from doran.chat.models import LastCommit
from doran.kernel import clock

KEPT: Final = timedelta(days=7)


@dataclass(slots=True)
class Proof:
    """The numbers that one writer leaves."""

    _writer: uuid.UUID = field(default_factory=clock.new_id)
    _number: int = 0

    def leave(self) -> None:
        """The number of this transaction; the last thing that happens in it."""
        if connections[sql.DATABASE].vendor == "sqlite":
            return
        self._number += 1
        cursor = sql.cursor()
        cursor.execute(_statement(), [self._number, sql.db_time(clock.stamp()), sql.db_uuid(self._writer)])
        if cursor.rowcount == 0:
            self._begin()

    def holds(self) -> bool:
        """Whether the last transaction that left a number is committed. Waits while it is open on the server.

        A row that is not committed yet cannot be locked: whoever adds the same one waits for that, too.
        """
        with transaction.atomic(using=sql.DATABASE):
            LastCommit.objects.using(sql.DATABASE).bulk_create(
                [LastCommit(writer_id=self._writer, number=0, at=clock.now())], ignore_conflicts=True
            )
            mine = LastCommit.objects.using(sql.DATABASE).select_for_update().filter(writer_id=self._writer).first()
        return mine is not None and mine.number == self._number

    def _begin(self) -> None:
        rows, now = LastCommit.objects.using(sql.DATABASE), clock.now()
        rows.create(writer_id=self._writer, number=self._number, at=now)
        rows.filter(at__lt=now - KEPT).delete()


@cache
def _statement() -> str:
    number, at, writer = (sql.column(LastCommit, name) for name in ("number", "at", "writer_id"))
    return f"UPDATE {sql.table(LastCommit)} SET {number} = %s, {at} = %s WHERE {writer} = %s"  # noqa: S608
