"""One total order per conversation: dense, never reused, and true to time and cause."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable

from doran.verify.evidence import Evidence, Origin, ended
from doran.verify.history import Operation, Row, Saw, Send
from doran.verify.rules.rule import Finding, Findings, rule


@rule("DIVERGENT-order", "A seq means one message to everyone, for ever; a message has one seq.")
def divergent_order(evidence: Evidence) -> Findings:
    yield from _two_values(
        "seq {1} means two messages",
        (((s.conversation, s.row.seq), s.row.id, s.op) for s in evidence.sightings),
    )
    yield from _two_values(
        "message {0} has two seqs",
        (((s.row.id, s.conversation), s.row.seq, s.op) for s in evidence.sightings),
    )


@rule("DIVERGENT-state", "A message at one change_seq looks the same to everyone.")
def divergent_state(evidence: Evidence) -> Findings:
    yield from _two_values(
        "message {0} has two states at change {1}",
        (((s.row.id, s.row.change_seq), (s.row.body, s.row.deleted), s.op) for s in evidence.sightings),
    )


@rule("DIVERGENT-final", "At the end both people read the same conversation.", needs_end=True)
def divergent_final(evidence: Evidence) -> Findings:
    for holds in evidence.finals.values():
        first = {row.seq: _face(row) for row in holds[0].rows}
        for other in holds[1:]:
            if {row.seq: _face(row) for row in other.rows} != first:
                yield "two fresh readings differ", (holds[0], other)


@rule("HOLE", "Seqs are dense: 1, 2, 3 to the last.", needs_end=True)
def hole(evidence: Evidence) -> Findings:
    for conversation, rows in evidence.truth.items():
        missing = set(range(1, max(rows, default=0) + 1)) - set(rows)
        if missing:
            yield f"no message at {_some(missing)}", tuple(evidence.finals[conversation])


@rule("REALTIME-order", "What was sent after another message was acknowledged comes after it.")
def realtime_order(evidence: Evidence) -> Findings:
    for origins in _by_conversation(evidence).values():
        placed = [(origin, place) for origin in origins if (place := evidence.place(origin))]
        yield from _overtaken(placed)


def _overtaken(placed: list[tuple[Origin, int]]) -> Findings:
    """Sweep in time: the highest acknowledged seq so far must lie below every later beginning."""
    acks = sorted(
        (ended(origin.accepted), place, origin.accepted) for origin, place in placed if origin.accepted is not None
    )
    highest, latest, position = 0, None, 0
    for origin, place in sorted(placed, key=lambda pair: pair[0].first.inv):
        while position < len(acks) and acks[position][0] < origin.first.inv:
            if acks[position][1] > highest:
                highest, latest = acks[position][1], acks[position][2]
            position += 1
        if place < highest and latest is not None:
            yield f"seq {place} was sent after seq {highest} was there", (latest, origin.first)


@rule("CAUSAL-order", "What a device sends comes after everything it had seen.")
def causal_order(evidence: Evidence) -> Findings:
    first_sends = {id(origin.first): origin for origin in evidence.sent}
    highest: dict[tuple[str, str], tuple[int, Operation]] = {}
    for moment, operation, rows in _seen_and_said(evidence):
        key = (operation.device, operation.conversation)
        if rows is None:
            origin = first_sends.get(id(operation))
            place = None if origin is None else evidence.place(origin)
            seen = highest.get(key)
            if place is not None and seen is not None and place <= seen[0]:
                yield f"seq {place} was sent when {seen[0]} had been seen", (seen[1], operation)
        elif rows:
            top = max(row.seq for row in rows)
            if top > highest.get(key, (0, operation))[0]:
                highest[key] = (top, operation)
        del moment


def _seen_and_said(
    evidence: Evidence,
) -> list[tuple[int, Send | Saw, tuple[Row, ...] | None]]:
    """Sends at their beginning and sightings at their end, in time; at a tie the send is first."""
    events: list[tuple[int, Send | Saw, tuple[Row, ...] | None]] = []
    events += [(send.inv, send, None) for send in evidence.all(Send)]
    events += [(saw.ret, saw, saw.rows) for saw in evidence.all(Saw)]
    return sorted(events, key=lambda event: (event[0], event[2] is not None, event[1].n))


@rule("LIVE-order", "Messages reach a socket in the order of their seq.")
def live_order(evidence: Evidence) -> Findings:
    for socket in evidence.sockets.values():
        highest: dict[str, tuple[int, Saw]] = {}
        for saw in socket.shown:
            if saw.frame != "chat_message" or not saw.rows:
                continue
            before = highest.get(saw.conversation)
            if before is not None and saw.rows[0].seq < before[0]:
                yield f"seq {saw.rows[0].seq} came after seq {before[0]}", (before[1], saw)
            else:
                highest[saw.conversation] = (saw.rows[0].seq, saw)


def _by_conversation(evidence: Evidence) -> dict[str, list[Origin]]:
    grouped: dict[str, list[Origin]] = defaultdict(list)
    for origin in evidence.sent:
        grouped[origin.conversation].append(origin)
    return grouped


def _two_values(says: str, triples: Iterable[tuple[tuple[Hashable, ...], Hashable, Operation]]) -> Findings:
    """A key must always come with the same value; report each key once."""
    first: dict[Hashable, tuple[Hashable, Operation]] = {}
    reported: set[Hashable] = set()
    for key, value, operation in triples:
        known = first.setdefault(key, (value, operation))
        if known[0] != value and key not in reported:
            reported.add(key)
            finding: Finding = (says.format(*key), (known[1], operation))
            yield finding


def _face(row: Row) -> tuple[str, str, str, bool]:
    return row.id, row.sender, row.body, row.deleted


def _some(numbers: set[int]) -> str:
    shown = ", ".join(str(number) for number in sorted(numbers)[:5])
    return shown + (", …" if len(numbers) > 5 else "")
