"""Conversations: between two people, as one of them may see them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.db.models import Q

from doran.chat import people
from doran.chat.models import Conversation, HiddenMessage, Member, Message, Outbox
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

    def view(
        self, last: Message | None, *, messages: Iterable[frames.MessageView] = (), hidden: bool = False
    ) -> frames.ConversationView:
        shown = None if last is None else one_message(last, hidden=hidden)
        return conversation_view(self.conversation, self.me, self.peer, shown, messages=messages)


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
    if not people.may_talk(caller, other):
        raise Problem("person_unavailable")
    found = Conversation.objects.using(DATABASE).filter(pair_key=pair_key(caller, other)).first()
    if found is not None:
        return Outcome((summary(for_member(str(found.id), caller)), False))
    side = _create(caller, other)
    return Outcome((side.view(None), True), deliveries=[_created(side), _created(_turned(side))])


def _create(caller: str, other: str) -> Side:
    now, new = clock.now(), clock.new_id()
    conversation = Conversation(
        id=new, pair_key=pair_key(caller, other), participant1_id=caller, participant2_id=other,
        created_at=now, updated_at=now, bucket=new.int % BUCKETS,
    )  # fmt: skip
    conversation.save(using=DATABASE, force_insert=True)
    me, peer = (Member(conversation=conversation, user_id=user_id) for user_id in (caller, other))
    Member.objects.using(DATABASE).bulk_create([me, peer])
    Outbox.add(events.ConversationCreated(str(new), caller, other, clock.rfc3339(now)))
    return Side(conversation, me, peer)


def _turned(side: Side) -> Side:
    return Side(side.conversation, side.peer, side.me)


def _created(side: Side) -> Delivery:
    frame = frames.ConversationCreated(conversation=side.view(None))
    return Delivery((side.me.user_id,), frames.encode(frame).decode(), None)


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
    members: dict[uuid.UUID, list[Member]] = {}
    rows = Member.objects.using(DATABASE).filter(conversation_id__in=ids).select_related("conversation")
    for member in rows:
        members.setdefault(member.conversation_id, []).append(member)
    found = (_side(members[one], user_id) for one in ids if one in members)
    return [side for side in found if side is not None]


def _side(members: Sequence[Member], user_id: str) -> Side | None:
    by_person = {member.user_id: member for member in members}
    me = by_person.pop(user_id, None)
    return None if me is None else Side(me.conversation, me, next(iter(by_person.values())))


def summary(side: Side) -> frames.ConversationView:
    """The conversation with its last message, without the others."""
    return summaries([side])[0]


def summaries(sides: Sequence[Side]) -> list[frames.ConversationView]:
    """The same for many, in a constant number of queries."""
    last = _last_messages(sides)
    hidden = _hidden_last(sides)
    return [side.view(last.get(side.conversation.id), hidden=side.conversation.id in hidden) for side in sides]


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


def _hidden_last(sides: Sequence[Side]) -> set[uuid.UUID]:
    """Conversations whose last message this person deleted for themselves."""
    if not sides:
        return set()
    last = {side.conversation.id: side.conversation.last_seq for side in sides}
    rows = HiddenMessage.objects.using(DATABASE).filter(
        user_id=sides[0].me.user_id, conversation_id__in=last, seq__in=set(last.values())
    )
    return {row.conversation_id for row in rows if last[row.conversation_id] == row.seq}


def listed(user_id: str, *, page: int, page_size: int) -> tuple[list[frames.ConversationView], int]:
    """One page of a person's conversations, newest activity first, and how many there are in all."""
    mine = Member.objects.using(DATABASE).filter(user_id=user_id)
    first = (page - 1) * page_size
    newest = Conversation.objects.using(DATABASE).filter(members__user_id=user_id).order_by("-updated_at", "-id")
    ids = list(newest.values_list("id", flat=True)[first : first + page_size])
    return summaries(sides_of(user_id, ids)), mine.count()


def set_active(conversation: Conversation, is_active: bool) -> list[Delivery]:
    """Open or close a conversation for sending; both are told. In the writer's transaction."""
    if conversation.is_active == is_active:
        return []
    conversation.is_active = is_active
    conversation.change_seq += 1
    conversation.save(using=DATABASE, update_fields=["is_active", "change_seq"])
    sides = [for_member(str(conversation.id), user_id) for user_id in people_of(conversation)]
    return [updated(side) for side in sides]


def people_of(conversation: Conversation) -> tuple[str, str]:
    return conversation.participant1_id, conversation.participant2_id


def updated(side: Side) -> Delivery:
    """The conversation as it now stands, for this person's own screens."""
    frame = frames.ConversationUpdated(conversation_id=str(side.conversation.id), conversation=summary(side))
    return Delivery((side.me.user_id,), frames.encode(frame).decode(), str(side.conversation.id))


def bump(conversation: Conversation) -> int:
    """One more change that both may see; the number it has. In the writer's transaction."""
    conversation.change_seq += 1
    conversation.save(using=DATABASE, update_fields=["change_seq"])
    return conversation.change_seq


def talking_with(user_id: str, others: Iterable[str]) -> set[str]:
    """Those of the others whom this person shares an open conversation with."""
    rows = Member.objects.using(DATABASE).filter(
        conversation__pair_key__in=[pair_key(user_id, other) for other in set(others)],
        conversation__is_active=True,
    )
    return set(rows.exclude(user_id=user_id).values_list("user_id", flat=True))
