"""How people show themselves: display name, picture, status line, language and time zone."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from django.db import transaction

from doran.contracts.errors import FieldError, Problem
from doran.contracts.events import UserUpdated
from doran.core import texts
from doran.core.models import (
    AVATAR_URL_LENGTH,
    STATUS_MESSAGE_LENGTH,
    Outbox,
    Profile,
    User,
)
from doran.kernel import clock

DATABASE = "core"
_LOCALE: Final = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?")
_PRINTABLE_URL: Final = re.compile(r"[!-~]+")


def change(user_id: str, wanted: Mapping[str, Any]) -> User:
    """Change these fields of the profile, all or none. Nothing is said when nothing is new.

    Raises `Problem("validation_failed")` with every wrong field.
    """
    cleaned = {name: _CLEAN[name](value) for name, value in wanted.items()}
    refuse(*(_WRONG[name](value) for name, value in cleaned.items()))
    with transaction.atomic(using=DATABASE):
        user = User.objects.select_for_update().get(id=user_id)
        if _apply(user.profile, cleaned):
            user.updated_at = clock.not_before(user.updated_at)
            user.save(update_fields=["updated_at"])
            Outbox.add(said(user))
    return user


def first(user: User, display_name: str) -> Profile:
    """The profile of somebody new."""
    return Profile(user=user, display_name=display_name)


def refuse(*found: FieldError | None) -> None:
    """Raise `Problem("validation_failed")` if any field is wrong."""
    wrong = tuple(error for error in found if error is not None)
    if wrong:
        raise Problem("validation_failed", errors=wrong)


def said(user: User) -> UserUpdated:
    """The public profile as others hear of it."""
    return UserUpdated(
        user_id=str(user.id),
        username=user.username,
        display_name=user.profile.display_name,
        avatar_url=user.profile.avatar_url,
        status_message=user.profile.status_message,
        locale=user.profile.locale,
        updated_at=clock.rfc3339(user.updated_at),
    )


def _apply(profile: Profile, cleaned: Mapping[str, Any]) -> bool:
    new = {name: value for name, value in cleaned.items() if getattr(profile, name) != value}
    for name, value in new.items():
        setattr(profile, name, value)
    if new:
        profile.save(update_fields=list(new))
    return bool(new)


def _wrong_status_message(text: str) -> FieldError | None:
    return texts.wrong_line("status_message", text, most=STATUS_MESSAGE_LENGTH)


def _wrong_avatar_url(url: str | None) -> FieldError | None:
    if url is None:
        return None
    if len(url) > AVATAR_URL_LENGTH:
        return FieldError("avatar_url", f"Use at most {AVATAR_URL_LENGTH} characters.")
    return None if _is_https(url) else FieldError("avatar_url", "Use a whole https:// address.")


def _is_https(url: str) -> bool:
    if not _PRINTABLE_URL.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False


def _wrong_locale(name: str) -> FieldError | None:
    return None if _LOCALE.fullmatch(name) else FieldError("locale", "Use a language tag such as ko or en-US.")


def _wrong_time_zone(name: str) -> FieldError | None:
    return None if name in _time_zones() else FieldError("time_zone", "Use a time zone such as Asia/Seoul.")


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _as_it_is(value: Any) -> Any:
    return value


_CLEAN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "display_name": texts.line,
    "status_message": texts.line,
    "avatar_url": _as_it_is,
    "locale": _as_it_is,
    "time_zone": _as_it_is,
}
_WRONG: Final[Mapping[str, Callable[[Any], FieldError | None]]] = {
    "display_name": texts.wrong_display_name,
    "status_message": _wrong_status_message,
    "avatar_url": _wrong_avatar_url,
    "locale": _wrong_locale,
    "time_zone": _wrong_time_zone,
}
