"""Leases: the copies of a relay share the lanes of their outbox, each lane in one hand at a time."""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol

from django.db import models
from django.db.models import BooleanField, Case, F, Q, Value, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from doran.kernel.doors import home
from doran.kernel.lanes import LANES
from doran.kernel.outbox.table import AbstractOutboxLease

ALL_LANES: Final = frozenset(range(LANES))


class Lanes(Protocol):
    """Which lanes of an outbox are mine. `turn` grows whenever I get one."""

    turn: int

    def held(self) -> frozenset[int]:
        """Those that are mine now. Called between pages, when nothing is under way."""
        ...

    def are_mine(self, lanes: Iterable[int]) -> bool:
        """Whether these are mine until the transaction around ends."""
        ...

    def give_up(self) -> None:
        """Let others have them at once."""
        ...


class EveryLane:
    """The lanes of a relay that is alone: all of them, always, at no cost."""

    turn = 1

    def held(self) -> frozenset[int]:
        return ALL_LANES

    def are_mine(self, lanes: Iterable[int]) -> bool:
        return True

    def give_up(self) -> None:
        pass


class Moment(Now):
    """The database's own clock: one for all copies. UTC also where the server lives elsewhere."""

    def as_mysql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **more)


class _Lane(NamedTuple):
    """A lane as it was just read."""

    number: int
    owner: str
    wanted_by: str
    is_free: bool

    @property
    def heir(self) -> str:
        """Who will carry it when all that is asked for is given."""
        return "" if self.is_free else self.wanted_by or self.owner


class Leases:
    """The lanes this copy holds, for one thread. A lease ends `seconds` after its owner was last heard.

    Every change is one conditional update, so that of two who want a lane one gets it. The living
    give a lane away only by consent: who has fewer asks (`wanted_by`), the owner hands over between
    two pages. An owner that was paused may wake without its lanes; it can then only say again what
    others have said (docs/adr/0010-outbox-lanes.md).
    """

    def __init__(self, table: type[AbstractOutboxLease], *, seconds: float) -> None:
        self.owner = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._table, self._database = table, home(table)
        self._seconds, self._length = seconds, timedelta(seconds=seconds)
        self.turn = 0
        self._mine: frozenset[int] = frozenset()
        self._look_at = float("-inf")

    # -- outside ----------------------------------------------------------------------------------

    def held(self) -> frozenset[int]:
        """Renewed, handed over and shared anew four times in a lease."""
        now = time.monotonic()
        if now >= self._look_at:
            self._mine = self._settled()
            self._look_at = now + self._seconds / 4 * random.uniform(0.8, 1.0)  # noqa: S311
        return self._mine

    def are_mine(self, lanes: Iterable[int]) -> bool:
        wanted = set(lanes)
        mine = self._of_mine().select_for_update().filter(lane__in=wanted)
        return wanted == set(mine.values_list("lane", flat=True))

    def give_up(self) -> None:
        self._mine, self._look_at = frozenset(), float("-inf")
        self._of_mine().update(owner="", wanted_by="", until=None)
        self._rows().filter(wanted_by=self.owner).update(wanted_by="")

    # -- one look -----------------------------------------------------------------------------------

    def _settled(self) -> frozenset[int]:
        """Hand over what others ask for, renew the rest; take what is free, ask for what is fair."""
        # The order of the new values matters: MySQL sees those to the left.
        self._of_mine().exclude(wanted_by="").update(owner=F("wanted_by"), wanted_by="", until=self._expiry())
        self._of_mine().update(until=self._expiry())
        lanes = self._read() or self._founded()
        taken = self._take(lanes)
        self._ask(lanes, having=len(taken))
        mine = taken.union(lane.number for lane in lanes if lane.owner == self.owner)
        self.turn += bool(taken or mine - self._mine)
        return frozenset(mine)

    def _take(self, lanes: Sequence[_Lane]) -> set[int]:
        """Free lanes, up to a fair share."""
        heirs = Counter(lane.heir for lane in lanes if lane.heir)
        share = -(-LANES // len(heirs.keys() | {self.owner}))
        taken: set[int] = set()
        for lane in lanes:
            if lane.is_free and heirs[self.owner] + len(taken) < share and self._claim(lane.number):
                taken.add(lane.number)
        return taken

    def _claim(self, number: int) -> bool:
        free = self._rows().filter(self._is_free(), lane=number)
        return free.update(owner=self.owner, wanted_by="", until=self._expiry()) == 1

    def _ask(self, lanes: Sequence[_Lane], *, having: int) -> None:
        """Ask whoever has most, as long as that is two more than I have."""
        heirs = Counter(lane.heir for lane in lanes if lane.heir)
        heirs[self.owner] += having
        for lane in lanes:
            most = max(heirs.values())
            is_theirs = lane.heir == lane.owner != self.owner and heirs[lane.owner] == most
            if is_theirs and most - heirs[self.owner] >= 2 and self._want(lane):
                heirs[lane.owner] -= 1
                heirs[self.owner] += 1

    def _want(self, lane: _Lane) -> bool:
        theirs = self._rows().filter(lane=lane.number, owner=lane.owner, wanted_by="")
        return theirs.update(wanted_by=self.owner) == 1

    # -- rows -----------------------------------------------------------------------------------------

    def _read(self) -> list[_Lane]:
        free = Case(When(self._is_free(), then=Value(True)), default=Value(False), output_field=BooleanField())
        rows = self._rows().annotate(is_free=free).order_by("lane")
        return [_Lane(*row) for row in rows.values_list("lane", "owner", "wanted_by", "is_free")]

    def _founded(self) -> list[_Lane]:
        """The rows of an outbox that was never shared before."""
        self._rows().bulk_create([self._table(lane=number) for number in ALL_LANES], ignore_conflicts=True)
        return self._read()

    def _is_free(self) -> Q:
        """Nobody's, ended, or of a time when the database's clock was ahead."""
        return Q(owner="") | Q(until__lt=Moment()) | Q(until__gt=Moment() + 2 * self._length)

    def _expiry(self) -> CombinedExpression:
        return Moment() + self._length

    def _of_mine(self) -> models.QuerySet[AbstractOutboxLease]:
        return self._rows().filter(owner=self.owner)

    def _rows(self) -> models.QuerySet[AbstractOutboxLease]:
        return self._table._base_manager.using(self._database).all()
