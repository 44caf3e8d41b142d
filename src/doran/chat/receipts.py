"""Receipts: how far a person's devices have got. Cumulative, and never backwards."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from doran.chat import conversations, messages, people
from doran.chat.conversations import Side
from doran.chat.models import DeliveryReceipt, Member, Message, Outbox
from doran.chat.views import unread_count
from doran.chat.writer import DATABASE, Outcome
from doran.contracts import events, frames
from doran.contracts.errors import invalid
from doran.kernel import clock
from doran.realtime.hub import Delivery

Status = Literal["delivered", "read"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A client of `user_id` says: everything up to here was delivered, or read.

    Either a message of the conversation, or a seq in it.
    """

    user_id: str
    status: Status
    message_id: str | None = None
    conversation_id: str | None = None
    up_to_seq: int | None = None


def mark(claim: Claim) -> Outcome:
    """Move the marks as far as the claim goes; what is already further stays. In the writer's transaction.

    The other person may know of it while the conversation is open; that `marked_unread` ended is
    never theirs to know.
    """
    side, up_to = _claimed(claim)
    now = clock.now()
    moved, ended_unread = _advance(side.me, claim.status, up_to), _end_unread(side.me, claim.status)
    told: list[Delivery] = []
    if moved or ended_unread:
        shown = moved and side.conversation.is_active
        _save(side, shown=shown)
        message_id = _remember(side, claim.status, up_to, now) if shown else None
        told += _told(side, claim.status, up_to, message_id, now) if moved else []
        told += [conversations.updated(side)] if ended_unread else []
    return Outcome(_view(side, claim.status, now), deliveries=told)


def _claimed(claim: Claim) -> tuple[Side, int]:
    if claim.message_id is not None:
        message, side = messages.find(claim.message_id, claim.user_id, lock=True)
        if claim.conversation_id not in (None, str(side.conversation.id)):
            raise invalid("message_id", "The message is not of this conversation.")
        return side, message.seq
    if claim.conversation_id is None or claim.up_to_seq is None:
        raise invalid("up_to_seq", "Either message_id or up_to_seq is needed.")
    side = conversations.for_member(claim.conversation_id, claim.user_id, lock=True)
    if not 0 <= claim.up_to_seq <= side.conversation.last_seq:
        raise invalid("up_to_seq", "There is no such message yet.")
    return side, claim.up_to_seq


def _advance(me: Member, status: Status, up_to: int) -> bool:
    """Whether a mark moved. Read implies delivered."""
    before = (me.last_delivered_seq, me.last_read_seq)
    me.last_delivered_seq = max(me.last_delivered_seq, up_to)
    if status == "read":
        me.last_read_seq = max(me.last_read_seq, up_to)
    return before != (me.last_delivered_seq, me.last_read_seq)


def _end_unread(me: Member, status: Status) -> bool:
    """Whether reading ended what the person had marked as unread."""
    was_unread = me.marked_unread
    me.marked_unread = was_unread and status != "read"
    return was_unread != me.marked_unread


def _save(side: Side, *, shown: bool) -> None:
    """A change both may see moves the conversation's counter, a private one only the person's own."""
    me = side.me
    if shown:
        me.shown_delivered_seq, me.shown_read_seq = me.last_delivered_seq, me.last_read_seq
        conversations.bump(side.conversation)
    else:
        me.state_seq = people.next_state_seq(me.user_id)
    me.save(using=DATABASE)


def _remember(side: Side, status: Status, up_to: int, now: datetime) -> str | None:
    """The receipt row of the message the mark stands on, and the event that says so."""
    message_id = _message_at(side, up_to)
    if message_id is None:
        return None
    receipt, is_new = DeliveryReceipt.objects.using(DATABASE).get_or_create(
        message_id=message_id,
        user_id=side.me.user_id,
        defaults={"id": clock.new_id(), "status": status, "timestamp": now},
    )
    if not is_new and receipt.status != DeliveryReceipt.Status.READ and receipt.status != status:
        receipt.status, receipt.timestamp = status, now
        receipt.save(using=DATABASE, update_fields=["status", "timestamp"])
    kind = events.MessageRead if status == "read" else events.MessageDelivered
    Outbox.add(kind(str(side.conversation.id), side.me.user_id, up_to, str(message_id), clock.rfc3339(now)))
    return str(message_id)


def _message_at(side: Side, seq: int) -> object | None:
    rows = Message.objects.using(DATABASE).filter(conversation=side.conversation, seq=seq)
    return rows.values_list("id", flat=True).first()


def _told(side: Side, status: Status, up_to: int, message_id: str | None, now: datetime) -> list[Delivery]:
    """Both people's screens; while one blocks the other only one's own."""
    kind = frames.MessageRead if status == "read" else frames.MessageDelivered
    conversation_id = str(side.conversation.id)
    frame = kind(conversation_id, side.me.user_id, up_to, message_id, clock.rfc3339(now))
    everybody = conversations.people_of(side.conversation)
    told = everybody if side.conversation.is_active else (side.me.user_id,)
    return [Delivery(told, frames.encode(frame).decode(), conversation_id)]


def _view(side: Side, status: Status, now: datetime) -> frames.ReceiptView:
    me = side.me
    return frames.ReceiptView(
        conversation_id=str(side.conversation.id),
        user_id=me.user_id,
        status=status,
        up_to_seq=me.last_read_seq if status == "read" else me.last_delivered_seq,
        timestamp=clock.rfc3339(now),
        unread_count=unread_count(side.conversation, me),
    )
