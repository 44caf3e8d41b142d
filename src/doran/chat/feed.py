"""The feed: what each commit moved, left in the database for processes that did not hear of it.

A process that commits is a node. It numbers its commits without a hole, and since it has one writer
they also commit in that order: so the last number of each node tells all there is, and a process
that is frozen between its insert and its commit delays nobody's knowledge but of itself. No clock
of any process decides anything.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from doran.chat import nodes
from doran.chat import statements as sql
from doran.chat.counters import Counter
from doran.chat.models import Conversation, Feed, Node
from doran.chat.shop import shop
from doran.chat.writer import DATABASE
from doran.realtime.fanout import Batch, Step, as_one
from doran.realtime.fanout.shared import packed

log = logging.getLogger(__name__)

KEPT_SECONDS: Final = 120.0
"""How long a commit can be looked up; who was away for longer reads everything anew."""
MISSED_AFTER: Final = timedelta(seconds=60)
FORGOTTEN_AFTER: Final = timedelta(hours=1)
DELETED_AT_ONCE: Final = 1000


# -- noting what a transaction moves, on the writer's thread ---------------------------------------
# Nothing is noted, and nothing of this costs anything, where no other process shares the database.


Standing = Mapping[str, tuple[int, int]]


def standing(counters: Mapping[str, Counter]) -> Standing:
    """Where these conversations stand before anything is changed: change and message."""
    if not shop().shares:
        return {}
    return {one: (counter.change_seq, counter.last_seq) for one, counter in counters.items()}


def note_moves(stood: Standing, counters: Mapping[str, Counter], *, authors: Iterable[tuple[str, str]] = ()) -> None:
    """They moved from there to where they stand now. `authors`: who may have written where."""
    if not stood:
        return
    wrote: dict[str, set[str]] = {}
    for conversation_id, author in authors:
        wrote.setdefault(conversation_id, set()).add(author)
    _note(*(
        Step(one, counter.people, change, counter.change_seq, last, counter.last_seq, authors=tuple(wrote.get(one, ())))
        for one, counter in counters.items()
        for change, last in (stood[one],)
        if counter.change_seq > change
    ))  # fmt: skip


def note_change(conversation: Conversation, *, is_shut: bool = False) -> None:
    """It moved by one change, which is no message."""
    if shop().shares:
        change, last = conversation.change_seq, conversation.last_seq
        _note(Step(str(conversation.id), conversation.people, change - 1, change, last, last, is_shut=is_shut))


def note_start(conversation: Conversation) -> None:
    if shop().shares:
        _note(Step(str(conversation.id), conversation.people, 0, 0, 0, 0, is_new=True))


def note_state(conversation_id: str, where: Counter | Conversation, user_id: str, state_seq: int) -> None:
    """Only this person's private state of it moved, to this number."""
    if shop().shares:
        change, last = where.change_seq, where.last_seq
        _note(Step(conversation_id, where.people, change, change, last, last, {user_id: state_seq}))


class _Noted:
    """Steps of a transaction, kept where Django forgets them with a savepoint that is rolled back."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    def __call__(self) -> None:
        """After the commit: they were told by `FeedWriter.seal`, before it."""


def _note(*steps: Step) -> None:
    transaction.on_commit(_Noted(steps), using=DATABASE)


def _noted() -> list[Step]:
    waiting = sql.waiting_for_commit()
    return as_one(step for one in waiting if isinstance(one, _Noted) for step in one.steps)


class FeedWriter:
    """Writes down each commit of this process, as its last statement. On the writer's thread, after `begin`."""

    def __init__(self) -> None:
        self._node: int | None = None
        self._number = 0
        self._sealed: Batch | None = None
        self.nodes: frozenset[int] = frozenset()
        self.begun = self._before = (0, 0)

    def begin(self) -> None:
        """Become a node. Before anything is written."""
        self._become(nodes.create())

    @property
    def node(self) -> int | None:
        return self._node

    @property
    def number(self) -> int:
        """Of the last commit."""
        return self._number

    def seal(self) -> Batch | None:
        """Called last in each transaction: what it moved, now also in the feed."""
        steps = _noted()
        if not steps:
            return None
        if self._node is None:
            self._become(nodes.create())
        assert self._node is not None
        self._sealed = Batch(self._node, self._number + 1, steps)
        self._before, self.begun = self.begun, (self._node, self._number + 1)
        sql.insert_many(Feed, ("node", "number", "steps"), [(self._node, self._number + 1, packed(steps))])
        return self._sealed

    def ended(self, *, well: bool) -> None:
        """The transaction committed, or not, or nobody knows: then this node's numbers are in doubt, and it ends."""
        sealed, self._sealed = self._sealed, None
        if sealed is None:
            return
        if well:
            self._number = sealed.number
        else:
            self._node, self.begun = None, self._before

    def _become(self, node: int) -> None:
        self._node, self._number = node, 0
        self.nodes |= {node}


# -- reading, on a thread that may wait ----------------------------------------------------------


def ends(mine: FeedWriter) -> dict[int, int]:
    """Of every node but ours the number of its last commit, all at one moment."""
    cursor = sql.cursor()
    cursor.execute(
        f"SELECT n.id, (SELECT MAX(f.number) FROM {sql.table(Feed)} f WHERE f.node = n.id) FROM {sql.table(Node)} n"  # noqa: S608
    )
    return {node: number or 0 for node, number in cursor.fetchall() if node not in mine.nodes}


def steps(node: int, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
    """These commits of a node, as far as they are kept."""
    rows = Feed.objects.using(DATABASE).filter(node=node, number__in=numbers).order_by("number")
    return [(number, bytes(packed_steps)) for number, packed_steps in rows.values_list("number", "steps")]


# -- tidying up ----------------------------------------------------------------------------------


class FeedKeeper:
    """Renews this process's node, clears what is old, and finds processes that are gone. About every ten seconds."""

    def __init__(self, writer: FeedWriter, *, missed: Callable[[], Any], clock: Callable[[], float] = time.monotonic):
        self._writer = writer
        self._missed = missed
        self._clock = clock
        self._ends: deque[tuple[float, int, int]] = deque()

    def tend(self) -> None:
        """Raises whatever the database raises; then nothing is lost, and it is tried again."""
        self._renew()
        self._clear_own()
        self._take_over()
        forget()

    def _renew(self) -> None:
        if (node := self._writer.node) is not None:
            nodes.renew(node)

    def _clear_own(self) -> None:
        """What everybody has had the time to look at. The last number always stays: it says how far this node is."""
        now, node = self._clock(), self._writer.node
        if node is not None:
            self._ends.append((now, node, self._writer.number))
        while self._ends and self._ends[0][0] <= now - KEPT_SECONDS:
            _, old_node, end = self._ends.popleft()
            _clear(old_node, before=end)

    def _take_over(self) -> None:
        """Of each process that is gone exactly one other says what it had still to say."""
        has_stopped = Q(renewed_at__lt=Now() - MISSED_AFTER) | Q(
            renewed_at__gt=Now() + MISSED_AFTER
        )  # of a clock ahead
        silent = Node.objects.using(DATABASE).filter(has_stopped, is_missed=False)
        if silent.update(is_missed=True):
            log.warning("a chat process is gone")
            self._missed()


def forget() -> None:
    """Delete what processes left that are long gone."""
    long_gone = Node.objects.using(DATABASE).filter(renewed_at__lt=Now() - FORGOTTEN_AFTER)
    for node in long_gone.values_list("id", flat=True)[:100]:
        _clear(node, before=None)
        long_gone.filter(id=node).delete()


def _clear(node: int, *, before: int | None) -> None:
    """In pieces, so that no writer waits for long."""
    rows = Feed.objects.using(DATABASE).filter(node=node)
    if before is not None:
        rows = rows.filter(number__lt=before)
    first = rows.order_by("number").values_list("number", flat=True).first()
    while first is not None:
        rows.filter(number__lt=first + DELETED_AT_ONCE).delete()
        first = rows.order_by("number").values_list("number", flat=True).first()
