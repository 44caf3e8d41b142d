"""Nothing of a conversation reaches anyone but its two people, nor any place beside it."""

from __future__ import annotations

from collections import defaultdict

from doran.verify.evidence import Evidence
from doran.verify.history import Heard, Looked, Opened, Pried, Saw, Spilled
from doran.verify.rules.order import _some
from doran.verify.rules.rule import Findings, rule


@rule("LEAK-conv", "Only its two people are ever shown anything of a conversation.")
def leak_conversation(evidence: Evidence) -> Findings:
    for saw in evidence.all(Saw):
        if evidence.outsider(saw.user, saw.conversation):
            yield "an outsider was shown a conversation", (saw,)
    for sighting in evidence.sightings:
        if sighting.row.elsewhere:
            yield "a message was shown in another conversation", (sighting.op,)
    for pried in evidence.all(Pried):
        if pried.outcome == "ok":
            yield f"an outsider got an answer to {pried.what}", (pried,)
    for opened in evidence.all(Opened):
        if opened.room and evidence.outsider(opened.user, opened.room):
            yield "an outsider opened a conversation's socket", (opened,)


@rule("LEAK-body", "A text is shown in no conversation but its own.")
def leak_body(evidence: Evidence) -> Findings:
    for sighting in evidence.sightings:
        origin = evidence.origins.get(sighting.row.body)
        if origin is None:
            continue
        if origin.conversation != sighting.conversation:
            yield "a text of another conversation was shown", (sighting.op, origin.first)
        elif not evidence.belongs(sighting.row):
            yield "a text of another message was shown", (sighting.op, origin.first)


@rule("LEAK-marker", "Only its two people ever learn of the marks in a conversation.")
def leak_marker(evidence: Evidence) -> Findings:
    for looked in evidence.all(Looked):
        if evidence.outsider(looked.user, looked.conversation):
            yield "an outsider was shown a mark", (looked,)
        elif evidence.outsider(looked.whose, looked.conversation):
            yield "a mark of somebody else was shown", (looked,)


@rule("LEAK-side", "No log, metric, trace or event carries a text, a password or a token.")
def leak_side(evidence: Evidence) -> Findings:
    for spilled in evidence.all(Spilled):
        yield f"{spilled.what} stands in {spilled.where} {spilled.place}".rstrip(), (spilled,)


@rule("EVENT-set", "The stream tells of every message once, in order per conversation.", needs_end=True)
def event_set(evidence: Evidence) -> Findings:
    told: dict[str, dict[str, Heard]] = defaultdict(dict)
    for heard in evidence.all(Heard):
        if heard.event_type == "message.created":
            yield from _said_twice(told[heard.conversation], heard)
            told[heard.conversation].setdefault(heard.message_id, heard)
    for messages in told.values():
        seqs = [heard.seq for heard in messages.values()]
        if seqs != sorted(seqs):
            yield "events of a conversation came out of order", tuple(messages.values())[:2]
    if evidence.all(Heard):
        yield from _told_and_kept(evidence, told)


def _said_twice(known: dict[str, Heard], heard: Heard) -> Findings:
    first = known.get(heard.message_id)
    if first is not None and first.event_id != heard.event_id:
        yield f"two events tell of message {heard.message_id}", (first, heard)


def _told_and_kept(evidence: Evidence, told: dict[str, dict[str, Heard]]) -> Findings:
    for conversation, kept in evidence.by_id.items():
        events = told.get(conversation, {})
        untold = {row.seq for row in kept.values() if row.id not in events}
        if untold:
            yield f"no event told of seq {_some(untold)}", tuple(evidence.finals[conversation])
        for message in events.keys() - kept.keys():
            yield f"an event told of message {message}, which is not there", (events[message],)
