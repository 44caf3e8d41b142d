"""Core's REST calls: parse, one call inward, answer. The table is at the end."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, ClassVar

import msgspec
from dmr.settings import HttpSpec
from msgspec import UNSET, Meta, UnsetType

from doran.core import blocks, devices, keys, profiles, services, sessions, tokens, users, views
from doran.core.models import User
from doran.core.views import (
    BlockList,
    OwnUserView,
    ServiceToken,
    SessionList,
    TokenPair,
    UserView,
)
from doran.core.webhooks.http import ROUTES as WEBHOOKS
from doran.kernel import config
from doran.kernel.auth import OWN_ALGORITHM
from doran.kernel.http import Answer, Api, Json, Page, Query, offers, route

Username = Annotated[
    str, Meta(max_length=128, description="2 to 32 letters, digits, `_`, `.` or `-`; capitals do not count.")
]
Password = Annotated[str, Meta(max_length=1024, description="8 to 256 characters, not a common password.")]
RefreshToken = Annotated[str, Meta(max_length=512)]
ServiceName = Annotated[str, Meta(max_length=32)]
Line = Annotated[str, Meta(max_length=1000)]


class SignUp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    username: Username
    password: Password
    display_name: Line | None = None
    invite_code: Annotated[str, Meta(max_length=255)] | None = None


class LogIn(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    username: Username
    password: Password
    device_name: Line = ""


class Refresh(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    refresh_token: RefreshToken


class Erase(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    password: Password


class ProfileChange(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is left out stays as it is."""

    display_name: Line | UnsetType = UNSET
    avatar_url: Line | UnsetType | None = UNSET
    status_message: Line | UnsetType = UNSET
    locale: Line | UnsetType = UNSET
    time_zone: Line | UnsetType = UNSET

    def wanted(self) -> dict[str, Any]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


class Proof(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A service, its own secret, and the service it wants to ask."""

    service: ServiceName
    secret: Annotated[str, Meta(max_length=1024)]
    audience: ServiceName


class HandleQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    username: Username


class PublicKey(msgspec.Struct, frozen=True):
    """One public key, as RFC 7517 names its parts."""

    kty: str
    crv: str
    x: str
    y: str
    kid: str
    use: str
    alg: str


class KeySet(msgspec.Struct, frozen=True):
    keys: list[PublicKey]


class Discovery(msgspec.Struct, frozen=True):
    """How to verify our access tokens, in OpenID Connect Discovery's words. Nobody logs in by OpenID here."""

    issuer: str
    jwks_uri: str
    response_types_supported: list[str]
    subject_types_supported: list[str]
    id_token_signing_alg_values_supported: list[str]
    claims_supported: list[str]


class OwnApi(Api):
    """A path for people with an account here; `me` is who asks, looked up anew each time."""

    is_abstract: ClassVar[bool] = True

    @cached_property
    def me(self) -> User:
        return sessions.acting(self.principal)


class Users(OwnApi):
    @offers(
        status=201,
        public=True,
        problems=("username_taken", "weak_password", "signups_closed", "invite_required"),
    )
    def post(self, parsed_body: Json[SignUp]) -> OwnUserView:
        """Sign up."""
        wanted = msgspec.structs.asdict(parsed_body)
        return views.own(users.sign_up(**wanted, address=self.client_address))

    @offers()
    def get(self, parsed_query: Query[HandleQuery]) -> Page[UserView]:
        """Find a person by their exact user name: one result or none."""
        found = users.find(parsed_query.username, asker_id=str(self.me.id))
        results = [views.public(found)] if found else []
        return self.page(results, count=len(results), next=None, previous=None)


class Me(OwnApi):
    no_validate_http_spec: ClassVar = frozenset({HttpSpec.empty_request_body})  # DELETE asks for the password

    @offers()
    def get(self) -> OwnUserView:
        """Who I am."""
        return views.own(self.me)

    @offers()
    def patch(self, parsed_body: Json[ProfileChange]) -> OwnUserView:
        """Change my profile."""
        return views.own(profiles.change(str(self.me.id), parsed_body.wanted()))

    @offers(status=204, problems=("invalid_credentials",))
    def delete(self, parsed_body: Json[Erase]) -> None:
        """Erase me, for good. My password is asked once more."""
        users.erase_me(self.me, parsed_body.password)


class OneUser(OwnApi):
    @offers(scope="users.read", problems=("user_erased",))
    def get(self) -> UserView:
        """A person as others see them. 404 `user_erased` for who was erased: the id is never anybody else's."""
        if self.service is None:
            self.me  # noqa: B018  an ended session sees nobody
        return views.public(users.get(self.kwargs["user_id"]))


class Tokens(Api):
    @cached_property
    def device(self) -> str | None:
        """The device that asks, if it showed a cookie of ours."""
        return devices.shown(self.request.COOKIES.get(devices.COOKIE))

    @property
    def caller(self) -> str:
        return f"device {self.device}" if self.device else super().caller

    @offers({200: TokenPair}, public=True, problems=("invalid_credentials",))
    def post(self, parsed_body: Json[LogIn]) -> Answer:
        """Log in: a new session with its tokens.

        The cookie `doran_device` names the device. Sent again at the next log-in, it keeps others' wrong passwords from
        counting against it; it opens nothing.
        """
        wanted = msgspec.structs.asdict(parsed_body)
        pair, device = tokens.log_in(**wanted, address=self.client_address, device=self.device)
        answer = self.answer(pair)
        answer.set_cookie(
            devices.COOKIE,
            device,
            max_age=devices.LIFETIME,
            path=self.request.path.rstrip("/"),
            secure=self.request.is_secure() or config.current().url.startswith("https:"),
            httponly=True,
            samesite="Strict",
        )
        return answer


class RefreshedTokens(Api):
    @offers(public=True, problems=("invalid_refresh_token", "refresh_token_reused"))
    def post(self, parsed_body: Json[Refresh]) -> TokenPair:
        """A new pair of tokens; the refresh token sent is used up.

        With an `Idempotency-Key` header the same request can be repeated when its answer was lost, until the new token is used.
        """
        return tokens.refresh(parsed_body.refresh_token, retry_key=self.idempotency_key)


class RevokedTokens(Api):
    @offers(status=204, public=True)
    def post(self, parsed_body: Json[Refresh]) -> None:
        """Log out: end the session of this refresh token, if it is one."""
        tokens.revoke(parsed_body.refresh_token)


class ServiceTokens(Api):
    @offers(public=True, problems=("invalid_credentials", "insufficient_scope"))
    def post(self, parsed_body: Json[Proof]) -> ServiceToken:
        """For services of the deployment: a token to ask another service with."""
        return services.token(parsed_body.service, parsed_body.secret, parsed_body.audience)


class Sessions(OwnApi):
    @offers()
    def get(self) -> SessionList:
        """Where I am logged in."""
        mine = sessions.listed(str(self.me.id))
        return SessionList([views.session(one, current=self.principal.session_id) for one in mine])


class OneSession(OwnApi):
    @offers(status=204)
    def delete(self) -> None:
        """End one of my sessions; its sockets close."""
        sessions.end(str(self.me.id), self.kwargs["session_id"])


class Blocks(OwnApi):
    @offers()
    def get(self) -> BlockList:
        """Whom I block."""
        return BlockList([views.block(one) for one in blocks.listed(str(self.me.id))])


class OneBlock(OwnApi):
    @offers(status=204, problems=("conflict", "validation_failed"))
    def put(self) -> None:
        """Block a person."""
        blocks.block(str(self.me.id), self.kwargs["user_id"])

    @offers(status=204)
    def delete(self) -> None:
        """Take a block back."""
        blocks.unblock(str(self.me.id), self.kwargs["user_id"])


class Jwks(Api):
    @offers({200: KeySet}, public=True)
    def get(self) -> Answer:
        """The public keys of our access tokens: current, next, and those still needed."""
        return self.answer(msgspec.json.decode(keys.published(), type=KeySet), headers=_cached())


class OpenIdConfiguration(Api):
    @offers({200: Discovery}, public=True)
    def get(self) -> Answer:
        """How to verify our access tokens."""
        return self.answer(_discovery(), headers=_cached())


def _cached() -> dict[str, str]:
    return {"Cache-Control": f"public, max-age={config.current().jwks_cache_seconds}"}


def _discovery() -> Discovery:
    return Discovery(
        issuer=config.current().issuer_name,
        jwks_uri=f"{config.current().url}/.well-known/jwks.json",
        response_types_supported=[],
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=[OWN_ALGORITHM],
        claims_supported=["iss", "aud", "sub", "sid", "iat", "exp", "jti"],
    )


ROUTES = (
    route("api/core/users/", Users),
    route("api/core/users/me/", Me),
    route("api/core/users/<id:user_id>/", OneUser),
    route("api/core/tokens/", Tokens),
    route("api/core/tokens/refresh/", RefreshedTokens),
    route("api/core/tokens/revoke/", RevokedTokens),
    route("api/core/service-tokens/", ServiceTokens),
    route("api/core/sessions/", Sessions),
    route("api/core/sessions/<id:session_id>/", OneSession),
    route("api/core/blocks/", Blocks),
    route("api/core/blocks/<id:user_id>/", OneBlock),
    route(".well-known/jwks.json", Jwks),
    route(".well-known/openid-configuration", OpenIdConfiguration),
    *WEBHOOKS,
)
