"""What was acknowledged exists, once, as it was said; what was refused never existed."""

from __future__ import annotations

from collections import defaultdict

from doran.verify.evidence import Evidence, Origin
from doran.verify.history import Change, Delete, Edit, Garbled, Mark, Operation, Row, Send
from doran.verify.rules.rule import Findings, rule


@rule("LOST-ack", "A message that was acknowledged is there at the end.", needs_end=True)
def lost_ack(evidence: Evidence) -> Findings:
    for send in evidence.all(Send):
        if send.outcome != "ok" or send.trick or send.conversation not in evidence.by_id:
            continue
        if send.row is None or send.row.id not in evidence.by_id[send.conversation]:
            yield f"message {send.cmid} was acknowledged and is gone", (send,)
        elif _answers_another(evidence, send, send.row):
            yield f"message {send.cmid} was acknowledged with another message", (send,)


def _answers_another(evidence: Evidence, send: Send, row: Row) -> bool:
    original = evidence.original.get(row.id)
    return original is not None and original.body != send.body


@rule("DUPLICATE", "The same client_message_id is the same message, however often it is sent.")
def duplicate(evidence: Evidence) -> Findings:
    places: dict[str, dict[str, Operation]] = defaultdict(dict)
    for sighting in evidence.sightings:
        origin = evidence.origins.get(sighting.row.body)
        if origin is not None and not origin.edits:
            places[origin.body].setdefault(sighting.row.id, sighting.op)
    for body, seen in places.items():
        if len(seen) > 1 and not _two_homes(evidence, seen):
            cmid = getattr(evidence.origins[body].first, "cmid", "?")
            yield f"message {cmid} exists {len(seen)} times", tuple(seen.values())
    yield from _same_key_twice(evidence)


def _two_homes(evidence: Evidence, seen: dict[str, Operation]) -> bool:
    """One text under two ids that were both sent as something else: a wrong text, not a copy."""
    originals = {evidence.original[message].body for message in seen}
    return len(originals) == len(seen)


def _same_key_twice(evidence: Evidence) -> Findings:
    for conversation, rows in evidence.truth.items():
        ids: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in rows.values():
            if row.cmid is not None:
                ids[(row.sender, row.cmid)].add(row.id)
        for (_, cmid), messages in ids.items():
            if len(messages) > 1:
                yield f"{cmid} names {len(messages)} messages", _finals(evidence, conversation)


@rule("CMID-reused", "A used client_message_id with another text is refused, not answered.")
def cmid_reused(evidence: Evidence) -> Findings:
    for send in evidence.all(Send):
        if send.trick == "conflict" and send.outcome == "ok":
            yield f"{send.cmid} was taken again for another text", (send,)


@rule("ACK-lied-seq", "All answers to one message name the same id and seq, which are the true ones.")
def ack_lied(evidence: Evidence) -> Findings:
    for origin in evidence.sent:
        acks = [attempt for attempt in origin.attempts if attempt.outcome == "ok"]
        answers = {(ack.row.id, ack.row.seq) for ack in acks if ack.row is not None}
        if len(answers) > 1:
            yield f"{len(answers)} different answers to one message", tuple(acks)
        for ack in acks:
            if ack.row is not None:
                yield from _false_seq(evidence, ack, ack.row)


def _false_seq(evidence: Evidence, ack: Send | Edit, row: Row) -> Findings:
    kept = evidence.by_id.get(ack.conversation, {}).get(row.id)
    if kept is not None and kept.seq != row.seq:
        yield f"acknowledged as seq {row.seq}, stands at {kept.seq}", (ack,)


@rule("CORRUPT-body", "A message shows exactly a text that it was given, or none once deleted.")
def corrupt_body(evidence: Evidence) -> Findings:
    for sighting in evidence.sightings:
        row = sighting.row
        if row.deleted or row.id not in evidence.original or row.body in evidence.origins:
            continue
        yield f"message {row.id} shows a text nobody gave it", (sighting.op,)


@rule("PHANTOM", "Every message was sent by somebody.")
def phantom(evidence: Evidence) -> Findings:
    for sighting in evidence.sightings:
        row = sighting.row
        known = row.id in evidence.original or row.body in evidence.origins
        if not known and not row.deleted:
            yield f"message {row.id} was never sent", (sighting.op,)
        if row.deleted and not _maybe_deleted(evidence, row):
            yield f"message {row.id} is deleted and nobody deleted it", (sighting.op,)


def _maybe_deleted(evidence: Evidence, row: Row) -> bool:
    return any(deletion.outcome != "fail" for deletion in evidence.deletions.get(row.id, ()))


@rule("FORGED-author", "A message shows the author who sent it; nobody writes as another.")
def forged_author(evidence: Evidence) -> Findings:
    for sighting in evidence.sightings:
        origin = evidence.original.get(sighting.row.id)
        if origin is not None and sighting.row.sender != origin.user:
            yield f"message {sighting.row.id} shows another author", (sighting.op, origin.first)
    for origin in evidence.origins.values():
        if origin.outcome == "ok" and origin.first.trick in ("forged", "foreign"):
            yield f"a {origin.first.trick} {_what(origin)} was accepted", tuple(origin.attempts)


def _what(origin: Origin) -> str:
    return "edit" if origin.edits else "message"


@rule("FAILED-but-visible", "What was refused is never seen by anyone.")
def failed_but_visible(evidence: Evidence) -> Findings:
    for sighting in evidence.sightings:
        origin = evidence.origins.get(sighting.row.body)
        if origin is not None and origin.outcome == "fail":
            yield f"a refused {_what(origin)} is shown", (sighting.op, origin.first)


@rule("TIME-TRAVEL", "Nothing is seen before it was sent.")
def time_travel(evidence: Evidence) -> Findings:
    for sighting in evidence.sightings:
        origin = evidence.origins.get(sighting.row.body)
        if origin is not None and 0 < sighting.op.ret < origin.first.inv:
            yield "a text was seen before anybody wrote it", (sighting.op, origin.first)


FAIR = frozenset({"unreachable", "too_many_requests", "429"})
"""Refusals that an honest client has to expect at any time."""
TOO_LATE = frozenset({"message_deleted", "too_late"})
"""Refusals that an edit or a deletion has to expect, because others act meanwhile."""


@rule("REFUSED", "What an honest person asks for is not refused.")
def refused(evidence: Evidence) -> Findings:
    for kind, fair in ((Send, FAIR), (Mark, FAIR), (Edit, FAIR | TOO_LATE), (Delete, FAIR | TOO_LATE)):
        for change in evidence.all(kind):
            if _unfairly(change, fair):
                yield f"a {kind.__name__.lower()} was refused with {change.code}", (change,)


def _unfairly(change: Change, fair: frozenset[str]) -> bool:
    return change.outcome == "fail" and not change.trick and change.code not in fair


@rule("GARBLED", "Every answer and frame has the shape that the contract gives it.")
def garbled(evidence: Evidence) -> Findings:
    for wrong in evidence.all(Garbled):
        yield f"the shape is wrong: {wrong.what}", (wrong,)


def _finals(evidence: Evidence, conversation: str) -> tuple[Operation, ...]:
    return tuple(evidence.finals[conversation])
