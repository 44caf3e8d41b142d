"""What screens of this process were not shown, read from the tables.

As with `sync`, everything is told as it now stands: each message once, in its final state, then how
far both people have got, then the conversation. What is told twice that way does no harm; what is
left out is only what the caller has at hand.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec
from django.db.models import Q

from doran.chat import conversations
from doran.chat.conversations import Side
from doran.chat.models import Conversation, DeliveryReceipt, HiddenMessage, Member, Message, MessageChange
from doran.chat.views import one_message
from doran.chat.writer import DATABASE
from doran.contracts import frames
from doran.kernel import clock
from doran.realtime.fanout import Step
from doran.realtime.fanout.order import Hole, Told
from doran.realtime.hub import Delivery

LONGEST: Final = 200
"""Messages; who missed more reads the conversation anew."""

Place = tuple[uuid.UUID, int]
Kind = type[frames.ChatMessage] | type[frames.MessageUpdated] | type[frames.MessageDeleted]


def read(holes: Sequence[Hole]) -> list[Told]:
    """Each hole filled, in a constant number of queries; left out are those too long, or of nothing we have."""
    gaps = _gaps(holes)
    stored = _Stored(gaps)
    return [_told(gap, stored) for gap in gaps]


@dataclass(frozen=True, slots=True)
class _Gap:
    """A hole with the conversation as it stood when this reading began, and both its people's rows."""

    hole: Hole
    sides: Mapping[str, Side]

    @property
    def conversation(self) -> Conversation:
        return next(iter(self.sides.values())).conversation

    @property
    def members(self) -> list[Member]:
        return [side.me for side in self.sides.values()]


def _gaps(holes: Sequence[Hole]) -> list[_Gap]:
    """Each conversation comes with both members in one statement, so that no mark is ahead of it."""
    found: dict[str, dict[str, Side]] = {}
    for side in conversations.both_sides([conversations.parse_id(hole.conversation_id) for hole in holes]):
        found.setdefault(str(side.conversation.id), {})[side.me.user_id] = side
    short = [hole for hole in holes if hole.last_until - hole.last <= LONGEST]
    return [_Gap(hole, found[hole.conversation_id]) for hole in short if hole.conversation_id in found]


class _Stored:
    """Everything that these gaps need, read for all of them together."""

    def __init__(self, gaps: Sequence[_Gap]) -> None:
        self._new = _grouped(_messages(_new_in(gap) for gap in gaps))
        self._changed = _grouped(_at(_changed_in(gaps)))
        taken = _taken_away(gaps)
        self._taken = _grouped(_at({place for place, _ in taken}))
        self._taken_by = taken
        self._hidden = _hidden([*self._of(self._new), *self._of(self._changed)]) | taken
        self._views = _views(gaps)
        self._marked = _marked(gaps)

    @staticmethod
    def _of(grouped: dict[uuid.UUID, list[Message]]) -> Iterable[Message]:
        return (message for messages in grouped.values() for message in messages)

    def new(self, gap: _Gap) -> list[Message]:
        return self._new.get(gap.conversation.id, [])

    def changed(self, gap: _Gap) -> list[Message]:
        return sorted(self._changed.get(gap.conversation.id, []), key=lambda message: message.change_seq)

    def taken_away(self, gap: _Gap, user_id: str) -> list[Message]:
        """What this person deleted for themselves and may still see."""
        mine = self._taken.get(gap.conversation.id, [])
        return [message for message in mine if (_place(message), user_id) in self._taken_by]

    def is_hidden(self, message: Message, user_id: str) -> bool:
        return (_place(message), user_id) in self._hidden

    def view(self, gap: _Gap, user_id: str) -> frames.ConversationView:
        return self._views[gap.conversation.id, user_id]

    def receipt(self, gap: _Gap, seq: int, user_id: str) -> tuple[str | None, str]:
        """The message a mark stands at, and when it got there as far as that is known."""
        message_id, moment = self._marked.get((gap.conversation.id, seq), {}).get(user_id, (None, None))
        return message_id, clock.rfc3339(moment or clock.now())


# -- reading -------------------------------------------------------------------------------------


def _any(conditions: Iterable[Q]) -> Q:
    return reduce(or_, conditions, Q(pk__in=[]))


def _new_in(gap: _Gap) -> Q:
    return Q(conversation_id=gap.conversation.id, seq__gt=gap.hole.last, seq__lte=gap.hole.last_until)


def _messages(conditions: Iterable[Q]) -> list[Message]:
    return list(Message.objects.using(DATABASE).filter(_any(conditions)).order_by("conversation_id", "seq"))


def _at(places: Iterable[Place]) -> list[Message]:
    wanted = set(places)
    return _messages(Q(conversation_id=place, seq=seq) for place, seq in wanted) if wanted else []


def _changed_in(gaps: Sequence[_Gap]) -> list[Place]:
    """Messages of before the gap that were changed in it."""
    inside = _any(
        Q(conversation_id=gap.conversation.id, change_seq__gt=gap.hole.after, change_seq__lte=gap.hole.until,
          seq__lte=gap.hole.last)
        for gap in gaps
    )  # fmt: skip
    return list(MessageChange.objects.using(DATABASE).filter(inside).values_list("conversation_id", "seq"))


def _hidden(messages: Sequence[Message]) -> set[tuple[Place, str]]:
    """Who deleted which of these for themselves."""
    if not messages:
        return set()
    wanted = {_place(message) for message in messages}
    rows = HiddenMessage.objects.using(DATABASE).filter(
        conversation_id__in={place for place, _ in wanted}, seq__in={seq for _, seq in wanted}
    )
    found = {((row.conversation_id, row.seq), row.user_id) for row in rows}
    return {one for one in found if one[0] in wanted}


def _taken_away(gaps: Sequence[_Gap]) -> set[tuple[Place, str]]:
    """What people deleted for themselves since they last heard of it."""
    conditions = [
        Q(conversation_id=gap.conversation.id, user_id=user_id, state_seq__gt=since)
        for gap in gaps
        for user_id, since in gap.hole.states.items()
    ]
    if not conditions:
        return set()
    rows = HiddenMessage.objects.using(DATABASE).filter(_any(conditions))
    return {((row.conversation_id, row.seq), row.user_id) for row in rows}


def _views(gaps: Sequence[_Gap]) -> dict[tuple[uuid.UUID, str], frames.ConversationView]:
    sides = [gap.sides[user_id] for gap in gaps for user_id in gap.hole.people]
    return dict(zip([side.key for side in sides], conversations.summaries(sides), strict=True))


def _marked(gaps: Sequence[_Gap]) -> dict[Place, dict[str, tuple[str, Any]]]:
    """By place and person: the message there, and when the person claimed it."""
    places = {(gap.conversation.id, seq) for gap in gaps for member in gap.members for seq in _marks(member)}
    there = {message.id: message for message in _at(places)}
    claimed = DeliveryReceipt.objects.using(DATABASE).filter(message_id__in=there)
    moments = {(one.message_id, one.user_id): one.timestamp for one in claimed}
    return {
        _place(message): {
            who: (str(message.id), moments.get((message.id, who), message.created_at)) for who in _people(message, gaps)
        }
        for message in there.values()
    }


def _people(message: Message, gaps: Sequence[_Gap]) -> list[str]:
    return [one.user_id for gap in gaps if gap.conversation.id == message.conversation_id for one in gap.members]


def _marks(member: Member) -> tuple[int, int]:
    return member.shown_delivered_seq, member.shown_read_seq


def _grouped(messages: Iterable[Message]) -> dict[uuid.UUID, list[Message]]:
    grouped: dict[uuid.UUID, list[Message]] = {}
    for message in messages:
        grouped.setdefault(message.conversation_id, []).append(message)
    return grouped


def _place(message: Message) -> Place:
    return message.conversation_id, message.seq


# -- telling -------------------------------------------------------------------------------------


def _told(gap: _Gap, stored: _Stored) -> Told:
    return Told(_step(gap, stored), [one for user_id in gap.hole.people for one in _shown_to(user_id, gap, stored)])


def _shown_to(user_id: str, gap: _Gap, stored: _Stored) -> list[Delivery]:
    """Who does not know the conversation meets it first; else it comes last, as it then stands."""
    summary, rest = _summary(gap, stored, user_id), [*_words(gap, stored, user_id), *_progress(gap, stored, user_id)]
    return [summary, *rest] if gap.hole.is_new else [*rest, summary]


def _step(gap: _Gap, stored: _Stored) -> Step:
    return Step(
        conversation_id=gap.hole.conversation_id,
        people=gap.conversation.people,
        before=gap.hole.after,
        after=gap.hole.until,
        last_before=gap.hole.last,
        last_after=gap.hole.last_until,
        states={member.user_id: member.state_seq for member in gap.members},
        authors=tuple({message.sender_id for message in stored.new(gap)}),
        is_shut=not gap.conversation.is_active,
    )


def _words(gap: _Gap, stored: _Stored, user_id: str) -> Iterable[Delivery]:
    """New messages in the order of `seq`; then what became of older ones."""
    for message in stored.new(gap):
        hidden = stored.is_hidden(message, user_id)
        is_changed = hidden or message.is_deleted or message.edited_at is not None
        yield _shown(message, frames.ChatMessage, user_id, hidden=hidden, as_new=is_changed)
        if is_changed:
            yield _changed(message, user_id, hidden=hidden)
    for message in stored.changed(gap):
        if message.seq >= gap.sides[user_id].me.hidden_before_seq:
            yield _changed(message, user_id, hidden=stored.is_hidden(message, user_id))
    for message in stored.taken_away(gap, user_id):
        yield _shown(message, frames.MessageDeleted, user_id, hidden=True)._replace(change_seq=0)


def _changed(message: Message, user_id: str, *, hidden: bool) -> Delivery:
    kind: Kind = frames.MessageDeleted if hidden or message.is_deleted else frames.MessageUpdated
    return _shown(message, kind, user_id, hidden=hidden)


def _shown(message: Message, kind: Kind, user_id: str, *, hidden: bool, as_new: bool = False) -> Delivery:
    """`as_new`: a socket whose history shows it already drops it by its `seq`, for its change may be later."""
    conversation_id = str(message.conversation_id)
    frame = kind(conversation_id, msgspec.Raw(frames.encode(one_message(message, hidden=hidden))))
    text, seq = frames.encode(frame).decode(), message.seq if as_new else 0
    return Delivery((user_id,), text, conversation_id, message.change_seq, seq=seq)


def _progress(gap: _Gap, stored: _Stored, user_id: str) -> Iterable[Delivery]:
    """How far each of the two has got, not beyond what is shown here."""
    for member in gap.members:
        delivered, read_up_to = (min(mark, gap.hole.last_until) for mark in _marks(member))
        if delivered > read_up_to:
            yield _mark(gap, stored, frames.MessageDelivered, member.user_id, delivered, user_id)
        if read_up_to > 0:
            yield _mark(gap, stored, frames.MessageRead, member.user_id, read_up_to, user_id)


def _mark(
    gap: _Gap, stored: _Stored, kind: type[frames.MessageDelivered] | type[frames.MessageRead],
    whose: str, seq: int, user_id: str,
) -> Delivery:  # fmt: skip
    message_id, moment = stored.receipt(gap, seq, whose)
    frame = kind(gap.hole.conversation_id, whose, seq, message_id, moment)
    return Delivery((user_id,), frames.encode(frame).decode(), gap.hole.conversation_id, gap.hole.until)


def _summary(gap: _Gap, stored: _Stored, user_id: str) -> Delivery:
    view = stored.view(gap, user_id)
    frame: frames.ServerFrame = (
        frames.ConversationCreated(view)
        if gap.hole.is_new
        else frames.ConversationUpdated(gap.hole.conversation_id, view)
    )
    return Delivery((user_id,), frames.encode(frame).decode(), gap.hole.conversation_id)
