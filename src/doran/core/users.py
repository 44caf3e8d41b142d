"""People: sign up, be found, be seen, be switched off and on again, be erased."""

from __future__ import annotations

import hmac
import logging
import uuid

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from doran.contracts.errors import Problem
from doran.contracts.events import UserCreated, UserDeactivated, UserErased
from doran.core import handles, logins, passwords, profiles, sessions, texts
from doran.core.models import BOT, HUMAN, AuthToken, Block, Outbox, Profile, User
from doran.core.rates import place, rates
from doran.kernel import clock, config

log = logging.getLogger("doran.core")

DATABASE = "core"


def sign_up(
    username: str, password: str, *, display_name: str | None = None, invite_code: str | None = None, address: str
) -> User:
    """A new person, if the sign-up policy lets them in.

    Raises `Problem`: `signups_closed`, `invite_required`, `validation_failed`, `weak_password`,
    `username_taken`, `too_many_requests`, `unavailable`.
    """
    rates().signups.check(place(address))
    _check_policy(invite_code)
    shown = texts.shown_username(username) if display_name is None else texts.line(display_name)
    profiles.refuse(texts.wrong_username(username), None if display_name is None else texts.wrong_display_name(shown))
    passwords.check(password, username=username)
    _check_free(texts.handle(username))
    hashed = passwords.in_use().hash(password)
    user = _created(username, hashed, shown)
    log.info("signed up", extra={"user_id": str(user.id)})
    return user


def find(username: str, *, asker_id: str) -> User | None:
    """The person with exactly this user name, capitals aside. Raises `Problem("too_many_requests")`."""
    rates().lookups.check(asker_id)
    return _people().filter(handle=texts.handle(username), is_active=True).first()


def get(user_id: str) -> User:
    """A person by id, also a deactivated one. Raises `Problem`: `not_found`, `user_erased`."""
    known = sessions.as_id(user_id)
    user = User.objects.select_related("profile").filter(id=known).first() if known else None
    if user is None:
        raise Problem("not_found")
    if user.erased_at is not None:
        raise Problem("user_erased")
    return user


def deactivate(username: str) -> User:
    """Switch a person off: all sessions end, nobody reaches them, everything stays. For operators.

    Raises `Problem`: `not_found`, `conflict` for a bot.
    """
    with transaction.atomic(using=DATABASE):
        user = _named(username)
        if user.is_active:
            _switch(user, active=False)
            sessions.end_all(user, reason="deactivated")
    return user


def reactivate(username: str) -> User:
    """Take `deactivate` back. Raises `Problem`: `not_found`, `conflict` for a bot."""
    with transaction.atomic(using=DATABASE):
        user = _named(username)
        if not user.is_active:
            _switch(user, active=True)
    return user


def add_bot(user_id: str, username: str, *, display_name: str) -> User:
    """A person whom no human stands behind: without a password, so that nobody ever logs in as them.

    Raises `Problem("username_taken")` where the user name, or the id, is in use.
    """
    return _created(username, "", display_name, user_id=user_id, kind=BOT)


def switch_bot(user_id: str, *, active: bool) -> None:
    """Let a bot be reached, or not. Nothing is said when nothing changes."""
    with transaction.atomic(using=DATABASE):
        user = User.objects.select_for_update().get(id=user_id)
        if user.is_active != active:
            _switch(user, active=active)


def release(username: str) -> None:
    """Let anybody take the user name of an erased person, for operators. Raises `Problem("not_found")`."""
    if not handles.release(texts.handle(username)):
        raise Problem("not_found", "No such user name is resting.")
    log.info("handle released")


def erase(username: str) -> None:
    """Forget a person for good, for operators. Raises `Problem`: `not_found`, `conflict` for a bot."""
    with transaction.atomic(using=DATABASE):
        _forget(_named(username))


def erase_me(user: User, password: str) -> None:
    """Forget the person who asks, for good. Raises as `logins.prove`."""
    logins.prove_again(user, password)
    with transaction.atomic(using=DATABASE):
        held = sessions.lock(str(user.id))
        if held.erased_at is None:
            _forget(held)


# -- signing up -----------------------------------------------------------------------------------


def _check_policy(invite_code: str | None) -> None:
    now = config.current()
    if now.signup == "closed":
        raise Problem("signups_closed")
    if now.signup == "invite" and not _is_invited(invite_code, now.invite_codes):
        raise Problem("invite_required")


def _is_invited(code: str | None, codes: tuple[str, ...]) -> bool:
    shown = (code or "").encode()
    return sum(hmac.compare_digest(shown, known.encode()) for known in codes) > 0  # all of them, in the same time


def _check_free(handle: str) -> None:
    if User.objects.filter(handle=handle).exists() or handles.is_resting(handle):
        raise Problem("username_taken")


def _created(username: str, hashed: str, display_name: str, **more: str) -> User:
    try:
        with transaction.atomic(using=DATABASE):
            user = _inserted(username, hashed, display_name, **more)
            if handles.is_resting(user.handle):  # since the row is there, no erasure can free the handle unseen
                raise Problem("username_taken")
            Outbox.add(_said(user))
    except IntegrityError:
        raise Problem("username_taken") from None
    return user


def _inserted(username: str, hashed: str, display_name: str, *, user_id: str = "", kind: str = HUMAN) -> User:
    now = clock.now()
    user = User.objects.create(
        id=uuid.UUID(user_id) if user_id else clock.new_id(),
        username=texts.shown_username(username),
        handle=texts.handle(username),
        password=hashed,
        kind=kind,
        created_at=now,
        updated_at=now,
    )
    Profile.objects.create(user=user, display_name=display_name)
    return user


def _said(user: User) -> UserCreated:
    return UserCreated(
        user_id=str(user.id),
        username=user.username,
        display_name=user.profile.display_name,
        created_at=clock.rfc3339(user.created_at),
        kind=user.kind,
    )


# -- switching off, erasing -------------------------------------------------------------------------


def _people() -> QuerySet[User]:
    return User.objects.select_related("profile").filter(erased_at=None)


def _named(username: str) -> User:
    user = User.objects.select_for_update().filter(handle=texts.handle(username), erased_at=None).first()
    if user is None:
        raise Problem("not_found", "Nobody has this user name.")
    if user.kind == BOT:
        raise Problem("conflict", "This is the assistant: DORAN_AI_ASSISTANT, its name, says whether it is there.")
    return user


def _switch(user: User, *, active: bool) -> None:
    user.is_active, user.updated_at = active, clock.not_before(user.updated_at)
    user.save(update_fields=["is_active", "updated_at"])
    Outbox.add(UserDeactivated(user_id=str(user.id), active=active, changed_at=clock.rfc3339(user.updated_at)))
    log.info("person switched", extra={"user_id": str(user.id), "active": active})


def _forget(user: User) -> None:
    """Sessions end, everything personal goes. The id stays and the handle rests, so that nobody else gets them."""
    handles.rest(user.handle)
    sessions.end_all(user, reason="erased")
    AuthToken.objects.filter(user=user).update(device_name="", address_tag="", device_tag="")
    Block.objects.filter(Q(user=user) | Q(blocked_user=user)).delete()
    Profile.objects.filter(user=user).delete()
    now = clock.not_before(user.updated_at)
    User.objects.filter(id=user.id).update(
        username="", handle=f"erased:{user.id}", password="", is_active=False, updated_at=now, erased_at=now
    )
    Outbox.add(UserErased(user_id=str(user.id), erased_at=clock.rfc3339(now)))
    log.info("person erased", extra={"user_id": str(user.id)})
