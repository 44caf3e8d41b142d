"""What core shows of people, sessions and blocks: the bodies of its answers."""

from __future__ import annotations

from typing import Literal

import msgspec

from doran.contracts.frames import PublicProfile
from doran.core.models import BOT, AuthToken, Block, User
from doran.kernel.clock import rfc3339


class OwnProfile(PublicProfile, frozen=True):
    """What only the person sees, too."""

    locale: str
    time_zone: str


class UserView(msgspec.Struct, frozen=True):
    """A person as others see them. A `bot` is nobody's account: the assistant."""

    id: str
    username: str
    kind: Literal["human", "bot"]
    profile: PublicProfile


class OwnUserView(msgspec.Struct, frozen=True):
    """A person as they see themselves."""

    id: str
    username: str
    profile: OwnProfile
    created_at: str


class TokenPair(msgspec.Struct, frozen=True):
    """What a log-in or a refresh gives. `expires_in` is in seconds, of the access token."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    user_id: str
    session_id: str


class ServiceToken(msgspec.Struct, frozen=True):
    """What a service asks another with. `expires_in` is in seconds, `scope` lists what it may, with blanks between."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    scope: str


class SessionView(msgspec.Struct, frozen=True):
    """One place where the person is logged in; `current` is the one that asks."""

    id: str
    device_name: str
    created_at: str
    last_used_at: str
    current: bool


class SessionList(msgspec.Struct, frozen=True):
    results: list[SessionView]


class BlockView(msgspec.Struct, frozen=True):
    """Somebody the person does not want to hear."""

    user_id: str
    created_at: str


class BlockList(msgspec.Struct, frozen=True):
    results: list[BlockView]


def public(user: User) -> UserView:
    return UserView(
        id=str(user.id),
        username=user.username,
        kind="bot" if user.kind == BOT else "human",
        profile=PublicProfile(
            display_name=user.profile.display_name,
            avatar_url=user.profile.avatar_url,
            status_message=user.profile.status_message,
        ),
    )


def own(user: User) -> OwnUserView:
    profile = user.profile
    return OwnUserView(
        id=str(user.id),
        username=user.username,
        profile=OwnProfile(
            display_name=profile.display_name,
            avatar_url=profile.avatar_url,
            status_message=profile.status_message,
            locale=profile.locale,
            time_zone=profile.time_zone,
        ),
        created_at=rfc3339(user.created_at),
    )


def session(row: AuthToken, *, current: str | None) -> SessionView:
    return SessionView(
        id=str(row.id),
        device_name=row.device_name,
        created_at=rfc3339(row.created_at),
        last_used_at=rfc3339(row.last_used_at),
        current=str(row.id) == current,
    )


def block(row: Block) -> BlockView:
    return BlockView(user_id=str(row.blocked_user_id), created_at=rfc3339(row.created_at))
