"""A batch of sends as a few statements inside the writer's transaction.

Counter rows first (they are the lock and the order), then messages, the authors' marks and the
events. The insert is optimistic: only if a `client_message_id` turns out to be known does the
writer take everything back, and the batch is done again with a look at what was sent before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from doran.chat import conversations, feed, timelines
from doran.chat import statements as sql
from doran.chat.counters import Counter, held
from doran.chat.models import Conversation, DeliveryReceipt, HiddenMessage, Member, Message, Outbox
from doran.chat.views import message_columns, message_view
from doran.chat.writer import DATABASE, Outcome, Reply
from doran.contracts import events, frames
from doran.contracts.errors import Problem, invalid
from doran.kernel import clock, faults
from doran.kernel.lanes import lane
from doran.realtime.hub import Delivery

MESSAGE_FIELDS = (
    "id", "conversation", "seq", "change_seq", "sender_id", "client_message_id", "sent_digest", "content",
    "message_type", "created_at", "updated_at", "edited_at", "is_deleted", "reply_to",
)  # fmt: skip
OUTBOX_FIELDS = ("event_id", "event_type", "schema_version", "key", "data", "timestamp", "trace_id", "lane")
RECEIPT_FIELDS = ("id", "message", "user_id", "status", "timestamp")
AUTHORS_MARKS = ("last_delivered_seq", "last_read_seq", "shown_delivered_seq", "shown_read_seq", "marked_unread")


@dataclass(slots=True)
class Draft:
    """One send, checked as far as it can be without the database.

    `digest` is None when the sender gave no `client_message_id`. `but` is the socket it came from.
    """

    conversation_id: str
    sender_id: str
    content: str
    message_type: frames.MessageType
    client_message_id: str | None
    reply_to: str | None
    digest: bytes | None
    trace_id: str
    but: int
    reply: Reply


@dataclass(slots=True)
class Sent:
    """A stored message: as everybody sees it, and whether this send made it."""

    payload: bytes
    is_new: bool
    conversation_id: str = ""
    sender_id: str = ""
    recipient_id: str = ""
    seq: int = 0


Key = tuple[str, str, str | None]


class _Before(NamedTuple):
    """What was first sent under a `client_message_id`, and the message as it now stands."""

    digest: bytes
    payload: bytes


def store(drafts: Sequence[Draft], *, careful: bool) -> list[Outcome]:
    """Write the sends, in order. Called by the writer, inside its transaction."""
    return _Batch(drafts, known=_sent_before(drafts) if careful else {}).stored()


class _Batch:
    """Some sends on their way into the tables, all at the same moment."""

    def __init__(self, drafts: Sequence[Draft], *, known: dict[Key, _Before]) -> None:
        now = clock.stamp()
        self._moment, self._db_now = clock.rfc3339(now), sql.db_time(now)
        self._drafts = drafts
        self._known = known
        self._counters = held(draft.conversation_id for draft in drafts)
        self._stood = feed.standing(self._counters)
        self._answerable = _answerable(drafts)
        self._messages: list[tuple[Any, ...]] = []
        self._receipts: list[tuple[Any, ...]] = []
        self._outbox: list[tuple[Any, ...]] = []
        self._marks: list[tuple[Any, ...]] = []
        self._leapt: list[Counter] = []

    def stored(self) -> list[Outcome]:
        outcomes = [self._placed(draft) for draft in self._drafts]
        if self._messages:
            self._write()
        if self._leapt:
            told = conversations.both_updated([sql.read_uuid(one.db_id) for one in self._leapt])
            outcomes[-1].deliveries = (*outcomes[-1].deliveries, *told)
        return outcomes

    def _placed(self, draft: Draft) -> Outcome:
        """Give one draft its place in its conversation, or the answer it already had, or a refusal."""
        counter = self._counters.get(draft.conversation_id)
        if counter is None or draft.sender_id not in counter.people:
            return Outcome(refusal=Problem("not_found"))
        if draft.digest is not None and (before := self._known.get(_once(draft))) is not None:
            return _repeated(draft, before)
        if not counter.is_active:
            return _unavailable(draft)
        if draft.reply_to is not None and (draft.conversation_id, draft.reply_to) not in self._answerable:
            return Outcome(refusal=invalid("reply_to", "There is no such message to answer here."))
        return self._appended(draft, counter)

    def _appended(self, draft: Draft, counter: Counter) -> Outcome:
        if counter.lost_seq > counter.last_seq:
            timelines.leap(counter)
            self._leapt.append(counter)
        counter.last_seq += 1
        counter.change_seq += 1
        counter.moved = True
        message_id = clock.new_id_hex()
        view = self._view(draft, counter, message_id)
        payload = frames.encode(view)
        if draft.digest is not None:
            self._known[_once(draft)] = _Before(draft.digest, payload)
        recipient_id = counter.other(draft.sender_id)
        self._add_rows(draft, counter, message_id)
        self._add_created(view, message_id, recipient_id, draft.trace_id)
        shown = [self._shown(draft, counter, payload)]
        if counter.marks[draft.sender_id].advance_all(view.seq) < view.seq - 1:
            shown.append(self._read_all_before(view, message_id, counter, draft.trace_id))
        sent = Sent(payload, True, draft.conversation_id, draft.sender_id, recipient_id, view.seq)
        return Outcome(sent, deliveries=shown)

    def _view(self, draft: Draft, counter: Counter, message_id: str) -> frames.MessageView:
        return frames.MessageView(
            id=_dashed(message_id), conversation_id=draft.conversation_id, seq=counter.last_seq,
            change_seq=counter.change_seq, sender_id=draft.sender_id, content=draft.content,
            message_type=draft.message_type, created_at=self._moment, updated_at=self._moment, edited_at=None,
            is_deleted=False, reply_to=draft.reply_to, client_message_id=draft.client_message_id,
        )  # fmt: skip

    def _add_rows(self, draft: Draft, counter: Counter, message_id: str) -> None:
        seq, now = counter.last_seq, self._db_now
        reply_to = None if draft.reply_to is None else draft.reply_to.replace("-", "")
        self._messages.append((
            message_id, counter.db_id, seq, counter.change_seq, draft.sender_id, draft.client_message_id, draft.digest,
            draft.content, draft.message_type, now, now, None, False, reply_to,
        ))  # fmt: skip
        self._marks.append((seq, seq, seq, seq, False, counter.marks[draft.sender_id].db_id))

    def _add_created(self, view: frames.MessageView, message_id: str, recipient_id: str, trace_id: str) -> None:
        """The event has the message's id: it is said once for each message."""
        event = events.MessageCreated(
            message_id=view.id, conversation_id=view.conversation_id, sender_id=view.sender_id,
            recipient_id=recipient_id, seq=view.seq, content=view.content, message_type=view.message_type,
            created_at=view.created_at, client_message_id=view.client_message_id,
        )  # fmt: skip
        self._say(message_id, event, trace_id)

    def _say(self, event_id: str, event: events.Event, trace_id: str) -> None:
        data, key = events.encode(event).decode(), event.key()
        self._outbox.append((event_id, event.NAME, event.VERSION, key, data, self._db_now, trace_id, lane(key)))

    def _shown(self, draft: Draft, counter: Counter, payload: bytes) -> Delivery:
        """The message for both people's screens."""
        frame = frames.encode(frames.ChatMessage(draft.conversation_id, msgspec.Raw(payload)))
        return Delivery(counter.people, frame.decode(), draft.conversation_id, counter.change_seq, draft.but)

    def _read_all_before(self, view: frames.MessageView, message_id: str, counter: Counter, trace_id: str) -> Delivery:
        """Who answers has read what came before: told and kept as any other mark that moved."""
        place, reader, seq = view.conversation_id, view.sender_id, view.seq
        self._receipts.append((clock.new_id_hex(), message_id, reader, "read", self._db_now))
        self._say(clock.new_id_hex(), events.MessageRead(place, reader, seq, view.id, self._moment), trace_id)
        frame = frames.encode(frames.MessageRead(place, reader, seq, view.id, self._moment))
        return Delivery(counter.people, frame.decode(), place, counter.change_seq)

    def _write(self) -> None:
        moved = [one for one in self._counters.values() if one.moved]
        for one in moved:
            one.moved = False
        counters = [(one.last_seq, one.change_seq, self._db_now, one.db_id) for one in moved]
        sql.update_many(Conversation, ("last_seq", "change_seq", "updated_at"), counters, where=("id",))
        faults.hit("send.after_counter")
        sql.insert_many(Message, MESSAGE_FIELDS, self._messages)
        faults.hit("send.after_insert")
        if self._receipts:
            sql.insert_many(DeliveryReceipt, RECEIPT_FIELDS, self._receipts)
        sql.update_many(Member, AUTHORS_MARKS, self._marks, where=("id",))
        sql.insert_many(Outbox, OUTBOX_FIELDS, self._outbox)
        feed.note_moves(
            self._stood, self._counters, authors=((one.conversation_id, one.sender_id) for one in self._drafts)
        )


def _answerable(drafts: Sequence[Draft]) -> set[tuple[str, str]]:
    """Return which of the answered messages exist in their conversation, deleted ones included.

    A message may be deleted while its answer is being written or waits to be sent: that is an answer to a tombstone.
    """
    wanted = [draft.reply_to for draft in drafts if draft.reply_to is not None]
    if not wanted:
        return set()
    rows = Message.objects.using(DATABASE).filter(id__in=wanted)
    return {(str(place), str(one)) for place, one in rows.values_list("conversation_id", "id")}


def _dashed(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


# -- the same client_message_id again ------------------------------------------------------------


def _once(draft: Draft) -> Key:
    return draft.conversation_id, draft.sender_id, draft.client_message_id


def _sent_before(drafts: Sequence[Draft]) -> dict[Key, _Before]:
    return {_once(draft): before for draft in drafts if (before := _find_sent(draft)) is not None}


def _find_sent(draft: Draft) -> _Before | None:
    if draft.client_message_id is None:
        return None
    cursor = sql.cursor()
    cursor.execute(
        f"SELECT sent_digest, {message_columns()} FROM {sql.table(Message)}"  # noqa: S608
        " WHERE conversation_id = %s AND sender_id = %s AND client_message_id = %s",
        [draft.conversation_id.replace("-", ""), draft.sender_id, draft.client_message_id],
    )
    row = cursor.fetchone()
    if row is None:
        return None
    return _Before(bytes(row[0]), frames.encode(message_view(row[1:], hidden=_is_hidden(draft, seq=row[3]))))


def _is_hidden(draft: Draft, *, seq: int) -> bool:
    """Whether the sender has deleted the message for themselves since."""
    rows = HiddenMessage.objects.using(DATABASE).filter(conversation_id=draft.conversation_id, seq=seq)
    return rows.filter(user_id=draft.sender_id).exists()


def _repeated(draft: Draft, before: _Before) -> Outcome:
    """The answer to a repetition, found in the store or earlier in this batch."""
    if before.digest != draft.digest:
        return Outcome(refusal=Problem("idempotency_conflict"))
    return Outcome(Sent(before.payload, is_new=False))


def _unavailable(draft: Draft) -> Outcome:
    """Nothing new can be sent here; but what was sent before keeps its answer."""
    before = _find_sent(draft)
    return _repeated(draft, before) if before else Outcome(refusal=Problem("recipient_unavailable"))
