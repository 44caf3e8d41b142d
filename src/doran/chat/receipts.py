"""Receipts: how far a person's devices have got. Cumulative, and never backwards.

Marks are grouped like sends: everything that people claimed while the last commit was in flight
becomes one update, one receipt and one event for each person in each conversation.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.db.models import Q

from doran.chat import conversations, feed, people, timelines, unread
from doran.chat import statements as sql
from doran.chat.counters import Counter, MarksRow, held
from doran.chat.models import Conversation, DeliveryReceipt, Member, Message, Outbox
from doran.chat.shop import shop
from doran.chat.writer import DATABASE, Outcome, Reply, wait_for
from doran.contracts import events, frames
from doran.contracts.errors import Problem, invalid
from doran.kernel import clock, faults
from doran.realtime.hub import Delivery

Status = Literal["delivered", "read"]
Place = tuple[str, str]

MARKS = ("last_delivered_seq", "last_read_seq", "shown_delivered_seq", "shown_read_seq", "marked_unread")


@dataclass(slots=True)
class Claim:
    """A client of `user_id` says: everything up to here was delivered, or read.

    Either a message of the conversation, or a seq in it.
    """

    user_id: str
    status: Status
    reply: Reply
    message_id: str | None = None
    conversation_id: str | None = None
    up_to_seq: int | None = None


def mark(
    *,
    user_id: str,
    status: Status,
    reply: Reply,
    message_id: str | None = None,
    conversation_id: str | None = None,
    up_to_seq: int | None = None,
) -> None:
    """Hand a claim to the writer; `reply` hears once where the mark then stands (a `ReceiptView`).

    Raises `Problem` for what can be seen without the database.
    """
    if message_id is None and (conversation_id is None or up_to_seq is None):
        raise invalid("up_to_seq", "Either message_id or up_to_seq is needed.")
    for one in (message_id, conversation_id):
        if one is not None:
            conversations.parse_id(one)
    shop().writer.submit(Claim(user_id, status, reply, message_id, conversation_id, up_to_seq))


def mark_and_wait(**what: Any) -> frames.ReceiptView:
    """The same for a thread that may wait: returns where the mark stands, raises its refusal."""
    view: frames.ReceiptView = wait_for(lambda reply: mark(**what, reply=reply))
    return view


def store(claims: Sequence[Claim], *, careful: bool) -> list[Outcome]:
    """Move the marks as far as the claims go; what is already further stays. Called by the writer."""
    return _Batch(claims).stored()


@dataclass(slots=True)
class _Moved:
    """What became of one person's marks in one conversation: the furthest claim of each kind."""

    counter: Counter
    marks: MarksRow
    reached: dict[Status, int] = field(default_factory=dict)
    ended_unread: bool = False
    unread_moved: bool = False
    change_seq: int = 0

    @property
    def is_shown(self) -> bool:
        """Whether the other may know. That `marked_unread` ended is never theirs to know."""
        return bool(self.reached) and self.counter.is_active


class _Batch:
    """Some claims on their way into the tables, all at the same moment."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._now = clock.stamp()
        self._claims = claims
        self._messages = _places_of(claim.message_id for claim in claims if claim.message_id is not None)
        self._counters = held(filter(None, map(self._conversation, claims)))
        self._stood = feed.standing(self._counters)
        self._moved: dict[Place, _Moved] = {}

    def stored(self) -> list[Outcome]:
        outcomes = [self._placed(claim) for claim in self._claims]
        if self._moved:
            outcomes[-1].deliveries = self._write()
            faults.hit("mark.before_commit")
        return outcomes

    # -- where each claim points -----------------------------------------------------------------

    def _conversation(self, claim: Claim) -> str | None:
        if claim.message_id is None:
            return claim.conversation_id
        return self._messages.get(claim.message_id, (None, 0))[0]

    def _placed(self, claim: Claim) -> Outcome:
        conversation_id = self._conversation(claim)
        counter = self._counters.get(conversation_id or "")
        if conversation_id is None or counter is None or claim.user_id not in counter.marks:
            return Outcome(refusal=Problem("not_found"))
        try:
            up_to = self._up_to(claim, conversation_id, counter)
        except Problem as no:
            return Outcome(refusal=no)
        self._advance((conversation_id, claim.user_id), counter, claim.status, up_to)
        return Outcome(self._view(claim, conversation_id, counter))

    def _up_to(self, claim: Claim, conversation_id: str, counter: Counter) -> int:
        if claim.message_id is None:
            if not 0 <= (claim.up_to_seq or 0) <= counter.last_seq:
                raise invalid("up_to_seq", "There is no such message yet.")
            return claim.up_to_seq or 0
        if claim.conversation_id not in (None, conversation_id):
            raise invalid("message_id", "The message is not of this conversation.")
        seq = self._messages[claim.message_id][1]
        if seq < counter.marks[claim.user_id].hidden_before:
            raise Problem("not_found")
        return seq

    def _advance(self, place: Place, counter: Counter, status: Status, up_to: int) -> None:
        """Read implies delivered; reading also ends what the person had marked as unread."""
        marks = counter.marks[place[1]]
        before = marks.read if status == "read" else marks.delivered
        ends_unread = status == "read" and marks.marked_unread
        if up_to <= before and not ends_unread:
            return
        moved = self._moved.setdefault(place, _Moved(counter, marks))
        marks.delivered = max(marks.delivered, up_to)
        if status == "read":
            moved.unread_moved |= unread.read_up_to(marks, counter, place[1], up_to)
            marks.read, marks.marked_unread = max(marks.read, up_to), False
        moved.ended_unread |= ends_unread
        if up_to > before:
            moved.reached[status] = up_to

    def _view(self, claim: Claim, conversation_id: str, counter: Counter) -> frames.ReceiptView:
        marks = counter.marks[claim.user_id]
        return frames.ReceiptView(
            conversation_id=conversation_id,
            user_id=claim.user_id,
            status=claim.status,
            up_to_seq=marks.read if claim.status == "read" else marks.delivered,
            timestamp=clock.rfc3339(self._now),
            unread_count=unread.count(
                counter.last_seq,
                read=marks.read,
                hidden_before=marks.hidden_before,
                lost=timelines.lost_of(counter.db_id) if marks.read < counter.lost_seq else (),
                deleted=marks.unread_deleted,
                deleted_after=marks.unread_deleted_after,
            ),
        )

    # -- into the tables -------------------------------------------------------------------------

    def _write(self) -> list[Delivery]:
        shown = {place: moved for place, moved in self._moved.items() if moved.is_shown}
        for moved in shown.values():
            moved.counter.change_seq += 1
            moved.change_seq = moved.counter.change_seq
            moved.marks.shown_delivered, moved.marks.shown_read = moved.marks.delivered, moved.marks.read
        self._write_marks()
        self._write_changes(shown.values())
        feed.note_moves(self._stood, self._counters)
        told = self._write_receipts(shown)
        private = [place for place, moved in self._moved.items() if moved.ended_unread or place not in shown]
        return told + [one for place in private for one in self._write_private(place)]

    def _write_marks(self) -> None:
        rows = [
            (one.delivered, one.read, one.shown_delivered, one.shown_read, one.marked_unread, one.db_id)
            for moved in self._moved.values()
            for one in (moved.marks,)
        ]
        sql.update_many(Member, MARKS, rows, where=("id",))
        marks = [moved.marks for moved in self._moved.values() if moved.unread_moved]
        sql.update_many(
            Member,
            ("unread_deleted", "unread_deleted_after"),
            [(one.unread_deleted, one.unread_deleted_after, one.db_id) for one in marks],
            where=("id",),
        )

    def _write_changes(self, shown: Iterable[_Moved]) -> None:
        rows = {moved.counter.db_id: moved.counter.change_seq for moved in shown}
        changes = [(change_seq, db_id) for db_id, change_seq in rows.items()]
        sql.update_many(Conversation, ("change_seq",), changes, where=("id",))

    def _write_receipts(self, shown: dict[Place, _Moved]) -> list[Delivery]:
        """A receipt row, an event and a frame for each mark that moved."""
        reached = [(place, status, seq) for place, moved in shown.items() for status, seq in _telling(moved.reached)]
        wanted = {(place[0], seq) for place, _, seq in reached if seq > 0}
        there = _message_ids(wanted)
        rows = [(there[place[0], seq], place, status) for place, status, seq in reached if (place[0], seq) in there]
        self._save_receipts([(message_id, place[1], status) for message_id, place, status in rows])
        ids = there | timelines.ids_at(wanted - there.keys())
        self._say([
            (status, place, seq, ids[place[0], seq]) for place, status, seq in reached if (place[0], seq) in ids
        ])  # fmt: skip
        return [
            self._told(status, place, seq, ids.get((place[0], seq)), shown[place]) for place, status, seq in reached
        ]

    def _save_receipts(self, rows: list[tuple[uuid.UUID, str, Status]]) -> None:
        """Insert, or raise the status of a receipt there is; marks only rise, so statuses do."""
        receipts = DeliveryReceipt.objects.using(DATABASE)
        there = {(one.message_id, one.user_id): one for one in receipts.filter(message_id__in=[row[0] for row in rows])}
        new, risen = {}, []
        for message_id, user_id, status in rows:
            found = there.get((message_id, user_id))
            if found is None:
                new[message_id, user_id] = DeliveryReceipt(
                    id=clock.new_id(), message_id=message_id, user_id=user_id, status=status, timestamp=self._now
                )
            else:
                found.status, found.timestamp = status, self._now
                risen.append(found)
        receipts.bulk_create(new.values())
        if risen:
            receipts.bulk_update(risen, ["status", "timestamp"])

    def _say(self, said: list[tuple[Status, Place, int, uuid.UUID]]) -> None:
        for status, (conversation_id, user_id), seq, message_id in said:
            kind = events.MessageRead if status == "read" else events.MessageDelivered
            Outbox.add(kind(conversation_id, user_id, seq, str(message_id), clock.rfc3339(self._now)))

    def _told(self, status: Status, place: Place, seq: int, message_id: uuid.UUID | None, moved: _Moved) -> Delivery:
        kind = frames.MessageRead if status == "read" else frames.MessageDelivered
        shown_id = None if message_id is None else str(message_id)
        frame = kind(place[0], place[1], seq, shown_id, clock.rfc3339(self._now))
        return Delivery(moved.counter.people, frames.encode(frame).decode(), place[0], moved.change_seq)

    def _write_private(self, place: Place) -> list[Delivery]:
        """What only the person's own devices may know moves only the person's own counter."""
        conversation_id, user_id = place
        mine = Member.objects.using(DATABASE).filter(conversation_id=conversation_id, user_id=user_id)
        state_seq, moved = people.next_state_seq(user_id), self._moved[place]
        mine.update(state_seq=state_seq)
        feed.note_state(conversation_id, moved.counter, user_id, state_seq)
        told = [conversations.updated(conversations.for_member(conversation_id, user_id))] if moved.ended_unread else []
        if moved.reached and not moved.is_shown:
            told += [
                self._told(status, place, seq, None, moved)._replace(user_ids=(user_id,))
                for status, seq in _telling(moved.reached)
            ]
        return told


def _telling(reached: dict[Status, int]) -> list[tuple[Status, int]]:
    """The marks worth telling: read up to somewhere says delivered up to there as well."""
    read = reached.get("read", -1)
    return [(status, seq) for status, seq in sorted(reached.items()) if status == "read" or seq > read]


def _places_of(message_ids: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Conversation and seq of messages that clients name."""
    wanted = set(message_ids)
    if not wanted:
        return {}
    rows = Message.objects.using(DATABASE).filter(id__in=wanted).values_list("id", "conversation_id", "seq")
    found = {str(one): (str(conversation_id), seq) for one, conversation_id, seq in rows}
    lost = (timelines.tombstone(uuid.UUID(one)) for one in wanted - found.keys())
    return found | {str(one.id): (str(one.conversation_id), one.seq) for one in lost if one is not None}


def _message_ids(places: set[tuple[str, int]]) -> dict[tuple[str, int], uuid.UUID]:
    """The messages that stand there."""
    if not places:
        return {}
    there = Q()
    for conversation_id, seq in places:
        there |= Q(conversation_id=conversation_id, seq=seq)
    rows = Message.objects.using(DATABASE).filter(there).values_list("conversation_id", "seq", "id")
    return {(str(conversation_id), seq): one for conversation_id, seq, one in rows}
