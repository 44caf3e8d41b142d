"""Who talks where: learned from chat's events, or by asking chat for one of the two people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.models import Q
from msgspec import structs

from doran.ai import reading
from doran.ai.models import Conversation
from doran.contracts.errors import Problem
from doran.contracts.frames import MessageView
from doran.contracts.people import ASSISTANT_ID

DATABASE = "ai"
NOBODY: Final = ""
"""Who stands where somebody was erased."""


def learn(conversation_id: str, one: str, other: str) -> Conversation:
    """Remember whose conversation this is. Its two people never change."""
    people = {"participant1_id": one, "participant2_id": other}
    return Conversation.objects.get_or_create(id=conversation_id, defaults=people)[0]


def of(conversation_id: str, user_id: str) -> Conversation:
    """A conversation of this person. Raises `Problem`: `not_found`, or `unavailable` if only chat knows and is away."""
    known = Conversation.objects.filter(id=conversation_id).first()
    if known is None:
        seen = reading.conversation(conversation_id, user_id)
        known = learn(conversation_id, seen.participant1_id, seen.participant2_id)
    if user_id not in known.people:
        raise Problem("not_found")
    return known


def hold(conversation_id: str) -> Conversation | None:
    """Whatever is kept or forgotten of a conversation happens one after another; until the transaction around ends."""
    return Conversation.objects.select_for_update().filter(id=conversation_id).first()


def forget(user_id: str) -> None:
    """Leave the place of this person empty in every conversation; where nobody else is left, nothing. In a transaction."""
    theirs = Conversation.objects.filter(Q(participant1_id=user_id) | Q(participant2_id=user_id))
    for place in list(theirs.select_for_update().order_by("id")):
        if other(place, user_id) in (NOBODY, ASSISTANT_ID):
            place.delete()
        else:
            side = "participant1_id" if place.participant1_id == user_id else "participant2_id"
            Conversation.objects.filter(id=place.id).update(**{side: NOBODY})


def known(conversation_id: str, messages: Iterable[MessageView]) -> list[MessageView]:
    """Messages of this conversation as they may be written down: what erased people said is nobody's. With it held."""
    place = Conversation.objects.filter(id=conversation_id).first()
    if place is None or NOBODY not in place.people:
        return list(messages)
    return [one if one.sender_id in place.people else structs.replace(one, sender_id=NOBODY) for one in messages]


def is_assistants(place: Conversation) -> bool:
    """Whether it is the assistant itself that one writes to here."""
    return ASSISTANT_ID in place.people


def other(place: Conversation, user_id: str) -> str:
    one, another = place.people
    return another if user_id == one else one
