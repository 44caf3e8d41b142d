"""Conversations: between two people, as one of them may see them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import Q

from doran.chat import feed, people, timelines
from doran.chat.models import Conversation, HiddenMessage, LostRange, Member, Message, Outbox
from doran.chat.shop import shop
from doran.chat.views import conversation_view, one_message
from doran.chat.writer import DATABASE, Outcome
from doran.contracts import events, frames
from doran.contracts.errors import Problem, invalid
from doran.kernel import clock
from doran.realtime.hub import Delivery

BUCKETS = 1024


@dataclass(slots=True)
class Side:
    """A conversation from one of its two people's side."""

    conversation: Conversation
    me: Member
    peer: Member
    lost: tuple[LostRange, ...] = ()

    @property
    def key(self) -> tuple[uuid.UUID, str]:
        return self.conversation.id, self.me.user_id

    def view(
        self, last: Message | None, *, messages: Iterable[frames.MessageView] = (), hidden: bool = False
    ) -> frames.ConversationView:
        shown = None if last is None else one_message(last, hidden=hidden)
        return conversation_view(self.conversation, self.me, self.peer, shown, self.lost, messages=messages)


def pair_key(one: str, other: str) -> str:
    """The same for (a, b) and (b, a), different for every other pair: lengths keep ids apart."""
    first, second = sorted((one.encode(), other.encode()))
    return hashlib.sha256(b"%d:%b%d:%b" % (len(first), first, len(second), second)).hexdigest()


@lru_cache(maxsize=50_000)
def parse_id(text: str) -> uuid.UUID:
    """An id from outside. One that cannot be ours is like one that does not exist: 404."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        raise Problem("not_found") from None
    if str(parsed) != text:
        raise Problem("not_found")
    return parsed


def between(*, asker: people.Asker, other: str) -> tuple[frames.ConversationView, bool]:
    """The conversation of two people, made if there is none; and whether it was made now."""
    caller = asker.user_id
    if other == caller:
        raise invalid("participant_id", "A conversation takes two people.")
    people.require(caller, asker=asker)
    people.require(other, asker=asker)
    made: tuple[frames.ConversationView, bool] = shop().writer.run(lambda: _between(caller, other))
    return made


def _between(caller: str, other: str) -> Outcome:
    """In the writer's transaction."""
    people.hold(caller, other)
    if not people.may_talk(caller, other) or people.are_bots(caller, other):
        raise Problem("person_unavailable")
    found = Conversation.objects.using(DATABASE).filter(pair_key=pair_key(caller, other)).first()
    if found is not None:
        return Outcome((summary(for_member(str(found.id), caller)), False))
    side = _create(caller, other)
    return Outcome((side.view(None), True), deliveries=[_created(side), _created(turned(side))])


def _create(caller: str, other: str) -> Side:
    now, new = clock.stamp(), clock.new_id()
    conversation = Conversation(
        id=new, pair_key=pair_key(caller, other), participant1_id=caller, participant2_id=other,
        created_at=now, updated_at=now, bucket=new.int % BUCKETS,
    )  # fmt: skip
    conversation.save(using=DATABASE, force_insert=True)
    me, peer = (Member(conversation=conversation, user_id=user_id) for user_id in (caller, other))
    Member.objects.using(DATABASE).bulk_create([me, peer])
    Outbox.add(events.ConversationCreated(str(new), caller, other, clock.rfc3339(now)))
    feed.note_start(conversation)
    return Side(conversation, me, peer)


def turned(side: Side) -> Side:
    """Return the same conversation from the other member's side."""
    return Side(side.conversation, side.peer, side.me, side.lost)


def _created(side: Side) -> Delivery:
    frame = frames.ConversationCreated(conversation=side.view(None))
    return Delivery((side.me.user_id,), frames.encode(frame).decode(), str(side.conversation.id))


def for_member(conversation_id: str, user_id: str, *, lock: bool = False) -> Side:
    """Authorisation is this fetch: what is not yours is not found. `lock` inside the writer only."""
    parsed = parse_id(conversation_id)
    if lock:
        Conversation.objects.using(DATABASE).select_for_update().filter(id=parsed).first()
    sides = sides_of(user_id, [parsed])
    if not sides:
        raise Problem("not_found")
    return sides[0]


def sides_of(user_id: str, ids: Sequence[uuid.UUID]) -> list[Side]:
    """This person's sides of these conversations, in this order, leaving out what is not theirs.

    Each conversation comes with both members in one statement, so that no mark is ahead of it.
    """
    both = {side.key: side for side in both_sides(ids)}
    return [side for one in ids if (side := both.get((one, user_id))) is not None]


def both_sides(ids: Sequence[uuid.UUID]) -> Iterator[Side]:
    """Each conversation as both its people see it, one after the other."""
    members: dict[uuid.UUID, list[Member]] = {}
    rows = Member.objects.using(DATABASE).filter(conversation_id__in=ids).select_related("conversation")
    for member in rows:
        members.setdefault(member.conversation_id, []).append(member)
    lost = timelines.lost_ranges(place for place, (one, _) in members.items() if one.conversation.lost_seq)
    for conversation_id, (one, other) in members.items():
        side = Side(one.conversation, one, other, lost.get(conversation_id, ()))
        yield from (side, turned(side))


def summary(side: Side) -> frames.ConversationView:
    """The conversation with its last message, without the others."""
    return summaries([side])[0]


def summaries(sides: Sequence[Side]) -> list[frames.ConversationView]:
    """The same for many, in a constant number of queries."""
    last = _last_messages(sides)
    hidden = _hidden_last(sides)
    return [side.view(last.get(side.conversation.id), hidden=side.key in hidden) for side in sides]


def _last_messages(sides: Sequence[Side]) -> dict[uuid.UUID, Message]:
    wanted = [side for side in sides if side.conversation.last_seq >= max(1, side.me.hidden_before_seq)]
    ids = [_message_at(side.conversation) for side in wanted]
    found = _at(ids)
    return {message.conversation_id: message for message in found}


def _message_at(conversation: Conversation) -> tuple[uuid.UUID, int]:
    return conversation.id, conversation.last_seq


def _at(places: Sequence[tuple[uuid.UUID, int]]) -> Iterable[Message]:
    condition = Q(pk__in=[])
    for conversation_id, seq in places:
        condition |= Q(conversation_id=conversation_id, seq=seq)
    return Message.objects.using(DATABASE).filter(condition)


def _hidden_last(sides: Sequence[Side]) -> set[tuple[uuid.UUID, str]]:
    """Conversations whose last message a person deleted for themselves, with that person."""
    if not sides:
        return set()
    last = {side.conversation.id: side.conversation.last_seq for side in sides}
    rows = HiddenMessage.objects.using(DATABASE).filter(
        conversation_id__in=last, seq__in=set(last.values()), user_id__in={side.me.user_id for side in sides}
    )
    return {(row.conversation_id, row.user_id) for row in rows if last[row.conversation_id] == row.seq}


def set_active(conversation: Conversation, is_active: bool) -> list[Delivery]:
    """Open or close a conversation for sending; both are told. In the writer's transaction."""
    if conversation.is_active == is_active:
        return []
    conversation.is_active = is_active
    conversation.change_seq += 1
    conversation.save(using=DATABASE, update_fields=["is_active", "change_seq"])
    feed.note_change(conversation, is_shut=not is_active)
    sides = [for_member(str(conversation.id), user_id) for user_id in conversation.people]
    return [updated(side) for side in sides]


def updated(side: Side) -> Delivery:
    """The conversation as it now stands, for this person's own screens."""
    return _updated(side, summary(side))


def both_updated(ids: Sequence[uuid.UUID]) -> list[Delivery]:
    """The same for both people of each, where the last message is a new one."""
    sides = list(both_sides(ids))
    last = _last_messages(sides[::2])
    return [_updated(side, side.view(last.get(side.conversation.id))) for side in sides]


def _updated(side: Side, view: frames.ConversationView) -> Delivery:
    frame = frames.ConversationUpdated(conversation_id=str(side.conversation.id), conversation=view)
    return Delivery((side.me.user_id,), frames.encode(frame).decode(), str(side.conversation.id))


def bump(conversation: Conversation) -> int:
    """One more change that both may see; the number it has. In the writer's transaction."""
    conversation.change_seq += 1
    conversation.save(using=DATABASE, update_fields=["change_seq"])
    feed.note_change(conversation)
    return conversation.change_seq


def talking_with(user_id: str, others: Iterable[str]) -> set[str]:
    """Those of the others whom this person shares an open conversation with."""
    rows = Member.objects.using(DATABASE).filter(
        conversation__pair_key__in=[pair_key(user_id, other) for other in set(others)],
        conversation__is_active=True,
    )
    return set(rows.exclude(user_id=user_id).values_list("user_id", flat=True))
