"""Messages: the one door for sending, editing and deleting them.

REST, sockets, the assistant, the schedule and the demo all come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Literal

import msgspec
from django.db import transaction

from doran.chat import content as texts
from doran.chat import conversations, counters, feed, people, storing, timelines, unread
from doran.chat.conversations import Side
from doran.chat.models import CLIENT_MESSAGE_ID_LENGTH, HiddenMessage, Message, MessageChange, Outbox
from doran.chat.shop import shop
from doran.chat.storing import Draft, Sent
from doran.chat.views import one_message
from doran.chat.writer import DATABASE, Outcome, Reply, wait_for
from doran.contracts import events, frames
from doran.contracts.errors import Problem, invalid
from doran.kernel import clock, faults, telemetry
from doran.realtime.hub import Delivery

__all__ = ["Sent", "delete", "edit", "find", "seen", "send", "send_and_wait", "store"]


# -- send ------------------------------------------------------------------------------------------


def send(
    *,
    conversation_id: str,
    sender_id: str,
    text: str,
    reply: Reply,
    message_type: frames.MessageType = "text",
    client_message_id: str | None = None,
    reply_to: str | None = None,
    but: int = 0,
) -> None:
    """Hand a message to the writer; `reply` hears of it once, when it is committed or refused.

    The result is a `Sent`. `but` is the socket it came from, which is answered and not echoed to.
    Raises `Problem` for what can be seen without the database.
    """
    shop().sends.check(sender_id)
    draft = _draft(conversation_id, sender_id, text, message_type, client_message_id, reply_to, but, reply)
    faults.hit("send.received")
    shop().writer.submit(draft)


def send_and_wait(**what: object) -> Sent:
    """The same for a thread that may wait: returns what was stored, raises its refusal."""
    sent: Sent = wait_for(lambda reply: send(**what, reply=reply))  # type: ignore[arg-type]
    return sent


def store(
    *, conversation_id: str, sender_id: str, text: str, client_message_id: str, reply_to: str | None = None
) -> None:
    """A message that an event brings, stored together with the mark that the event was handled.

    In the writer's transaction. Shown when that commits. Raises `Problem`, as a send is refused.
    """
    draft = _draft(conversation_id, sender_id, text, "text", client_message_id, reply_to, 0, _nobody_waits)
    counters.forget()  # what this transaction has done so far is not in them
    [outcome] = storing.store([draft], careful=True)
    if outcome.refusal is not None:
        raise outcome.refusal
    if outcome.result.is_new:
        shop().show(outcome.deliveries)
        sent: Sent = outcome.result
        follow = partial(shop().follow, sent.conversation_id, sent.sender_id, sent.recipient_id)
        transaction.on_commit(follow, using=DATABASE)


def _nobody_waits(outcome: Outcome) -> None:
    """For the answer: who brought the event hears of it by the commit."""


def _draft(
    conversation_id: str, sender_id: str, text: str, message_type: frames.MessageType,
    client_message_id: str | None, reply_to: str | None, but: int, reply: Reply,
) -> Draft:  # fmt: skip
    """Checked as far as it can be without the database."""
    content = texts.checked(text, limit=shop().config.content_limit)
    _check_type(message_type)
    _check_client_message_id(client_message_id)
    conversations.parse_id(conversation_id)
    _check_answered(reply_to)
    key = shop().digest_key
    digest = None if client_message_id is None else texts.digest(key, content, message_type, reply_to)
    return Draft(
        conversation_id, sender_id, content, message_type, client_message_id, reply_to, digest,
        telemetry.trace_id(), but, reply,
    )  # fmt: skip


def _check_type(message_type: str) -> None:
    if message_type != "text":
        raise invalid("message_type", "Only text can be sent: this deployment takes no files yet.")


def _check_client_message_id(value: str | None) -> None:
    if value is not None and not (
        0 < len(value) <= CLIENT_MESSAGE_ID_LENGTH and value.isascii() and value.isprintable()
    ):
        raise invalid("client_message_id", f"1 to {CLIENT_MESSAGE_ID_LENGTH} printable ASCII characters.")


def _check_answered(reply_to: str | None) -> None:
    if reply_to is not None:
        try:
            conversations.parse_id(reply_to)
        except Problem:
            raise invalid("reply_to", "There is no such message to answer here.") from None


# -- edit and delete -----------------------------------------------------------------------------


def edit(*, message_id: str, user_id: str, text: str) -> Outcome:
    """Change what a message says. Only its author, only for a while. In the writer's transaction."""
    content = texts.checked(text, limit=shop().config.content_limit)
    message, side = find(message_id, user_id, lock=True)
    _require_author(message, user_id)
    if message.is_deleted or user_id in _hidden_from(message):
        raise Problem("message_deleted")
    if message.content == content:
        return Outcome(one_message(message))
    if not side.conversation.is_active:
        raise Problem("recipient_unavailable")
    _require_in_time(message, shop().config.edit_seconds)
    message.content = content
    message.edited_at = max(clock.stamp(), message.updated_at)
    _touch(message, side, "content", "edited_at")
    Outbox.add(
        events.MessageUpdated(
            str(message.id), str(message.conversation_id), message.sender_id, message.seq, message.change_seq,
            content, clock.rfc3339(message.edited_at),
        )
    )  # fmt: skip
    return _changed(message, side, frames.MessageUpdated)


def delete(*, message_id: str, user_id: str, scope: Literal["everyone", "me"]) -> Outcome:
    """Take a message away: for both (its author, for a while) or from one's own sight.

    In the writer's transaction. The words of a message deleted for everyone are gone from its row
    and from events that still wait. Doing it twice is the same as once.
    """
    message, side = find(message_id, user_id, lock=True)
    return _delete_for_everyone(message, side) if scope == "everyone" else _hide(message, side)


def _delete_for_everyone(message: Message, side: Side) -> Outcome:
    _require_author(message, side.me.user_id)
    if message.is_deleted:
        return Outcome(one_message(message, hidden=side.me.user_id in _hidden_from(message)))
    _require_in_time(message, shop().config.delete_seconds)
    message.content, message.is_deleted = "", True
    _touch(message, side, "content", "is_deleted")
    Outbox.add(
        events.MessageDeleted(
            str(message.id), str(message.conversation_id), message.sender_id, message.seq, message.change_seq,
            clock.rfc3339(message.updated_at),
        )
    )  # fmt: skip
    outcome = _changed(message, side, frames.MessageDeleted)
    if side.peer.user_id not in _hidden_from(message) and unread.note_deleted(side.peer, message.seq):
        outcome.deliveries = (*outcome.deliveries, conversations.updated(conversations.turned(side)))
    return outcome


def _hide(message: Message, side: Side) -> Outcome:
    row, is_new = HiddenMessage.objects.using(DATABASE).get_or_create(
        conversation=side.conversation, user_id=side.me.user_id, seq=message.seq, defaults={"state_seq": 0}
    )
    view = one_message(message, hidden=True)
    if not is_new:
        return Outcome(view)
    row.state_seq = people.next_state_seq(side.me.user_id)
    row.save(using=DATABASE, update_fields=["state_seq"])
    feed.note_state(str(message.conversation_id), side.conversation, side.me.user_id, row.state_seq)
    frame = frames.MessageDeleted(str(message.conversation_id), msgspec.Raw(frames.encode(view)))
    mine = [Delivery((side.me.user_id,), frames.encode(frame).decode(), str(message.conversation_id))]
    if not message.is_deleted and unread.note_deleted(side.me, message.seq):
        mine.append(conversations.updated(side))
    return Outcome(view, deliveries=mine)


def _touch(message: Message, side: Side, *changed: str) -> None:
    message.change_seq = conversations.bump(side.conversation)
    message.updated_at = max(clock.stamp(), message.updated_at)
    message.save(using=DATABASE, update_fields=["change_seq", "updated_at", *changed])
    MessageChange.objects.using(DATABASE).create(
        conversation_id=message.conversation_id, change_seq=message.change_seq, seq=message.seq
    )


Changed = type[frames.MessageUpdated] | type[frames.MessageDeleted]


def _changed(message: Message, side: Side, kind: Changed) -> Outcome:
    """Both are shown the message as it is; who deleted it for themselves, that it stays deleted."""
    hidden_from = _hidden_from(message)
    both = [member.user_id for member in (side.me, side.peer) if message.seq >= member.hidden_before_seq]
    shown = [_shown(message, kind, to=[one for one in both if one not in hidden_from])]
    if hidden_from:
        shown.append(
            _shown(message, frames.MessageDeleted, to=[one for one in both if one in hidden_from], hidden=True)
        )
    return Outcome(one_message(message, hidden=side.me.user_id in hidden_from), deliveries=shown)


def _shown(message: Message, kind: Changed, *, to: Sequence[str], hidden: bool = False) -> Delivery:
    view = one_message(message, hidden=hidden)
    frame = kind(str(message.conversation_id), msgspec.Raw(frames.encode(view)))
    return Delivery(tuple(to), frames.encode(frame).decode(), str(message.conversation_id), message.change_seq)


def _hidden_from(message: Message) -> set[str]:
    """Who deleted this message for themselves."""
    rows = HiddenMessage.objects.using(DATABASE).filter(conversation_id=message.conversation_id, seq=message.seq)
    return set(rows.values_list("user_id", flat=True))


def _require_author(message: Message, user_id: str) -> None:
    if message.sender_id != user_id:
        raise Problem("not_author")


def _require_in_time(message: Message, seconds: float) -> None:
    if clock.now() - message.created_at > timedelta(seconds=seconds):
        raise Problem("too_late")


# -- read --------------------------------------------------------------------------------------------


def seen(*, message_id: str, user_id: str) -> frames.MessageView:
    """A message as this person sees it. What is not theirs is not found."""
    message, _ = find(message_id, user_id)
    return one_message(message, hidden=user_id in _hidden_from(message))


def find(message_id: str, user_id: str, *, lock: bool = False) -> tuple[Message, Side]:
    """A message of a conversation of mine, and my side of it. What is not mine is not found."""
    message = _found(message_id)
    side = conversations.for_member(str(message.conversation_id), user_id, lock=lock)
    if message.seq < side.me.hidden_before_seq:
        raise Problem("not_found")
    return _found(message_id) if lock else message, side


def _found(message_id: str) -> Message:
    """What stands under this id, also where a restore left nothing but a tombstone."""
    parsed = conversations.parse_id(message_id)
    message = Message.objects.using(DATABASE).filter(id=parsed).first() or timelines.tombstone(parsed)
    if message is None:
        raise Problem("not_found")
    return message
