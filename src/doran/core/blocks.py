"""Whom a person does not want to hear."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from doran.contracts.errors import Problem, invalid
from doran.contracts.events import UserBlocked, UserUnblocked
from doran.core import sessions, users
from doran.core.models import Block, Outbox
from doran.kernel import clock

DATABASE = "core"
MOST: Final = 1000


def listed(user_id: str) -> list[Block]:
    """Everybody this person blocks, the newest first."""
    return list(Block.objects.filter(user_id=user_id).order_by("-created_at", "-id"))


def block(user_id: str, blocked_user_id: str) -> None:
    """From now on neither reaches the other. Blocking twice is blocking once.

    Raises `Problem`: `not_found`, `validation_failed` for oneself, `conflict` after 1000 people.
    """
    other = users.get(blocked_user_id)
    if str(other.id) == user_id:
        raise invalid("user_id", "Nobody can block themselves.")
    with transaction.atomic(using=DATABASE):
        sessions.lock(user_id)
        mine = Block.objects.filter(user_id=user_id)
        if mine.filter(blocked_user=other).exists():
            return
        if mine.count() >= MOST:
            raise Problem("conflict", f"At most {MOST} people can be blocked.")
        row = Block.objects.create(user_id=user_id, blocked_user=other, created_at=clock.now())
        Outbox.add(UserBlocked(user_id, str(other.id), clock.rfc3339(row.created_at)))


def unblock(user_id: str, blocked_user_id: str) -> None:
    """Take a block back; without one, nothing happens."""
    known = sessions.as_id(blocked_user_id)
    with transaction.atomic(using=DATABASE):
        sessions.lock(user_id)
        gone, _ = Block.objects.filter(user_id=user_id, blocked_user_id=known).delete()
        if gone:
            Outbox.add(UserUnblocked(user_id, blocked_user_id, clock.rfc3339(clock.now())))
