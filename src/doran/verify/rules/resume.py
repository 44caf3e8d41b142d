"""Resume is complete or says reset; what is shown live has no gap and nothing twice."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import NamedTuple

from doran.verify.evidence import SECOND, Evidence, Origin, Socket, ended
from doran.verify.history import (
    Closed,
    Delete,
    Edit,
    Fault,
    Healed,
    Holds,
    Opened,
    Operation,
    Row,
    Saw,
    Send,
)
from doran.verify.rules.order import _face, _some
from doran.verify.rules.rule import Findings, rule

RESTARTING = 1012
"""The close code of a server that goes and comes back."""


@rule("GAP", "No answer and no socket leaves a message out of its middle.")
def gap(evidence: Evidence) -> Findings:
    for saw in evidence.all(Saw):
        if saw.since is not None and not saw.reset:
            yield from _left_out(evidence, saw, saw.since)
        elif saw.source in ("page", "newest", "history", "sync") and saw.rows:
            yield from _torn(saw)
    for socket in evidence.sockets.values():
        for conversation, shown in _by_conversation(socket).items():
            yield from _skipped(evidence, socket, conversation, shown)


def _left_out(evidence: Evidence, saw: Saw, since: int) -> Findings:
    """What ended up changed in (since, next_since] must have been in the answer."""
    up_to = saw.next_since if saw.next_since is not None else since
    shown = {row.id for row in saw.rows}
    expected = evidence.changed_between(saw.conversation, since, up_to)
    missing = {row.seq for row in expected if row.id not in shown}
    if missing:
        yield f"the answer to since={since} lacks seq {_some(missing)}", (saw,)


def _torn(saw: Saw) -> Findings:
    seqs = {row.seq for row in saw.rows}
    missing = set(range(min(seqs), max(seqs) + 1)) - seqs
    if missing:
        yield f"a {saw.source} lacks seq {_some(missing)}", (saw,)
    if saw.last_seq is not None and max(seqs) < saw.last_seq:
        yield f"a {saw.source} ends at {max(seqs)} of {saw.last_seq}", (saw,)


def _skipped(evidence: Evidence, socket: Socket, conversation: str, shown: list[Saw]) -> Findings:
    """Between the first and the last live message of a socket nothing may be left out."""
    live = [saw.rows[0].seq for saw in shown if saw.frame == "chat_message" and saw.rows]
    if not live:
        return
    history = next((saw.last_seq for saw in shown if saw.source == "history"), None)
    start = min(live) if history is None else history + 1
    seen = {row.seq for saw in shown for row in saw.rows if saw.source in ("live", "history")}
    seen |= _own(evidence, socket, conversation)
    missing = set(range(start, max(live) + 1)) - seen
    if missing:
        yield f"a socket skipped seq {_some(missing)}", (socket.opened, shown[-1])


def _own(evidence: Evidence, socket: Socket, conversation: str) -> set[int]:
    """Seqs of what was sent through this socket: it gets an ack instead of the message."""
    sent = evidence.sends_on.get((socket.opened.link, conversation), [])
    return {place for origin in sent if (place := evidence.place(origin)) is not None}


@rule("REDELIVERED", "Nothing is shown twice: not by a resume, not by a socket, not as an echo.")
def redelivered(evidence: Evidence) -> Findings:
    for saw in evidence.all(Saw):
        if saw.source == "live":
            continue
        if len({row.id for row in saw.rows}) < len(saw.rows):
            yield f"a {saw.source} shows a message twice", (saw,)
        if saw.since is not None and not saw.reset:
            old = {row.seq for row in saw.rows if row.change_seq <= saw.since}
            if old:
                yield f"the answer to since={saw.since} repeats seq {_some(old)}", (saw,)
    for socket in evidence.sockets.values():
        for conversation, shown in _by_conversation(socket).items():
            yield from _shown_again(evidence, socket, conversation, shown)


def _shown_again(evidence: Evidence, socket: Socket, conversation: str, shown: list[Saw]) -> Findings:
    echoes = _sent_once(evidence, socket, conversation)
    seen: dict[int, Saw] = {}
    for saw in shown:
        if saw.source == "history":
            seen |= {row.seq: saw for row in saw.rows}
        elif saw.frame == "chat_message" and saw.rows:
            seq = saw.rows[0].seq
            if seq in seen:
                yield f"a socket showed seq {seq} twice", (seen[seq], saw)
            elif saw.rows[0].id in echoes:
                yield (
                    f"seq {seq} was echoed to the socket that sent it",
                    (
                        echoes[saw.rows[0].id],
                        saw,
                    ),
                )
            seen[seq] = saw


def _sent_once(evidence: Evidence, socket: Socket, conversation: str) -> dict[str, Operation]:
    """Messages sent through this socket and never retried: only their ack belongs here."""
    sent = evidence.sends_on.get((socket.opened.link, conversation), [])
    return {row.id: origin.first for origin in sent if (row := _only_ack(origin)) is not None}


def _only_ack(origin: Origin) -> Row | None:
    return origin.first.row if len(origin.attempts) == 1 else None


@rule("CHANGE-order", "Changes come in the order in which they happened.")
def change_order(evidence: Evidence) -> Findings:
    for saw in evidence.all(Saw):
        if saw.since is None:
            continue
        places = [row.change_seq for row in saw.rows]
        if places != sorted(places):
            yield f"the answer to since={saw.since} is out of order", (saw,)
        if places and saw.next_since is not None and saw.next_since < places[-1]:
            yield f"next_since {saw.next_since} lies before what was shown", (saw,)


@rule("NOT-CAUGHT-UP", "After the last fault every screen agrees within the bound.")
def not_caught_up(evidence: Evidence) -> Findings:
    for holds in evidence.all(Holds):
        if not holds.fresh:
            yield from _too_late(evidence, holds)
        if not holds.fresh and holds.conversation in evidence.truth:
            yield from _unlike(evidence, holds)
    for link, socket in evidence.sockets.items():
        yield from _silent(evidence, link, socket)


def _too_late(evidence: Evidence, holds: Holds) -> Findings:
    healed = evidence.healed_at
    if healed is not None and holds.ret > healed + evidence.converge:
        late = (holds.ret - healed) / SECOND
        yield f"a device agreed only after {late:.1f} s", (holds, *evidence.all(Healed)[-1:])


def _unlike(evidence: Evidence, holds: Holds) -> Findings:
    held = {row.seq: _face(row) for row in holds.rows}
    truth = {seq: _face(row) for seq, row in evidence.truth[holds.conversation].items()}
    wrong = {seq for seq in held.keys() | truth.keys() if held.get(seq) != truth.get(seq)}
    if wrong:
        final = evidence.finals[holds.conversation][0]
        yield f"a device is wrong about seq {_some(wrong)}", (holds, final)


def _silent(evidence: Evidence, link: int, socket: Socket) -> Findings:
    """A socket that stayed open past the bound must have shown what others committed meanwhile."""
    shown = {(saw.conversation, row.id) for saw in socket.shown for row in saw.rows}
    until = min(socket.closed_at, evidence.end)
    for send in _committed_while(evidence, socket, until):
        if send.row is None or (send.conversation, send.row.id) in shown:
            continue
        if evidence.calm_after(ended(send)) < until and _only_elsewhere(evidence, send, link):
            yield f"an open socket never showed seq {send.row.seq}", (send, socket.opened)


def _committed_while(evidence: Evidence, socket: Socket, until: int) -> Iterator[Send]:
    """First sends, acknowledged at their first attempt, that began while the socket was open."""
    for conversation, sends in evidence.straight.items():
        if not _concerns(evidence, socket, conversation):
            continue
        start = bisect_right(sends, socket.opened.ret, key=lambda send: send.inv)
        yield from takewhile(lambda send: send.inv < until, islice(sends, start, None))


def _concerns(evidence: Evidence, socket: Socket, conversation: str) -> bool:
    if socket.opened.room:
        return socket.opened.room == conversation
    return not evidence.outsider(socket.opened.user, conversation)


def _only_elsewhere(evidence: Evidence, send: Send, link: int) -> bool:
    """Whether no attempt went through this socket, which would have got an ack instead."""
    return all(attempt.link != link for attempt in evidence.origins[send.body].attempts)


@rule("STALE-read", "A read shows all that its reader changed or had seen before.")
def stale_read(evidence: Evidence) -> Findings:
    mine: dict[tuple[str, str], _Known] = defaultdict(_Known)
    device: dict[tuple[str, str], _Known] = defaultdict(_Known)
    for step in sorted(_steps(evidence), key=lambda step: (step.moment, step.asked is None, step.op.n)):
        by_person = mine[(step.op.user, step.conversation)]
        by_device = device[(step.op.device, step.conversation)]
        if step.asked is not None:
            yield from by_person.contradicted_by(step.asked)
            yield from by_device.contradicted_by(step.asked)
        else:
            by_device.learn(step.op, step.rows)
            if not isinstance(step.op, Saw):
                by_person.learn(step.op, step.rows)


class _Known:
    """What a reader must be shown at least: the last seq, and each message's newest change."""

    def __init__(self) -> None:
        self.last: tuple[int, Operation] | None = None
        self.change: tuple[int, Operation] | None = None
        self.changes: dict[str, tuple[int, Operation]] = {}

    def learn(self, operation: Operation, rows: tuple[Row, ...]) -> None:
        for row in rows:
            self.last = _higher(self.last, row.seq, operation)
            self.change = _higher(self.change, row.change_seq, operation)
            self.changes[row.id] = _higher(self.changes.get(row.id), row.change_seq, operation)

    def contradicted_by(self, saw: Saw) -> Findings:
        if saw.last_seq is not None and self.last is not None and saw.last_seq < self.last[0]:
            yield f"a {saw.source} knows seq {saw.last_seq} of {self.last[0]}", (self.last[1], saw)
        up_to = saw.next_since
        if up_to is not None and not saw.more and self.change and up_to < self.change[0]:
            yield f"a {saw.source} knows change {up_to} of {self.change[0]}", (self.change[1], saw)
        for row in saw.rows:
            known = self.changes.get(row.id)
            if known is not None and row.change_seq < known[0]:
                yield f"a {saw.source} shows an old state of seq {row.seq}", (known[1], saw)


def _higher(known: tuple[int, Operation] | None, value: int, operation: Operation) -> tuple[int, Operation]:
    return (value, operation) if known is None or value > known[0] else known


class _Step(NamedTuple):
    """A question at its beginning (`asked`), or knowledge at its arrival; at a tie questions first."""

    moment: int
    op: Operation
    conversation: str
    rows: tuple[Row, ...] = ()
    asked: Saw | None = None


def _steps(evidence: Evidence) -> Iterator[_Step]:
    for saw in evidence.all(Saw):
        yield _Step(saw.ret, saw, saw.conversation, saw.rows)
        if saw.source != "live" and not saw.reset:
            yield _Step(saw.inv, saw, saw.conversation, asked=saw)
    changes: list[Send | Edit | Delete] = [*evidence.all(Send), *evidence.all(Edit), *evidence.all(Delete)]
    for change in changes:
        if change.outcome == "ok" and change.row is not None:
            yield _Step(ended(change), change, change.conversation, (change.row,))


@rule("EPOCH-moved", "The timeline keeps its identity, and a mark it gave out stays valid.")
def epoch_moved(evidence: Evidence) -> Findings:
    if any(fault.name == "restore" for fault in evidence.all(Fault)):
        return
    first: Operation | None = None
    for operation in evidence.operations:
        if not isinstance(operation, (Opened, Saw)):
            continue
        if isinstance(operation, Saw) and operation.reset:
            yield "a mark of this timeline was answered with reset", (operation,)
        if operation.epoch and first is None:
            first = operation
        elif operation.epoch and operation.epoch != getattr(first, "epoch", ""):
            yield "the epoch changed without a restore", (first or operation, operation)


@rule("CLOSE-code", "A server that is told to stop says so (1012) to every socket it closes.")
def close_code(evidence: Evidence) -> Findings:
    restarts = [fault for fault in evidence.all(Fault) if fault.name == "restart"]
    for closed in evidence.all(Closed):
        during = [fault for fault in restarts if fault.inv <= closed.inv <= ended(fault)]
        if during and closed.by == "server" and closed.code != RESTARTING:
            yield f"a socket was closed with {closed.code} by a restart", (during[0], closed)


def _by_conversation(socket: Socket) -> dict[str, list[Saw]]:
    grouped: dict[str, list[Saw]] = defaultdict(list)
    for saw in socket.shown:
        grouped[saw.conversation].append(saw)
    return grouped
