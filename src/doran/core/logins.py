"""Proving who one is by a password, without telling strangers anything and without locking people out."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Hashable
from typing import Final

from doran.contracts.errors import Problem
from doran.core import devices, passwords, sessions, texts
from doran.core.models import User
from doran.core.rates import place, rates

log = logging.getLogger("doran.core")

_NOBODY: Final = uuid.UUID(int=0)


def prove(username: str, password: str, *, address: str, device: str | None = None) -> User:
    """Return the user with this name and password; `device` is the cookie of a known device, if one was sent.

    An unknown name, a wrong password and a deactivated person cost the same and look the same.
    Raises `Problem`: `invalid_credentials`, `too_many_requests`, `unavailable`.
    """
    if device is None:  # before the database is asked
        rates().logins.check(place(address))
    handle = texts.handle(username)
    user = User.objects.select_related("profile").filter(handle=handle, erased_at=None).first()
    log_ins_of, account = _counted(handle, user, address, device)
    if device is not None:
        rates().logins.check(log_ins_of)
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


def _counted(handle: str, user: User | None, address: str, device: str | None) -> tuple[Hashable, Hashable]:
    """Return the rate-limit keys for log-ins and for failures: a known device or address has its own (see `rates`)."""
    user_id = user.id if user else _NOBODY
    is_place_known, is_device_known = sessions.are_known(user_id, address, device)
    if device is not None and is_device_known:
        this = ("device", devices.tag(user_id, device))
        return this, this
    return place(address), (handle, place(address)) if is_place_known else handle


def _hash_anew(user: User, password: str) -> None:
    if passwords.in_use().is_outdated(user.password):
        user.password = passwords.in_use().hash(password)
        user.save(update_fields=["password"])
