"""Parking: what cannot be published leaves the outbox for the dead letters, with all that comes later for its key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from doran.kernel.dead_letters import OUTBOX, WAITS, AbstractDeadLetter, Letters, read
from doran.kernel.doors import Door, commit, home
from doran.kernel.lanes import lane
from doran.kernel.outbox.leases import Lanes
from doran.kernel.outbox.table import AbstractOutbox
from doran.kernel.outbox.waiting import Row


class Parking:
    """The dead letters of an outbox. Only the copy that holds a key's lane parks for it and takes up again.

    So the database is asked only while something is parked, and when a lane was got: otherwise what
    is parked changes by this copy's own hand, or by operators, who can only make it less.
    """

    def __init__(self, outbox: type[AbstractOutbox], door: Door, lanes: Lanes) -> None:
        self._outbox, self._door, self._lanes = outbox, door, lanes
        self._service, self._database = outbox._meta.app_label, home(outbox)
        self.letters = Letters(outbox.DEAD_LETTERS, OUTBOX, door)
        self._keys: set[str] = set()
        self._turn = 0

    def keys(self) -> Collection[str]:
        """Keys of which something is parked."""
        if self._keys or self._turn != self._lanes.turn:
            turn = self._lanes.turn
            self._keys, self._turn = self.letters.keys(), turn
        return self._keys

    def park(self, rows: Sequence[Row], reason: str) -> None:
        """Move the first of these rows of one key for this reason, the others behind it."""
        commit(self._door, self._database, partial(self._move, _behind(rows) | {rows[0].id: reason}))

    def park_behind(self, rows: Iterable[Row]) -> None:
        """Move these rows behind what is parked of their keys already."""
        if reasons := _behind(rows):
            commit(self._door, self._database, partial(self._move, reasons))

    def _move(self, reasons: Mapping[int, str]) -> None:
        """Nothing where the lane is another's by now. Read again: a deletion may have emptied what we know."""
        waiting = self._outbox._base_manager.using(self._database).filter(id__in=list(reasons)).order_by("id")
        rows = [Row(*row) for row in waiting.select_for_update().values_list(*Row._fields)]
        if self._lanes.are_mine({lane(row.key) for row in rows}):
            self.letters.put_aside((row.envelope(self._service), reasons[row.id]) for row in rows)
            waiting.delete()
            self._keys.update(row.key for row in rows)

    # -- taken up again ---------------------------------------------------------------------------

    def asked(self, mine: frozenset[int], *, at_most: int) -> list[list[Row]]:
        """For each of my keys that is to be tried again, its letters as rows."""
        if not self._keys:
            return []
        keys = [key for _, key in self.letters.asked() if lane(key) in mine]
        return [[_row(letter) for letter in self.letters.of(key, at_most=at_most)] for key in keys]

    def published(self, rows: Sequence[Row]) -> None:
        ids = [row.id for row in rows]
        commit(self._door, self._database, lambda: self.letters.take_away(ids, rows[0].key))

    def stay(self, row: Row, reason: str) -> None:
        commit(self._door, self._database, lambda: self.letters.stay(row.id, reason))


def _behind(rows: Iterable[Row]) -> dict[int, str]:
    return {row.id: WAITS for row in rows}


def _row(letter: AbstractDeadLetter) -> Row:
    """The row it was; its id is now the letter's."""
    envelope = read(letter)
    return Row(
        letter.id, envelope.event_id, envelope.event_type, envelope.schema_version, envelope.key,
        bytes(envelope.data).decode(), datetime.fromisoformat(envelope.timestamp), envelope.trace_id,
    )  # fmt: skip
