"""What chat knows of people: a projection of core's events, and one question where it has a gap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db.models import F, Q

from doran.chat.models import USER_ID_LENGTH, Block, Conversation, Member, Person
from doran.chat.shop import shop
from doran.chat.writer import DATABASE
from doran.contracts.errors import Problem
from doran.kernel import auth, clock
from doran.text import policy

AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose request this is."""

    user_id: str
    issuer: str


def require(user_id: str, *, asker: Asker) -> None:
    """Raise 404 `recipient_unavailable` unless this is a person who can be reached.

    Somebody who signed up a moment ago may be ahead of the event that says so: core is asked then.
    People of a foreign issuer are taken by the form of their id, if the settings say so.
    """
    known = find(user_id)
    if known is None and _exists(user_id, asker):
        known = shop().writer.run(lambda: learn(user_id))
    if known is None or not known.is_active:
        raise Problem("person_unavailable")


def require_active(user_id: str) -> None:
    """Raise 404 `not_found` unless this is a person who may act now."""
    known = find(user_id)
    if known is None or not known.is_active:
        raise Problem("not_found")


def find(user_id: str) -> Person | None:
    if not policy.is_opaque_id(user_id, most=USER_ID_LENGTH):
        return None  # PostgreSQL cannot even be asked for some
    return Person.objects.using(DATABASE).filter(user_id=user_id).first()


def learn(user_id: str, **facts: object) -> Person:
    """Remember a person, or what is new of one. In the writer's transaction."""
    person, is_new = Person.objects.using(DATABASE).get_or_create(
        user_id=user_id, defaults={"known_at": clock.now(), **facts}
    )
    if not is_new and facts and not person.is_erased:
        Person.objects.using(DATABASE).filter(user_id=user_id).update(**facts)
        person.refresh_from_db(using=DATABASE)
    return person


def hold(*user_ids: str) -> None:
    """Nobody else decides until the commit whether these people may talk. In the writer's transaction."""
    list(Person.objects.using(DATABASE).select_for_update().filter(user_id__in=user_ids).order_by("user_id"))


def may_talk(one: str, other: str) -> bool:
    """Neither blocks the other, and both are there."""
    blocked = Block.objects.using(DATABASE).filter(
        Q(user_id=one, blocked_user_id=other) | Q(user_id=other, blocked_user_id=one)
    )
    gone = Person.objects.using(DATABASE).filter(user_id__in=(one, other), is_active=False)
    return not blocked.exists() and not gone.exists()


def are_bots(*user_ids: str) -> bool:
    """Whether no human is among them."""
    rows = Person.objects.using(DATABASE).filter(user_id__in=user_ids, kind="bot")
    return len(set(rows.values_list("user_id", flat=True))) == len(user_ids)


def next_state_seq(user_id: str) -> int:
    """The number of this person's next private change. In the writer's transaction."""
    people = Person.objects.using(DATABASE).filter(user_id=user_id)
    if not people.update(state_seq=F("state_seq") + 1):
        learn(user_id, state_seq=1)
        return 1
    return int(people.values_list("state_seq", flat=True).get())


def state_seq(user_id: str) -> int:
    return Person.objects.using(DATABASE).filter(user_id=user_id).values_list("state_seq", flat=True).first() or 0


def conversations_of(user_id: str) -> list[Conversation]:
    """Every conversation of a person, held until the commit."""
    return list(Conversation.objects.using(DATABASE).select_for_update().filter(members__user_id=user_id))


def acquainted(user_id: str) -> Iterator[tuple[str, ...]]:
    """Yield everybody who shares a conversation with this person, and the person, some hundreds at a time."""
    members = Member.objects.using(DATABASE).filter(conversation__members__user_id=user_id)
    ids = members.values_list("user_id", flat=True).distinct()
    everybody = tuple({user_id, *ids})
    for start in range(0, len(everybody), AT_ONCE):
        yield everybody[start : start + AT_ONCE]


def _exists(user_id: str, asker: Asker) -> bool:
    """Core is asked for ids it could have made; all others can only be foreign."""
    if auth.is_own_id(user_id):
        return shop().core_knows(user_id)
    config = shop().config
    return bool(config.foreign_people and asker.issuer == config.foreign_issuer and auth.may_be_foreign(user_id))
