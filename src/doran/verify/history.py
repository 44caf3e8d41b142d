"""The history: everything that people asked, were told and saw, one JSON object per line.

Times are nanoseconds on the harness's one monotonic clock. An operation that changes something is
written twice: when it begins (so that a harness that dies has still confessed to it) and when it
ends; the later line with the same number replaces the earlier. Every body is globally unique, so
that any sighting anywhere leads back to the one operation that could have caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import msgspec

Outcome = Literal["ok", "fail", "info"]
"""`ok`: answered yes. `fail`: refused, so it must never be seen. `info`: nobody knows."""

Level = Literal["read", "delivered"]


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message as it was shown to somebody."""

    seq: int
    id: str
    sender: str
    body: str
    deleted: bool = False
    change_seq: int = 0
    cmid: str | None = None
    elsewhere: str = ""
    """The conversation that the row itself names, where that is not the one it was shown in."""


class Operation(msgspec.Struct, tag_field="op", kw_only=True, omit_defaults=True):
    """Base of all lines. `inv` and `ret` bracket the moment at which it took effect."""

    n: int = 0
    inv: int = 0
    ret: int = 0
    user: str = ""
    device: str = ""
    link: int = 0
    """Number of the socket it went through; 0 means REST."""


class Began(Operation, tag="began", kw_only=True, omit_defaults=True):
    """The first line: what this history is about, and the bounds it will be judged by."""

    seed: int
    command: str = ""
    converge_seconds: float = 10.0


class Person(Operation, tag="person", kw_only=True, omit_defaults=True):
    name: str


class Meeting(Operation, tag="meeting", kw_only=True, omit_defaults=True):
    """A conversation exists; only these two people may ever learn anything of it."""

    conversation: str
    people: tuple[str, str]


class Opened(Operation, tag="opened", kw_only=True, omit_defaults=True):
    """A socket was opened (`room` is empty for the door to everything of mine)."""

    room: str = ""
    epoch: str = ""


class Closed(Operation, tag="closed", kw_only=True, omit_defaults=True):
    """A socket ended, by whom and why: `code` 0 means that the connection broke."""

    room: str = ""
    code: int = 0
    by: Literal["server", "device"] = "server"


class Change(Operation, kw_only=True, omit_defaults=True):
    """Base of what changes something; `trick` names what is wrong with it on purpose."""

    conversation: str
    outcome: Outcome = "info"
    code: str = ""
    trick: str = ""


class Send(Change, tag="send", kw_only=True, omit_defaults=True):
    cmid: str
    body: str
    row: Row | None = None


class Edit(Change, tag="edit", kw_only=True, omit_defaults=True):
    message_id: str
    body: str
    row: Row | None = None


class Delete(Change, tag="delete", kw_only=True, omit_defaults=True):
    message_id: str
    row: Row | None = None


class Mark(Change, tag="mark", kw_only=True, omit_defaults=True):
    """A claim: everything up to `up_to` was read (or delivered). `reached` is the answer."""

    level: Level
    up_to: int
    reached: int | None = None


class Saw(Operation, tag="saw", kw_only=True, omit_defaults=True):
    """Messages were shown: by which source, asked with what, and with which claims about the rest.

    Sources: `live` (a frame nobody asked for), `history` (on opening a conversation's socket),
    `page`, `newest` (inside a conversation), `changes`, `sync`.
    """

    conversation: str
    source: str
    rows: tuple[Row, ...] = ()
    frame: str = ""
    since: int | None = None
    next_since: int | None = None
    more: bool = False
    reset: bool = False
    last_seq: int | None = None
    epoch: str = ""


class Looked(Operation, tag="looked", kw_only=True, omit_defaults=True):
    """Somebody's marks were shown; `unread` and `last_seq` only with one's own."""

    conversation: str
    source: str
    whose: str
    read: int | None = None
    delivered: int | None = None
    unread: int | None = None
    last_seq: int | None = None


class Pried(Operation, tag="pried", kw_only=True, omit_defaults=True):
    """An outsider asked for what is not theirs; `ok` means that they got something."""

    conversation: str
    what: str
    outcome: Outcome = "info"


class Garbled(Operation, tag="garbled", kw_only=True, omit_defaults=True):
    """An answer or a frame did not have the shape of the contract."""

    what: str


class Fault(Operation, tag="fault", kw_only=True, omit_defaults=True):
    """The nemesis did this between `inv` and `ret`, when the server served again."""

    name: str
    detail: str = ""


class Healed(Operation, tag="healed", kw_only=True, omit_defaults=True):
    """The last fault is over; from here the bound for agreement counts."""


class Holds(Operation, tag="holds", kw_only=True, omit_defaults=True):
    """All that a device holds of a conversation at the end; a `fresh` device read it all anew."""

    conversation: str
    rows: tuple[Row, ...] = ()
    fresh: bool = False


class Spilled(Operation, tag="spilled", kw_only=True, omit_defaults=True):
    """Something private stood in a place outside the conversation (a log, a metric, a trace)."""

    where: str
    what: str
    place: str = ""


class Heard(Operation, tag="heard", kw_only=True, omit_defaults=True):
    """One integration event, in the order in which the stream delivered it."""

    event_id: str
    event_type: str
    conversation: str
    message_id: str = ""
    seq: int = 0


KINDS: tuple[type[Operation], ...] = (
    Began,
    Person,
    Meeting,
    Opened,
    Closed,
    Send,
    Edit,
    Delete,
    Mark,
    Saw,
    Looked,
    Pried,
    Garbled,
    Fault,
    Healed,
    Holds,
    Spilled,
    Heard,
)
_AnyOperation = (
    Began
    | Person
    | Meeting
    | Opened
    | Closed
    | Send
    | Edit
    | Delete
    | Mark
    | Saw
    | Looked
    | Pried
    | Garbled
    | Fault
    | Healed
    | Holds
    | Spilled
    | Heard
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_AnyOperation)

AnyOp = TypeVar("AnyOp", bound=Operation)


class BadHistory(ValueError):
    """A line of the file is not an operation; the message says which line and why."""


class Recorder:
    """Numbers operations, stamps them with the clock, keeps them and writes each line at once."""

    def __init__(self, clock: Callable[[], int], file: Path | None = None) -> None:
        self.clock = clock
        self.operations: dict[int, Operation] = {}
        self._file: IO[bytes] | None = None if file is None else file.open("wb", buffering=0)
        self.links = count(1)
        self._count = 0

    def begin(self, operation: AnyOp) -> AnyOp:
        """The operation is about to be asked: write it down with an open end."""
        self._count += 1
        operation.n, operation.inv, operation.ret = self._count, self.clock(), 0
        return self._write(operation)

    def end(self, operation: AnyOp) -> AnyOp:
        """It is over, whatever came of it."""
        operation.ret = self.clock()
        return self._write(operation)

    def note(self, operation: AnyOp, *, inv: int | None = None) -> AnyOp:
        """Something that needs only one line; it began now unless `inv` says otherwise."""
        self._count += 1
        operation.n, operation.ret = self._count, self.clock()
        operation.inv = operation.ret if inv is None else inv
        return self._write(operation)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, operation: AnyOp) -> AnyOp:
        self.operations[operation.n] = operation
        if self._file is not None:
            self._file.write(_encoder.encode(operation) + b"\n")
        return operation


def read(file: Path) -> list[Operation]:
    """The operations of a recorded history, each in its last state. Raises `BadHistory`, OSError."""
    latest: dict[int, Operation] = {}
    for operation in _lines(file):
        latest[operation.n] = operation
    return in_order(latest.values())


def in_order(operations: Iterable[Operation]) -> list[Operation]:
    """Sorted by when each began."""
    return sorted(operations, key=lambda operation: (operation.inv, operation.n))


def _lines(file: Path) -> Iterator[Operation]:
    lines = file.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            yield _decoder.decode(line)
        except msgspec.DecodeError as wrong:
            if number == len(lines):
                return  # the harness died while it wrote its last line
            raise BadHistory(f"line {number} of {file.name}: {wrong}") from None
