"""Edits and deletions: an accepted one stays, and a deleted text is never served again."""

from __future__ import annotations

from doran.verify.evidence import SECOND, Evidence, accepted, ended
from doran.verify.history import Delete, Edit, Row
from doran.verify.rules.rule import Findings, rule

LIVE_GRACE = 5 * SECOND
"""A frame may have been on its way when the deletion was acknowledged; a read may not."""


@rule("EDIT-lost", "An accepted edit stands until a later one.", needs_end=True)
def edit_lost(evidence: Evidence) -> Findings:
    for edit in accepted(evidence.all(Edit)):
        row = evidence.by_id.get(edit.conversation, {}).get(edit.message_id)
        if row is not None and not row.deleted and _undone(evidence, edit, row):
            yield f"an edit of message {row.id} is gone", (edit, *evidence.finals[edit.conversation])


def _undone(evidence: Evidence, edit: Edit, row: Row) -> bool:
    if row.body == edit.body:
        return False
    if edit.row is not None and row.change_seq < edit.row.change_seq:
        return True
    origin = evidence.origins.get(row.body)
    if origin is None:
        return False  # CORRUPT-body says what is wrong here
    standing = origin.first
    return not isinstance(standing, Edit) or _surely_before(standing, edit)


def _surely_before(one: Edit, other: Edit) -> bool:
    if one.outcome != "ok":
        return False  # it may have taken effect at any time since
    if one.row is not None and other.row is not None:
        return one.row.change_seq < other.row.change_seq
    return ended(one) < other.inv


@rule("UNDELETED", "A deleted message stays deleted.", needs_end=True)
def undeleted(evidence: Evidence) -> Findings:
    for deletion in accepted(evidence.all(Delete)):
        row = evidence.by_id.get(deletion.conversation, {}).get(deletion.message_id)
        if row is not None and not row.deleted:
            finals = evidence.finals[deletion.conversation]
            yield f"message {row.id} is back", (deletion, *finals)


@rule("DELETED-body-served", "A deleted text is never served by anything that began afterwards.")
def deleted_body_served(evidence: Evidence) -> Findings:
    first: dict[str, Delete] = {}
    for deletion in sorted(accepted(evidence.all(Delete)), key=ended):
        first.setdefault(deletion.message_id, deletion)
    for sighting in evidence.sightings:
        row, done = sighting.row, first.get(sighting.row.id)
        if row.deleted and row.body:
            yield f"the tombstone of message {row.id} has a text", (sighting.op,)
        if done is None or not row.body or row.deleted:
            continue
        grace = 0 if sighting.asked else LIVE_GRACE
        if sighting.op.inv > ended(done) + grace:
            yield f"the text of deleted message {row.id} was served", (done, sighting.op)


@rule("FOREIGN-change", "Only the author edits or deletes for everyone.")
def foreign_change(evidence: Evidence) -> Findings:
    for kind in (Edit, Delete):
        for change in accepted(evidence.all(kind)):
            if change.trick:
                yield f"somebody else's {kind.__name__.lower()} was accepted", (change,)
