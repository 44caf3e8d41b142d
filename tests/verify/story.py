"""A short, correct history told by hand: 민지 and 준호 talk, 소라 is the outsider."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from doran.verify.history import (
    Began,
    Delete,
    Edit,
    Healed,
    Heard,
    Holds,
    Looked,
    Mark,
    Meeting,
    Opened,
    Operation,
    Person,
    Pried,
    Row,
    Saw,
    Send,
)

MINJI, JUNHO, SORA = "minji", "junho", "sora"
HOME, OTHER = "home", "other"

Kind = TypeVar("Kind", bound=Operation)

FIRST = Row(seq=1, id="m1", sender=MINJI, body="t-1", change_seq=1, cmid="c1")
SECOND = Row(seq=2, id="m2", sender=JUNHO, body="t-2", change_seq=2, cmid="c2")
EDITED = Row(seq=1, id="m1", sender=MINJI, body="t-3", change_seq=3, cmid="c1")
GONE = Row(seq=2, id="m2", sender=JUNHO, body="", deleted=True, change_seq=4, cmid="c2")
THIRD = Row(seq=3, id="m3", sender=MINJI, body="t-4", change_seq=6, cmid="c3")
FINAL = (EDITED, GONE, THIRD)


class Story:
    """Operations in order, each a second long; `find` and `put` let a test spoil one of them."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        for operation in _plot():
            self.add(operation)

    def add(self, operation: Operation) -> None:
        """One more thing that happened, after everything else."""
        number = len(self.operations) + 1
        times = {"n": number, "inv": number * 10**9, "ret": number * 10**9 + 5 * 10**8}
        self.operations.append(_with(operation, **times))

    def find(self, kind: type[Kind], number: int = 0) -> Kind:
        return [operation for operation in self.operations if isinstance(operation, kind)][number]

    def put(self, operation: Operation, **changes: Any) -> None:
        """Replace one operation by the same with other facts."""
        self.operations[operation.n - 1] = _with(operation, **changes)

    def cut(self, operation: Operation) -> None:
        """It was never seen."""
        self.operations = [other for other in self.operations if other.n != operation.n]


def _plot() -> list[Operation]:
    at_minjis = {"user": MINJI, "device": "minji/phone", "conversation": HOME}
    at_junhos = {"user": JUNHO, "device": "junho/phone", "conversation": HOME}
    return [
        Began(seed=1, converge_seconds=8.0),
        *(Person(user=name, name=name) for name in (MINJI, JUNHO, SORA)),
        Meeting(conversation=HOME, people=(MINJI, JUNHO)),
        Meeting(conversation=OTHER, people=(JUNHO, SORA)),
        Opened(user=JUNHO, device="junho/phone", link=1, room=HOME, epoch="e"),
        Saw(**at_junhos, link=1, source="history", last_seq=0),
        Send(**at_minjis, cmid="c1", body="t-1", outcome="ok", row=FIRST),
        Saw(**at_junhos, link=1, source="live", frame="chat_message", rows=(FIRST,)),
        Send(**at_junhos, link=1, cmid="c2", body="t-2", outcome="ok", row=SECOND),
        Saw(**at_minjis, source="changes", since=1, next_since=2, rows=(SECOND,)),
        Edit(**at_minjis, message_id="m1", body="t-3", outcome="ok", row=EDITED),
        Delete(**at_junhos, message_id="m2", outcome="ok", row=GONE),
        Mark(**at_minjis, level="read", up_to=2, outcome="ok", reached=2),
        Looked(**at_junhos, source="newest", whose=MINJI, read=2, delivered=2),
        Send(**at_minjis, cmid="c3", body="t-4", outcome="ok", row=THIRD),
        Saw(**at_junhos, link=1, source="live", frame="chat_message", rows=(THIRD,)),
        Saw(**at_junhos, source="changes", since=0, next_since=6, rows=FINAL),
        Saw(**at_minjis, source="newest", rows=FINAL, last_seq=3),
        Looked(**at_junhos, source="newest", whose=JUNHO, read=2, delivered=2, unread=1, last_seq=3),
        Mark(**at_junhos, level="delivered", up_to=3, outcome="ok", reached=3),
        Pried(user=SORA, device="sora/phone", conversation=HOME, what="messages", outcome="fail"),
        Send(**at_minjis, cmid="c4", body="t-5", outcome="fail", code="too_many_requests"),
        Healed(),
        Holds(**at_minjis, rows=FINAL),
        Holds(user=MINJI, device="minji/fresh", conversation=HOME, rows=FINAL, fresh=True),
        Holds(user=JUNHO, device="junho/fresh", conversation=HOME, rows=FINAL, fresh=True),
        *(
            Heard(conversation=HOME, event_id=f"e{seq}", event_type="message.created", message_id=f"m{seq}", seq=seq)
            for seq in (1, 2, 3)
        ),
    ]


def _with(operation: Kind, **changes: Any) -> Kind:
    return msgspec.structs.replace(operation, **changes)


def row(known: Row, **changes: Any) -> Row:
    """The same row with other facts."""
    return msgspec.structs.replace(known, **changes)
