"""Proving who one is by a password, without telling strangers anything and without locking people out."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Hashable
from typing import Final

from doran.contracts.errors import Problem
from doran.core import passwords, sessions, texts
from doran.core.models import User
from doran.core.rates import place, rates

log = logging.getLogger("doran.core")

_NOBODY: Final = uuid.UUID(int=0)


def prove(username: str, password: str, *, address: str) -> User:
    """The person with this name and password.

    An unknown name, a wrong password and a deactivated person cost the same and look the same.
    Raises `Problem`: `invalid_credentials`, `too_many_requests`, `unavailable`.
    """
    rates().logins.check(place(address))
    handle = texts.handle(username)
    user = User.objects.select_related("profile").filter(handle=handle, erased_at=None).first()
    account = _account(handle, user, address)
    _compare(user, password, account)
    if user is None or not user.is_active:
        raise Problem("invalid_credentials")
    rates().failed.give_back(account)
    _hash_anew(user, password)
    return user


def prove_again(user: User, password: str) -> None:
    """Somebody who is logged in proves it once more. Raises as `prove`."""
    account = ("again", user.id)
    _compare(user, password, account)
    rates().failed.give_back(account)


def _compare(user: User | None, password: str, account: Hashable) -> None:
    """Count this try as a failure before it is one, so that many at once cannot slip through."""
    rates().failed.check(account)
    if not passwords.in_use().fits(password, user.password if user else None):
        log.info("log-in failed", extra={"user_id": str(user.id) if user else None})
        raise Problem("invalid_credentials")


def _account(handle: str, user: User | None, address: str) -> Hashable:
    """What failures are counted by: a known place has a count of its own (see `rates`)."""
    is_known = sessions.is_known_address(user.id if user else _NOBODY, address)
    return (handle, place(address)) if is_known else handle


def _hash_anew(user: User, password: str) -> None:
    if passwords.in_use().is_outdated(user.password):
        user.password = passwords.in_use().hash(password)
        user.save(update_fields=["password"])
