"""What a history shows, sorted once so that every rule can look it up in constant time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeVar

from doran.verify.history import (
    Began,
    Change,
    Closed,
    Delete,
    Edit,
    Fault,
    Healed,
    Holds,
    Meeting,
    Opened,
    Operation,
    Outcome,
    Person,
    Row,
    Saw,
    Send,
)

FOREVER = 2**63
SECOND = 1_000_000_000

Kind = TypeVar("Kind", bound=Operation)


class Sighting(NamedTuple):
    """One row, shown by one operation. `asked` is whether somebody's question was answered."""

    op: Operation
    conversation: str
    row: Row
    source: str

    @property
    def asked(self) -> bool:
        return self.source != "live"


@dataclass
class Origin:
    """Where a body comes from: all attempts to send it, or to edit a message into it."""

    body: str
    user: str
    conversation: str
    attempts: list[Send | Edit] = field(default_factory=list)

    @property
    def first(self) -> Send | Edit:
        return self.attempts[0]

    @property
    def edits(self) -> str:
        """The message it was to replace the text of; empty where it was sent as a new one."""
        return self.first.message_id if isinstance(self.first, Edit) else ""

    @property
    def outcome(self) -> Outcome:
        outcomes = {attempt.outcome for attempt in self.attempts}
        if "ok" in outcomes:
            return "ok"
        return "info" if "info" in outcomes else "fail"

    @cached_property
    def accepted(self) -> Send | Edit | None:
        """The attempt whose acknowledgement arrived first."""
        done = [attempt for attempt in self.attempts if attempt.outcome == "ok"]
        return min(done, key=ended) if done else None


@dataclass
class Socket:
    """One socket from its opening to its end, with what was shown on it in order."""

    opened: Opened
    closed_at: int = FOREVER
    shown: list[Saw] = field(default_factory=list)


def ended(operation: Operation) -> int:
    """When it was surely over; never, for what was not answered."""
    return operation.ret or FOREVER


class Evidence:
    """All operations of one history, and the views that rules share."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = list(operations)
        self._by_kind: dict[type[Operation], list[Operation]] = defaultdict(list)
        for operation in self.operations:
            self._by_kind[type(operation)].append(operation)

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Every operation of a kind, in order of beginning."""
        return self._by_kind[kind]  # type: ignore[return-value]

    # -- the stage ---------------------------------------------------------------------------

    @cached_property
    def converge(self) -> int:
        """Nanoseconds within which all screens have to agree after the last fault."""
        began = self.all(Began)
        return int((began[0].converge_seconds if began else 10.0) * SECOND)

    @cached_property
    def names(self) -> dict[str, str]:
        return {person.user: person.name for person in self.all(Person)}

    @cached_property
    def people(self) -> dict[str, frozenset[str]]:
        """The two people of each conversation."""
        return {meeting.conversation: frozenset(meeting.people) for meeting in self.all(Meeting)}

    def outsider(self, user: str, conversation: str) -> bool:
        return user not in self.people.get(conversation, frozenset())

    @cached_property
    def end(self) -> int:
        return max((max(operation.inv, operation.ret) for operation in self.operations), default=0)

    @cached_property
    def healed_at(self) -> int | None:
        healed = self.all(Healed)
        return healed[-1].ret if healed else None

    # -- bodies and messages -----------------------------------------------------------------

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """Body → where it comes from."""
        origins: dict[str, Origin] = {}
        for attempt in self._texts():
            origin = origins.get(attempt.body)
            if origin is None:
                origin = Origin(attempt.body, attempt.user, attempt.conversation)
                origins[attempt.body] = origin
            origin.attempts.append(attempt)
        return origins

    def _texts(self) -> Iterator[Send | Edit]:
        for operation in self.operations:
            if isinstance(operation, (Send, Edit)):
                yield operation

    @cached_property
    def sent(self) -> list[Origin]:
        """Every message that somebody tried to send, without the attempts that were a trick."""
        return [origin for origin in self.origins.values() if not origin.edits and not origin.first.trick]

    @cached_property
    def edits(self) -> dict[str, list[Edit]]:
        return _by_message(self.all(Edit))

    @cached_property
    def deletions(self) -> dict[str, list[Delete]]:
        return _by_message(self.all(Delete))

    @cached_property
    def original(self) -> dict[str, Origin]:
        """Message id → what was sent under it: by its acknowledgement, or as first seen."""
        original: dict[str, Origin] = {}
        for send in self.all(Send):
            if send.row is not None and not send.trick and not self._other_text(send, send.row):
                original.setdefault(send.row.id, self.origins[send.body])
        for sighting in self.sightings:
            origin = self.origins.get(sighting.row.body)
            if origin is not None and not origin.edits:
                original.setdefault(sighting.row.id, origin)
        return original

    def _other_text(self, send: Send, row: Row) -> bool:
        return row.body != send.body and (row.deleted or row.body in self.origins)

    def belongs(self, row: Row) -> bool:
        """Whether the text of a row is one that its message has ever been given."""
        origin = self.origins.get(row.body)
        if origin is None:
            return False
        return origin.edits == row.id if origin.edits else self.original[row.id] is origin

    @cached_property
    def straight(self) -> dict[str, list[Send]]:
        """Conversation → sends that were acknowledged at their first attempt, by beginning."""
        straight: dict[str, list[Send]] = defaultdict(list)
        for origin in self.sent:
            if isinstance(origin.first, Send) and origin.first.outcome == "ok":
                straight[origin.conversation].append(origin.first)
        return straight

    # -- sightings ---------------------------------------------------------------------------

    @cached_property
    def sightings(self) -> list[Sighting]:
        """Every row that anybody was ever shown, in order of beginning."""
        return list(self._sightings())

    def _sightings(self) -> Iterator[Sighting]:
        for op in self.operations:
            if isinstance(op, Saw):
                yield from (Sighting(op, op.conversation, row, op.source) for row in op.rows)
            elif isinstance(op, Holds) and op.fresh:
                yield from (Sighting(op, op.conversation, row, "final") for row in op.rows)
            elif isinstance(op, (Send, Edit, Delete)) and op.row is not None:
                yield Sighting(op, op.conversation, op.row, "ack")

    # -- the end -----------------------------------------------------------------------------

    @cached_property
    def finals(self) -> dict[str, list[Holds]]:
        """Conversation → what each fresh device read of it at the end."""
        finals: dict[str, list[Holds]] = defaultdict(list)
        for holds in self.all(Holds):
            if holds.fresh:
                finals[holds.conversation].append(holds)
        return finals

    @cached_property
    def truth(self) -> dict[str, dict[int, Row]]:
        """Conversation → seq → row, as the first fresh device read it."""
        return {conversation: {row.seq: row for row in holds[0].rows} for conversation, holds in self.finals.items()}

    @cached_property
    def by_id(self) -> dict[str, dict[str, Row]]:
        """Conversation → message id → row at the end."""
        return {conversation: {row.id: row for row in rows.values()} for conversation, rows in self.truth.items()}

    @cached_property
    def changed(self) -> dict[str, tuple[list[int], list[Row]]]:
        """Conversation → rows at the end by the place of their last change."""
        changed = {}
        for conversation, rows in self.truth.items():
            ordered = sorted(rows.values(), key=lambda row: row.change_seq)
            changed[conversation] = ([row.change_seq for row in ordered], ordered)
        return changed

    def changed_between(self, conversation: str, after: int, up_to: int) -> list[Row]:
        """Rows whose last change lies in (after, up_to]."""
        places, rows = self.changed.get(conversation, ([], []))
        return rows[bisect_right(places, after) : bisect_right(places, up_to)]

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        """(conversation, body or sender and cmid) → seq, for what nobody acknowledged."""
        places: dict[tuple[str, str], int] = {}
        for sighting in self.sightings:
            row = sighting.row
            places.setdefault((sighting.conversation, row.body), row.seq)
            if row.cmid is not None:
                places.setdefault((sighting.conversation, f"{row.sender} {row.cmid}"), row.seq)
        return places

    def place(self, origin: Origin) -> int | None:
        """The seq that a sent body got, if anybody ever learned it."""
        accepted = origin.accepted
        if isinstance(accepted, Send) and accepted.row is not None:
            return accepted.row.seq
        by_body = self._places.get((origin.conversation, origin.body))
        if by_body is not None or not isinstance(origin.first, Send):
            return by_body
        return self._places.get((origin.conversation, f"{origin.user} {origin.first.cmid}"))

    # -- sockets and faults --------------------------------------------------------------------

    @cached_property
    def sockets(self) -> dict[int, Socket]:
        """Every socket that got as far as being ready."""
        sockets: dict[int, Socket] = {}
        for opened in self.all(Opened):
            sockets[opened.link] = Socket(opened)
        for closed in self.all(Closed):
            if closed.link in sockets:
                sockets[closed.link].closed_at = closed.inv
        for saw in sorted(self.all(Saw), key=lambda saw: saw.n):
            if saw.link in sockets:
                sockets[saw.link].shown.append(saw)
        return sockets

    @cached_property
    def sends_on(self) -> dict[tuple[int, str], list[Origin]]:
        """(socket, conversation) → what was sent through it, whatever came of it."""
        through: dict[tuple[int, str], list[Origin]] = defaultdict(list)
        for origin in self.origins.values():
            for attempt in origin.attempts:
                if attempt.link and isinstance(attempt, Send):
                    through[(attempt.link, attempt.conversation)].append(origin)
        return through

    @cached_property
    def _faults(self) -> list[Fault]:
        return sorted(self.all(Fault), key=lambda fault: fault.inv)

    def calm_after(self, moment: int) -> int:
        """When what happened at a moment has to be known everywhere: the bound after its faults."""
        deadline = moment + self.converge
        faults = self._faults
        for fault in faults[bisect_left(faults, moment - 3600 * SECOND, key=lambda f: f.inv) :]:
            if fault.inv > deadline:
                break
            deadline = max(deadline, ended(fault) + self.converge)
        return deadline


def _by_message(changes: Iterable[Kind]) -> dict[str, list[Kind]]:
    grouped: dict[str, list[Kind]] = defaultdict(list)
    for change in changes:
        grouped[change.message_id].append(change)  # type: ignore[attr-defined]
    return grouped


def accepted(changes: Iterable[Kind]) -> list[Kind]:
    """Those that were answered yes."""
    return [change for change in changes if isinstance(change, Change) and change.outcome == "ok"]
