"""Where a person is logged in: one session per log-in, listed, ended, and remembered as ended."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import chain
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from doran.contracts.errors import Problem
from doran.contracts.events import SessionRevoked
from doran.core import devices, sealing
from doran.core.models import AuthToken, Outbox, User
from doran.core.rates import place
from doran.kernel import auth, clock
from doran.kernel.auth import Principal

DATABASE = "core"
MOST_LIVE: Final = 100
MOST_DEAD: Final = 100


def acting(principal: Principal) -> User:
    """The person who asks, with their profile. Core looks itself: an ended session is over at once.

    Raises `Problem("not_authenticated")` for an ended session, and for people of a foreign issuer.
    """
    session_id = as_id(principal.session_id)
    if session_id is None:
        raise Problem("not_authenticated", "Only people with an account here may do this.")
    found = AuthToken.objects.select_related("user__profile").filter(id=session_id, ended_at=None).first()
    if found is None or str(found.user_id) != principal.user_id or not found.user.is_active:
        raise Problem("not_authenticated", "The session of this access token has ended.")
    return found.user


def listed(user_id: str) -> list[AuthToken]:
    """The person's live sessions, the one used last first."""
    return list(_live().filter(user_id=user_id).order_by("-last_used_at", "-id"))


def end(user_id: str, session_id: str) -> None:
    """End one of the person's own sessions. Raises `Problem("not_found")` for any other id."""
    wanted = as_id(session_id)
    with transaction.atomic(using=DATABASE):
        lock(user_id)
        found = _live().filter(user_id=user_id, id=wanted).first() if wanted else None
        if found is None:
            raise Problem("not_found")
        close([found], reason="logged_out")


def end_all(user: User, *, reason: str) -> None:
    """End every session of a person whose row the transaction around holds."""
    close(list(_live().filter(user=user)), reason=reason)


def close(sessions: Sequence[AuthToken], *, reason: str) -> None:
    """End these sessions in the transaction around: rows, events, and this process's own memory."""
    for session in sessions:
        now = clock.not_before(session.last_used_at)
        session.ended_at, session.end_reason = now, reason
        session.save(update_fields=["ended_at", "end_reason"])
        Outbox.add(
            SessionRevoked(
                user_id=str(session.user_id),
                session_id=str(session.id),
                reason=reason,
                revoked_at=clock.rfc3339(now),
            )
        )
        _refuse_after_commit(str(session.id))


def make_room(user: User, *, newest: AuthToken) -> None:
    """Keep at most 100 live and 100 dead sessions of a person; who was away longest goes first, never the newest."""
    others = _live().filter(user=user).exclude(id=newest.id)
    close(list(others.order_by("-last_used_at")[MOST_LIVE - 1 :]), reason="replaced")
    dead = AuthToken.objects.filter(user=user).filter(Q(ended_at__isnull=False) | Q(expires_at__lte=clock.now()))
    surplus = list(dead.order_by("-last_used_at").values_list("id", flat=True)[MOST_DEAD:])
    AuthToken.objects.filter(id__in=surplus).delete()


def address_tag(address: str) -> str:
    """An address as a session remembers it: to be recognised, not to be read."""
    return sealing.tag("addresses", place(address)).hex()[:32]


def are_known(user_id: uuid.UUID, address: str, device: str | None) -> tuple[bool, bool]:
    """Return whether this user has logged in before from this address, and with this device."""
    there, this = address_tag(address), devices.tag(user_id, device) if device else None
    either = Q(address_tag=there) | Q(device_tag=this) if this else Q(address_tag=there)
    found = AuthToken.objects.filter(either, user_id=user_id).values_list("address_tag", "device_tag").distinct()
    tags = set(chain.from_iterable(found))
    return there in tags, this in tags


def lock(user_id: str) -> User:
    """The person's row, held until the transaction ends: their changes and events happen one by one."""
    return User.objects.select_for_update().get(id=user_id)


def as_id(text: str | None) -> uuid.UUID | None:
    """An id of core, or None if it cannot be one."""
    return uuid.UUID(text) if text is not None and auth.is_own_id(text) else None


def _live() -> QuerySet[AuthToken]:
    return AuthToken.objects.filter(ended_at=None, expires_at__gt=clock.now())


def _refuse_after_commit(session_id: str) -> None:
    transaction.on_commit(lambda: auth.ended.add(session_id), using=DATABASE)
