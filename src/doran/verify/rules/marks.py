"""Read and delivered marks: claims of a client, kept when acknowledged, only ever forward."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from doran.verify.evidence import Evidence, accepted, ended
from doran.verify.history import Level, Looked, Mark, Operation
from doran.verify.rules.rule import Findings, rule

LEVELS: tuple[Level, ...] = ("delivered", "read")
Subject = tuple[str, str, Level]
"""A conversation, whose mark in it, and which one."""


class Claim(NamedTuple):
    """Somebody said at `moment` that the mark is at least (or may be) `value`."""

    moment: int
    value: int
    op: Operation


class Claims:
    """Claims in time, with the highest so far."""

    def __init__(self, claims: Iterable[Claim]) -> None:
        self._claims = list(accumulate(sorted(claims, key=lambda c: c[:2]), _higher))
        self._moments = [claim.moment for claim in self._claims]

    def before(self, moment: int) -> Claim | None:
        return self._at(bisect_left(self._moments, moment))

    def up_to(self, moment: int) -> Claim | None:
        return self._at(bisect_right(self._moments, moment))

    def _at(self, count: int) -> Claim | None:
        return self._claims[count - 1] if count else None


def _higher(best: Claim, new: Claim) -> Claim:
    return new if new.value > best.value else Claim(new.moment, best.value, best.op)


@rule("MARKER-phantom", "A mark is never above what somebody of that person claimed.")
def marker_phantom(evidence: Evidence) -> Findings:
    claims = _claims(evidence, begun=True)
    for subject, value, op in _values(evidence):
        claim = claims.get(subject, _NOTHING).up_to(ended(op))
        highest = claim.value if claim is not None else 0
        if value > highest:
            yield f"{subject[2]} up to {value}, claimed up to {highest}", (op,)


@rule("MARKER-lost", "A mark that was acknowledged is never shown lower again.")
def marker_lost(evidence: Evidence) -> Findings:
    claims = _claims(evidence, begun=False)
    for subject, value, op in _values(evidence):
        claim = None if _is_live(op) else claims.get(subject, _NOTHING).before(op.inv)
        if claim is not None and value < claim.value:
            yield f"{subject[2]} up to {value}, acknowledged up to {claim.value}", (claim.op, op)


@rule("MARKER-backwards", "A mark only moves forward for everyone who watches it.")
def marker_backwards(evidence: Evidence) -> Findings:
    watched: dict[tuple[str, Subject], list[tuple[int, Operation]]] = defaultdict(list)
    for subject, value, op in _values(evidence):
        watched[(op.device, subject)].append((value, op))
    for (_, subject), seen in watched.items():
        yield from _back(subject, seen)
    yield from _back_on_a_socket(evidence)


def _back(subject: Subject, seen: list[tuple[int, Operation]]) -> Findings:
    known = Claims(Claim(ended(op), value, op) for value, op in seen)
    for value, op in seen:
        before = None if _is_live(op) else known.before(op.inv)
        if before is not None and value < before.value:
            yield f"{subject[2]} went from {before.value} to {value}", (before.op, op)


def _back_on_a_socket(evidence: Evidence) -> Findings:
    highest: dict[tuple[int, Subject], tuple[int, Operation]] = {}
    for subject, value, op in sorted(_values(evidence), key=lambda item: item[2].n):
        if not _is_live(op):
            continue
        known = highest.get((op.link, subject))
        if known is not None and value < known[0]:
            yield f"{subject[2]} went from {known[0]} to {value} on a socket", (known[1], op)
        else:
            highest[(op.link, subject)] = (value, op)


@rule("READ-undelivered", "What is read is delivered.")
def read_undelivered(evidence: Evidence) -> Findings:
    for looked in evidence.all(Looked):
        if looked.read is not None and looked.read > (looked.delivered or 0) and looked.source != "live":
            yield f"read up to {looked.read}, delivered to {looked.delivered}", (looked,)


@rule("UNREAD-wrong", "Unread is what lies between my mark and the last message and is not deleted.", needs_end=True)
def unread_wrong(evidence: Evidence) -> Findings:
    for looked in evidence.all(Looked):
        if looked.unread is None or looked.last_seq is None or looked.read is None:
            continue
        most = max(0, looked.last_seq - looked.read)
        surely, perhaps = _deleted_after(evidence, looked)
        if not most - perhaps <= looked.unread <= most - surely:
            yield f"{looked.unread} unread where {most} lie after the mark, {surely} to {perhaps} deleted", (looked,)


def _deleted_after(evidence: Evidence, looked: Looked) -> tuple[int, int]:
    """Return how many messages after the mark were surely deleted when this was shown, and how many may have been."""
    rows = evidence.truth.get(looked.conversation, {})
    unread = [rows[seq] for seq in range((looked.read or 0) + 1, (looked.last_seq or 0) + 1) if seq in rows]
    deleted = [evidence.deletions.get(row.id, []) for row in unread if row.deleted]
    surely = 0 if _is_live(looked) else sum(any(ended(one) < looked.inv for one in accepted(each)) for each in deleted)
    return surely, sum(not each or min(one.inv for one in each) <= ended(looked) for each in deleted)


def _claims(evidence: Evidence, *, begun: bool) -> dict[Subject, Claims]:
    """Per subject what may have been claimed (`begun`), or what was surely acknowledged."""
    found: dict[Subject, list[Claim]] = defaultdict(list)
    for subject, claim in _marked(evidence, begun=begun):
        found[subject].append(claim)
    for subject, claim in _sent(evidence, begun=begun):
        found[subject].append(claim)
    return {subject: Claims(claims) for subject, claims in found.items()}


def _marked(evidence: Evidence, *, begun: bool) -> Iterator[tuple[Subject, Claim]]:
    for mark in evidence.all(Mark):
        if mark.outcome == "fail" or (mark.outcome == "info" and not begun):
            continue
        claim = Claim(mark.inv if begun else ended(mark), mark.up_to, mark)
        for level in _levels(mark.level):
            yield (mark.conversation, mark.user, level), claim


def _sent(evidence: Evidence, *, begun: bool) -> Iterator[tuple[Subject, Claim]]:
    """A send moves its author's own marks to itself."""
    for origin in evidence.sent:
        place, op = evidence.place(origin), origin.first if begun else origin.accepted
        if place is None or op is None:
            continue
        claim = Claim(op.inv if begun else ended(op), place, op)
        for level in LEVELS:
            yield (origin.conversation, origin.user, level), claim


def _levels(level: Level) -> tuple[Level, ...]:
    return LEVELS if level == "read" else ("delivered",)


def _values(evidence: Evidence) -> Iterator[tuple[Subject, int, Operation]]:
    for looked in evidence.all(Looked):
        for level in LEVELS:
            value = getattr(looked, level)
            if value is not None:
                yield (looked.conversation, looked.whose, level), value, looked
    for mark in evidence.all(Mark):
        if mark.reached is not None and mark.outcome == "ok":
            yield (mark.conversation, mark.user, mark.level), mark.reached, mark


def _is_live(op: Operation) -> bool:
    return isinstance(op, Looked) and op.source == "live"


_NOTHING = Claims(())
