"""A batch of sends as a few statements inside the writer's transaction.

Counter rows first (they are the lock and the order), then messages, the authors' marks and the
events. The insert is optimistic: only if a `client_message_id` turns out to be known is the batch
taken back and done again with a look at what was sent before.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from django.db import IntegrityError, transaction

from doran.chat import statements as sql
from doran.chat.models import Conversation, Member, Message, Outbox
from doran.chat.views import message_columns, message_view
from doran.chat.writer import DATABASE, Outcome, Reply
from doran.contracts import events, frames
from doran.contracts.errors import Problem, invalid
from doran.kernel import clock, faults
from doran.realtime.hub import Delivery

MESSAGE_FIELDS = (
    "id", "conversation", "seq", "change_seq", "sender_id", "client_message_id", "sent_digest", "content",
    "message_type", "created_at", "updated_at", "edited_at", "is_deleted", "reply_to",
)  # fmt: skip
OUTBOX_FIELDS = ("event_id", "event_type", "schema_version", "key", "data", "timestamp", "trace_id", "attempts")


@dataclass(slots=True)
class Draft:
    """One send, checked as far as it can be without the database.

    `digest` is None when the sender gave no `client_message_id`. `but` is the socket it came from.
    """

    conversation_id: uuid.UUID
    sender_id: str
    content: str
    message_type: frames.MessageType
    client_message_id: str | None
    reply_to: uuid.UUID | None
    digest: bytes | None
    trace_id: str
    but: int
    reply: Reply


@dataclass(frozen=True, slots=True)
class Sent:
    """A stored message: as everybody sees it, and whether this send made it."""

    payload: bytes
    is_new: bool
    conversation_id: str = ""
    sender_id: str = ""
    recipient_id: str = ""
    seq: int = 0


@dataclass(slots=True)
class _Counter:
    """A conversation's row while the batch works on it."""

    people: tuple[str, str]
    last_seq: int
    change_seq: int
    is_active: bool
    read: dict[str, int]
    db_id: Any
    wire_id: str
    moved: bool = False

    def other(self, user_id: str) -> str:
        one, two = self.people
        return two if user_id == one else one


class _Rows:
    """What the batch will write."""

    __slots__ = ("messages", "outbox")

    def __init__(self) -> None:
        self.messages: list[tuple[Any, ...]] = []
        self.outbox: list[tuple[Any, ...]] = []


Key = tuple[uuid.UUID, str, str | None]


class _Before(NamedTuple):
    """What was first sent under a `client_message_id`, and the message as it now stands."""

    digest: bytes
    payload: bytes


def store(drafts: Sequence[Draft]) -> list[Outcome]:
    """Write the sends, in order. Called by the writer, inside its transaction."""
    try:
        with transaction.atomic(using=DATABASE):
            return _store(drafts, known={})
    except IntegrityError:
        return _store(drafts, known=_sent_before(drafts))


def _store(drafts: Sequence[Draft], *, known: dict[Key, _Before]) -> list[Outcome]:
    now = clock.now()
    counters = _counters({draft.conversation_id for draft in drafts})
    answerable = _answerable(drafts)
    rows = _Rows()
    outcomes = [_place(draft, counters, rows, known, answerable, now) for draft in drafts]
    _write(counters, rows, now)
    return outcomes


def _place(
    draft: Draft,
    counters: dict[uuid.UUID, _Counter],
    rows: _Rows,
    known: dict[Key, _Before],
    answerable: set[tuple[uuid.UUID, uuid.UUID]] | None,
    now: datetime,
) -> Outcome:
    """Give one draft its place in its conversation, or the answer it already had, or a refusal."""
    counter = counters.get(draft.conversation_id)
    if counter is None or draft.sender_id not in counter.people:
        return Outcome(refusal=Problem("not_found"))
    if draft.client_message_id is not None and (before := known.get(_once(draft))) is not None:
        return _repeated(draft, before)
    if not counter.is_active:
        return _unavailable(draft)
    if draft.reply_to is not None and (draft.conversation_id, draft.reply_to) not in (answerable or ()):
        return Outcome(refusal=invalid("reply_to", "There is no such message to answer here."))
    outcome = _appended(draft, counter, rows, now)
    if draft.digest is not None:
        known[_once(draft)] = _Before(draft.digest, outcome.result.payload)
    return outcome


def _appended(draft: Draft, counter: _Counter, rows: _Rows, now: datetime) -> Outcome:
    counter.last_seq += 1
    counter.change_seq += 1
    counter.moved = True
    seq, change_seq = counter.last_seq, counter.change_seq
    message_id = clock.new_id()
    wire_id, moment = str(message_id), clock.rfc3339(now)
    recipient = counter.other(draft.sender_id)
    db_now, db_id = sql.db_time(now), sql.db_uuid(message_id)
    reply_to = None if draft.reply_to is None else str(draft.reply_to)
    rows.messages.append((
        db_id, counter.db_id, seq, change_seq, draft.sender_id, draft.client_message_id, draft.digest,
        draft.content, draft.message_type, db_now, db_now, None, False,
        None if draft.reply_to is None else sql.db_uuid(draft.reply_to),
    ))  # fmt: skip
    event = events.MessageCreated(
        message_id=wire_id, conversation_id=counter.wire_id, sender_id=draft.sender_id, recipient_id=recipient,
        seq=seq, content=draft.content, message_type=draft.message_type, created_at=moment,
    )  # fmt: skip
    rows.outbox.append((
        db_id, event.NAME, event.VERSION, counter.wire_id, events.encode(event).decode(), db_now, draft.trace_id, 0,
    ))  # fmt: skip
    payload = frames.encode(
        frames.MessageView(
            id=wire_id, conversation_id=counter.wire_id, seq=seq, change_seq=change_seq, sender_id=draft.sender_id,
            content=draft.content, message_type=draft.message_type, created_at=moment, updated_at=moment,
            edited_at=None, is_deleted=False, reply_to=reply_to, client_message_id=draft.client_message_id,
        )
    )  # fmt: skip
    sent = Sent(payload, True, counter.wire_id, draft.sender_id, recipient, seq)
    return Outcome(sent, deliveries=_shown(draft, counter, payload, seq, change_seq, moment))


def _shown(
    draft: Draft, counter: _Counter, payload: bytes, seq: int, change_seq: int, moment: str
) -> tuple[Delivery, ...]:
    """The message for both people's screens; and that its author has read what came before it."""
    frame = frames.encode(frames.ChatMessage(conversation_id=counter.wire_id, message=msgspec.Raw(payload)))
    message = Delivery(counter.people, frame.decode(), counter.wire_id, change_seq, draft.but)
    read_before, counter.read[draft.sender_id] = counter.read[draft.sender_id], seq
    if read_before >= seq - 1:
        return (message,)
    read = frames.MessageRead(counter.wire_id, draft.sender_id, seq, None, moment)
    return (message, Delivery(counter.people, frames.encode(read).decode(), counter.wire_id))


def _write(counters: dict[uuid.UUID, _Counter], rows: _Rows, now: datetime) -> None:
    if not rows.messages:
        return
    moved = [counter for counter in counters.values() if counter.moved]
    db_now = sql.db_time(now)
    cursor = sql.cursor()
    cursor.executemany(
        sql.update(Conversation, ("last_seq", "change_seq", "updated_at"), where=("id",)),
        [(counter.last_seq, counter.change_seq, db_now, counter.db_id) for counter in moved],
    )
    faults.hit("send.after_counter")
    cursor.executemany(sql.insert(Message, MESSAGE_FIELDS), rows.messages)
    faults.hit("send.after_insert")
    cursor.executemany(
        sql.update(Member, _AUTHORS_MARKS, where=("conversation", "user_id")),
        [(seq, seq, seq, seq, False, row[1], row[4]) for row in rows.messages for seq in (row[2],)],
    )
    cursor.executemany(sql.insert(Outbox, OUTBOX_FIELDS), rows.outbox)


_AUTHORS_MARKS = ("last_delivered_seq", "last_read_seq", "shown_delivered_seq", "shown_read_seq", "marked_unread")


def _counters(ids: set[uuid.UUID]) -> dict[uuid.UUID, _Counter]:
    """The conversations' rows with both people's read marks, held until the commit."""
    wanted = [sql.db_uuid(one) for one in sorted(ids)]
    names = ("id", "participant1_id", "participant2_id", "last_seq", "change_seq", "is_active")
    cursor = sql.cursor()
    cursor.execute(
        f"SELECT {sql.columns(Conversation, names, of='c')}, m.user_id, m.last_read_seq"  # noqa: S608
        f" FROM {sql.table(Conversation)} c JOIN {sql.table(Member)} m ON m.conversation_id = c.id"
        f" WHERE c.id IN ({sql.marks(wanted)}){sql.locking()}",
        wanted,
    )
    found: dict[uuid.UUID, _Counter] = {}
    for db_id, one, two, last_seq, change_seq, is_active, user_id, read in cursor.fetchall():
        key = sql.read_uuid(db_id)
        if key not in found:
            found[key] = _Counter((one, two), last_seq, change_seq, bool(is_active), {}, db_id, str(key))
        found[key].read[user_id] = read
    return found


def _answerable(drafts: Sequence[Draft]) -> set[tuple[uuid.UUID, uuid.UUID]] | None:
    """Which of the answered messages exist in their conversation and are not deleted."""
    wanted = [draft.reply_to for draft in drafts if draft.reply_to is not None]
    if not wanted:
        return None
    rows = Message.objects.using(DATABASE).filter(id__in=wanted, is_deleted=False)
    return set(rows.values_list("conversation_id", "id"))


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
        [sql.db_uuid(draft.conversation_id), draft.sender_id, draft.client_message_id],
    )
    row = cursor.fetchone()
    return None if row is None else _Before(bytes(row[0]), frames.encode(message_view(row[1:])))


def _repeated(draft: Draft, before: _Before) -> Outcome:
    """The answer to a repetition, found in the store or earlier in this batch."""
    if before.digest != draft.digest:
        return Outcome(refusal=Problem("idempotency_conflict"))
    return Outcome(Sent(before.payload, is_new=False))


def _unavailable(draft: Draft) -> Outcome:
    """Nothing new can be sent here; but what was sent before keeps its answer."""
    before = _find_sent(draft)
    return _repeated(draft, before) if before else Outcome(refusal=Problem("recipient_unavailable"))
