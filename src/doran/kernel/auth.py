"""From an access token to the person behind it: the one place where a token is believed.

Two kinds of issuer exist. Our own signs with ES256 only and its people have UUIDv7 ids. A foreign
one, by settings, may use any algorithm of an allow-list; an id of its people may never look like
one of ours, so that an id alone says whose person it is. The algorithm and the key always come
from what was configured, never from the token (docs/adr/0006-tokens-and-keys.md).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError

from doran.contracts.errors import Problem
from doran.contracts.scopes import SCOPES
from doran.kernel import clock
from doran.kernel.config import BadSetting, Config
from doran.kernel.jwks import AmbiguousKey, JwksUrl, Keep, KeyRing, KeysUnavailable, NamedKey, Source
from doran.text import policy

T = TypeVar("T")
Holder = TypeVar("Holder")

OWN_ALGORITHM: Final = "ES256"
OWN_TYPE: Final = "at+jwt"
SERVICE_TYPE: Final = "service+jwt"
ACTING_FOR: Final = "Doran-Acting-For"
LEEWAY_SECONDS: Final = 60
LONGEST_SECONDS: Final = 600
MAX_TOKEN: Final = 16 * 1024
REMEMBERED_TOKENS: Final = 10_000
ASYMMETRIC: Final = frozenset(
    {"ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA", "Ed25519", "Ed448"}
)

_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_LIKE_OURS: Final = re.compile(
    r"(urn:uuid:)?\{?[0-9a-f]{8}-?[0-9a-f]{4}-?7[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}\}?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `expires_at` is in seconds since 1970; `session_id` is None for a foreign issuer."""

    user_id: str
    session_id: str | None
    issuer: str
    expires_at: float
    token_id: str


@dataclass(frozen=True, slots=True)
class Service:
    """Which service asks, and what it may (`contracts.scopes`)."""

    name: str
    scopes: frozenset[str]
    issuer: str
    expires_at: float
    token_id: str


# -- what a token must say -----------------------------------------------------------------------

Moment = Annotated[float, msgspec.Meta(ge=0, le=253_402_300_799)]  # RFC 7519, 2: with or without a fraction
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Header(msgspec.Struct, frozen=True):
    """What core writes names its key; other issuers may leave that out."""

    alg: Word
    kid: Word
    typ: str | None = None


class ForeignHeader(msgspec.Struct, frozen=True):
    alg: Word
    kid: Word | None = None
    typ: str | None = None


class OwnClaims(msgspec.Struct, frozen=True):
    iss: Word
    aud: Word | Annotated[list[Word], msgspec.Meta(max_length=16)]
    sub: Word
    sid: Word
    jti: Word
    iat: Moment
    exp: Moment
    nbf: Moment | None = None


class ServiceClaims(msgspec.Struct, frozen=True):
    iss: Word
    aud: Word
    sub: Word
    scope: Word
    jti: Word
    iat: Moment
    exp: Moment
    nbf: Moment | None = None


class ForeignClaims(msgspec.Struct, frozen=True):
    iss: Word
    aud: Word | Annotated[list[Word], msgspec.Meta(max_length=64)]
    sub: Word
    exp: Moment
    jti: Word | None = None
    iat: Moment | None = None
    nbf: Moment | None = None
    at_hash: str | None = None
    c_hash: str | None = None


def refused(detail: str) -> Problem:
    """A token that is not believed, and why, in words that help its honest owner only."""
    return Problem("not_authenticated", detail)


_UNKNOWN_ISSUER = "The access token is of an issuer that is not known here."
_UNREADABLE = "The access token cannot be read."
_TOO_LONG = f"The access token is too long: at most {MAX_TOKEN} characters."
_EXPIRED = "The access token has expired."
_AMBIGUOUS = "The access token does not name its key (kid), and several keys of its issuer fit."
_UNKNOWN_KEY = "The access token was signed with a key that its issuer does not publish."
_BAD_SIGNATURE = "The signature of the access token does not hold."


class _Strict(jws.JWSRegistry):
    """joserfc's algorithms, but only those named: no fallback, and nothing the token may add."""

    max_header_length = 2048

    def __init__(self, algorithms: Iterable[str]) -> None:
        super().__init__(algorithms=frozenset(algorithms), strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        if not self.allowed or name not in self.allowed:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


class _Issuer(Generic[Holder]):
    """What all kinds share: the name, the audience, the keys, and the signature check.

    Clocks may differ by `leeway` seconds.
    """

    _header: type[Header | ForeignHeader] = Header

    def __init__(
        self, name: str, *, audience: str, keys: KeyRing, algorithms: Iterable[str], leeway: float = LEEWAY_SECONDS
    ) -> None:
        self.name = name
        self.keys = keys
        self.leeway = leeway
        self._audience = audience
        self._registry = _Strict(algorithms)
        self._algorithms = frozenset(algorithms)

    def believe(
        self, token: bytes, header: Mapping[str, Any], claims: Mapping[str, Any], now: float
    ) -> tuple[Holder, str]:
        """The holder and the key's name, once type, key, signature and every claim hold. Raises `Problem`."""
        named = _shaped(header, self._header)
        self._check_type(named.typ)
        if named.alg not in self._algorithms:
            raise refused("The access token is signed with an algorithm that is not accepted here.")
        self._refuse_expired(claims.get("exp"), now)
        key = self._signing_key(token, named)
        return self._holder(claims, now), key.kid

    def _refuse_expired(self, exp: Any, now: float) -> None:
        """Before any key is looked for: whoever holds an old token is to renew it, not to come back with it."""
        if isinstance(exp, int | float) and now >= exp + self.leeway:
            raise refused(_EXPIRED)

    def _signing_key(self, token: bytes, header: Header | ForeignHeader) -> NamedKey:
        """The key that signed the token. Raises `Problem`: `unavailable` while that cannot be known."""
        came_at = self.keys.ticks()
        try:
            key = self._key(header)
        except AmbiguousKey:
            key = None
        if key is not None and _holds(token, key, self._registry):
            return key
        if key is None or key.kid != header.kid:  # nothing named it, so the issuer may have another by now
            key = self._key_anew(token, header, since=came_at)
            if key is not None and _holds(token, key, self._registry):
                return key
        raise refused(_UNKNOWN_KEY if key is None else _BAD_SIGNATURE)

    def _key(self, header: Header | ForeignHeader) -> NamedKey | None:
        try:
            return self.keys.get(header.kid, header.alg)
        except KeysUnavailable as unavailable:
            raise _later(unavailable) from None

    def _key_anew(self, token: bytes, header: Header | ForeignHeader, *, since: float) -> NamedKey | None:
        """The key as its issuer publishes it now; each token causes one more fetch at most."""
        try:
            self.keys.ask_for(header.kid or hashlib.sha256(token).hexdigest(), since=since)
            return self._key(header)
        except KeysUnavailable as unavailable:
            raise _later(unavailable) from None
        except AmbiguousKey:
            self.keys.note_ambiguous()
            raise refused(_AMBIGUOUS) from None

    def _check_type(self, typ: str | None) -> None:
        raise NotImplementedError

    def _holder(self, claims: Mapping[str, Any], now: float) -> Holder:
        raise NotImplementedError

    def _check_claims(self, claims: OwnClaims | ServiceClaims | ForeignClaims, now: float) -> None:
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if self._audience not in audience:
            raise refused("The access token is for another audience.")
        if now >= claims.exp + self.leeway:
            raise refused(_EXPIRED)
        if claims.nbf is not None and claims.nbf > now + self.leeway:
            self._notice_clock(now - claims.nbf)
            raise refused("The access token is not valid yet.")

    def _check_length(self, claims: OwnClaims | ServiceClaims, now: float) -> None:
        if not 0 < claims.exp - claims.iat <= LONGEST_SECONDS:
            raise refused("The access token was made for too long a time.")
        if claims.exp - now > LONGEST_SECONDS + self.leeway:
            self._notice_clock(now - claims.iat)
            raise refused("The access token was made by a clock that is ahead; ask for a new one.")

    def _notice_clock(self, seconds_ahead: float) -> None:
        clock.notice(f"the clock that makes tokens of {self.name}", seconds_ahead)


class OwnIssuer(_Issuer[Principal]):
    """Doran's core. ES256, `at+jwt`, ten minutes at most, and ids as core makes them."""

    def __init__(self, name: str, *, audience: str, keys: KeyRing, leeway: float = LEEWAY_SECONDS) -> None:
        super().__init__(name, audience=audience, keys=keys, algorithms=(OWN_ALGORITHM,), leeway=leeway)

    def _check_type(self, typ: str | None) -> None:
        if typ != OWN_TYPE:
            raise refused("This is not an access token.")

    def _holder(self, claims: Mapping[str, Any], now: float) -> Principal:
        said = _shaped(claims, OwnClaims)
        self._check_claims(said, now)
        self._check_length(said, now)
        if not is_own_id(said.sub):
            raise refused(_UNREADABLE)
        return Principal(said.sub, said.sid, self.name, said.exp, said.jti)


class OwnServices(_Issuer[Service]):
    """Doran's core again, as it speaks of services: the same keys, another type, an audience for each service."""

    def __init__(self, name: str, *, audience: str, keys: KeyRing, leeway: float = LEEWAY_SECONDS) -> None:
        super().__init__(name, audience=audience, keys=keys, algorithms=(OWN_ALGORITHM,), leeway=leeway)

    def _check_type(self, typ: str | None) -> None:
        if typ != SERVICE_TYPE:
            raise refused("This is not a service's token.")

    def _holder(self, claims: Mapping[str, Any], now: float) -> Service:
        said = _shaped(claims, ServiceClaims)
        self._check_claims(said, now)
        self._check_length(said, now)
        return Service(said.sub, frozenset(said.scope.split()), self.name, said.exp, said.jti)


class ForeignIssuer(_Issuer[Principal]):
    """Somebody else's identity provider. Its `sub` must match `people` and not look like our ids."""

    _header = ForeignHeader

    def __init__(
        self,
        name: str,
        *,
        audience: str,
        keys: KeyRing,
        algorithms: Sequence[str],
        people: str,
        leeway: float = LEEWAY_SECONDS,
    ) -> None:
        unknown = sorted(set(algorithms) - ASYMMETRIC)
        if unknown or not algorithms:
            raise BadSetting(f"DORAN_FOREIGN_ALGORITHMS: {', '.join(unknown) or 'an empty list'} cannot be used")
        super().__init__(name, audience=audience, keys=keys, algorithms=algorithms, leeway=leeway)
        self._people = re.compile(people)

    def may_be_person(self, user_id: str) -> bool:
        """Whether this could be an id of this issuer's people."""
        return (
            policy.is_opaque_id(user_id, most=255)
            and not looks_like_own_id(user_id)
            and self._people.fullmatch(user_id) is not None
        )

    def _check_type(self, typ: str | None) -> None:
        if (typ or "jwt").lower().removeprefix("application/") not in ("at+jwt", "jwt"):
            raise refused("This is not an access token.")

    def _holder(self, claims: Mapping[str, Any], now: float) -> Principal:
        said = _shaped(claims, ForeignClaims)
        self._check_claims(said, now)
        if said.at_hash is not None or said.c_hash is not None:
            raise refused("This is an ID token, not an access token.")
        if not self.may_be_person(said.sub):
            raise refused("The access token names a person in a form that is not accepted here.")
        return Principal(said.sub, None, self.name, said.exp, said.jti or "")


def is_own_id(user_id: str) -> bool:
    """Whether core could have made this id: a UUIDv7 in its one canonical form."""
    return _LIKE_OURS.fullmatch(user_id) is not None and str(uuid.UUID(user_id)) == user_id


def looks_like_own_id(user_id: str) -> bool:
    """Whether this could be taken for an id of core, in any spelling of a UUIDv7."""
    return _LIKE_OURS.fullmatch(user_id) is not None


def _shaped(said: Mapping[str, Any], shape: type[T]) -> T:
    try:
        return msgspec.convert(said, shape)
    except msgspec.ValidationError:
        raise refused(_UNREADABLE) from None


def _holds(token: bytes, key: NamedKey, registry: _Strict) -> bool:
    try:
        jws.deserialize_compact(token, key.key, registry=registry)
    except (JoseError, ValueError, TypeError, AttributeError):
        return False
    return True


def _later(unavailable: KeysUnavailable) -> Problem:
    return Problem(
        "unavailable", "The keys of the token's issuer cannot be fetched now.", retry_after=unavailable.retry_after
    )


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they stand there, believed by nobody yet."""
    if len(token) > MAX_TOKEN:
        raise refused(_TOO_LONG)
    if _COMPACT.fullmatch(token) is None:
        raise refused(_UNREADABLE)
    header, claims, _signature = token.split(".")
    found = _json(header), _json(claims)
    if {"crit", "b64"} & found[0].keys():
        raise refused(_UNREADABLE)
    return found


def _json(part: str) -> dict[str, Any]:
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_once_each, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise refused(_UNREADABLE) from None
    if not isinstance(found, dict):
        raise refused(_UNREADABLE)
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(name)


# -- sessions that ended before their tokens did --------------------------------------------------


class EndedSessions:
    """Sessions that were ended while access tokens of theirs may still be good.

    Fed by whoever hears of an end first: core itself, `session.revoked`, or a look into core's
    table. Each is kept until its last access token has expired, so it stays small.
    """

    def __init__(self, *, leeway: float = LEEWAY_SECONDS, ticks: Callable[[], float] = time.monotonic) -> None:
        self.leeway = leeway
        self._ticks = ticks
        self._until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, session_id: str) -> None:
        """From now on this session's access tokens are refused in this process."""
        with self._lock:
            now = self._ticks()
            self._until[session_id] = now + LONGEST_SECONDS + self.leeway
            self._until.move_to_end(session_id)
            while self._until and next(iter(self._until.values())) <= now:
                self._until.popitem(last=False)

    def has(self, session_id: str) -> bool:
        return session_id in self._until

    def clear(self) -> None:
        with self._lock:
            self._until.clear()

    def __len__(self) -> int:
        return len(self._until)


# -- the verifier -----------------------------------------------------------------------------------


class Verifier:
    """Believes tokens of the issuers it was given, and nobody else's.

    `is_revoked` is asked with a session id at every use of a token, remembered or not.
    """

    def __init__(
        self,
        issuers: Iterable[OwnIssuer | ForeignIssuer],
        *,
        is_revoked: Callable[[str], bool],
        now: Callable[[], float] = lambda: clock.now().timestamp(),
        remember: int = REMEMBERED_TOKENS,
    ) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._own = next((one for one in self._issuers.values() if isinstance(one, OwnIssuer)), None)
        self._is_revoked = is_revoked
        self._now = now
        self._remember = remember
        self._known: OrderedDict[bytes, tuple[Principal, str]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def known(self) -> int:
        """How many tokens are remembered."""
        return len(self._known)

    @property
    def rings(self) -> Mapping[str, KeyRing]:
        """The keys of every issuer, by its name."""
        return {issuer.name: issuer.keys for issuer in self._issuers.values()}

    def needs(self, issuer: str) -> bool:
        """Whether nobody can be served without this issuer's keys: our own, or a foreign one that is alone."""
        return self._own is None or issuer == self._own.name

    @property
    def knows_services(self) -> bool:
        """Whether a service can prove itself here: core gives it a token, and nobody else does."""
        return self._own is not None

    def verify(self, token: str) -> Principal:
        """Who holds this token. Raises `Problem`: `not_authenticated`, or `unavailable` when the
        issuer's keys cannot be had. May wait for a fetch of keys: not for an event loop."""
        digest = _digest(token)
        principal = self._recall(digest, fetch=True)
        if principal is None:
            principal = self._believe(token, digest)
        return self._not_revoked(principal)

    def remembered(self, token: str) -> Principal | None:
        """Who holds this token if that is already known here; never waits. None: ask `verify`.

        Raises `Problem` if the session has ended.
        """
        principal = self._recall(_digest(token), fetch=False)
        return None if principal is None else self._not_revoked(principal)

    def verify_service(self, token: str, *, scope: str) -> Service:
        """Which service holds this token, if it may do this here. Never a person's token.

        Raises `Problem`: as `verify`, and `insufficient_scope`. A token for another service is not
        authenticated here, whatever it may do there.
        """
        header, claims = _read(token)
        if self._own is None or claims.get("iss") != self._own.name:
            raise refused(_UNKNOWN_ISSUER)
        audience = SCOPES[scope].audience
        issuer = OwnServices(self._own.name, audience=audience, keys=self._own.keys, leeway=self._own.leeway)
        service, _kid = issuer.believe(token.encode(), header, claims, self._now())
        if scope not in service.scopes:
            raise Problem("insufficient_scope", f"This needs the scope {scope}.")
        return service

    def may_be_foreign(self, user_id: str) -> bool:
        """Whether this could be an id of a foreign issuer's people; never true for an id of core."""
        return any(
            issuer.may_be_person(user_id) for issuer in self._issuers.values() if isinstance(issuer, ForeignIssuer)
        )

    def _believe(self, token: str, digest: bytes) -> Principal:
        header, claims = _read(token)
        name = claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise refused(_UNKNOWN_ISSUER)
        principal, kid = issuer.believe(token.encode(), header, claims, self._now())
        self._keep(digest, principal, kid)
        return principal

    def _keep(self, digest: bytes, principal: Principal, kid: str) -> None:
        with self._lock:
            self._known[digest] = (principal, kid)
            while len(self._known) > self._remember:
                self._known.popitem(last=False)

    def _recall(self, digest: bytes, *, fetch: bool) -> Principal | None:
        """A token already believed, while it has not expired and its key is still published."""
        with self._lock:
            found = self._known.get(digest)
            if found is None:
                return None
            self._known.move_to_end(digest)
        principal, kid = found
        keys = self._issuers[principal.issuer].keys
        if self._now() < principal.expires_at and _still_published(keys, kid, fetch=fetch):
            return principal
        return None

    def _not_revoked(self, principal: Principal) -> Principal:
        if principal.session_id is not None and self._is_revoked(principal.session_id):
            raise refused("The session of this access token has ended.")
        return principal


def _still_published(keys: KeyRing, kid: str, *, fetch: bool) -> bool:
    return keys.still(kid) if fetch else keys.remembered(kid) is not None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def bearer(header: str | None) -> str:
    """The token of an `Authorization: Bearer` header. Raises `Problem`."""
    if not header:
        raise refused("Send an access token: Authorization: Bearer …")
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise refused("The Authorization header must be: Bearer, a blank, the access token.")
    return token.strip()


# -- this process's ----------------------------------------------------------------------------------

ended = EndedSessions()
_verifier: Verifier | None = None


def verifier(config: Config, *, own_keys: Source | None = None, keep: Callable[[str], Keep] | None = None) -> Verifier:
    """What the settings ask for. `own_keys` gives core's JWK Set when core runs in this process; `keep` says
    where an issuer's last good keys outlive this process.

    With a foreign issuer and no core anywhere, only that issuer is believed. Raises `BadSetting`.
    """
    issuers: list[OwnIssuer | ForeignIssuer] = []
    if own_keys is not None or config.core_url or not config.foreign_issuer:
        issuers.append(_own(config, own_keys, keep))
    if config.foreign_issuer:
        issuers.append(_foreign(config, keep))
    ended.leeway = config.token_leeway_seconds
    return Verifier(issuers, is_revoked=ended.has)


def _own(config: Config, own_keys: Source | None, keep: Callable[[str], Keep] | None) -> OwnIssuer:
    if own_keys is not None:  # asking is a look into a table: a withdrawn key is felt at once
        ring = KeyRing(own_keys, cache_seconds=1.0, refetch_seconds=0.0)
    elif config.core_url:
        ring = _remote(f"{config.core_url}/.well-known/jwks.json", config.issuer_name, config, keep)
    else:
        raise BadSetting("DORAN_CORE_URL: say where core answers, or run core in this process")
    return OwnIssuer(config.issuer_name, audience=config.audience, keys=ring, leeway=config.token_leeway_seconds)


def _foreign(config: Config, keep: Callable[[str], Keep] | None) -> ForeignIssuer:
    if config.foreign_issuer == config.issuer_name:
        raise BadSetting("DORAN_FOREIGN_ISSUER: this is our own issuer")
    if not config.foreign_jwks_url or not config.foreign_audience:
        raise BadSetting("DORAN_FOREIGN_ISSUER: needs DORAN_FOREIGN_JWKS_URL and DORAN_FOREIGN_AUDIENCE")
    return ForeignIssuer(
        config.foreign_issuer,
        audience=config.foreign_audience,
        keys=_remote(config.foreign_jwks_url, config.foreign_issuer, config, keep),
        algorithms=config.foreign_algorithms,
        people=config.foreign_user_pattern,
        leeway=config.token_leeway_seconds,
    )


def _remote(url: str, issuer: str, config: Config, keep: Callable[[str], Keep] | None) -> KeyRing:
    return KeyRing(JwksUrl(url), cache_seconds=config.jwks_cache_seconds, keep=keep and keep(issuer))


def use(new: Verifier | None) -> None:
    """Make this the verifier of the process (server start, and tests)."""
    global _verifier
    _verifier = new
    ended.clear()
    clock.forget_disagreements()


def _in_use() -> Verifier:
    if _verifier is None:
        raise RuntimeError("no verifier: call doran.kernel.auth.use at start")
    return _verifier


def verify(token: str) -> Principal:
    """See `Verifier.verify`."""
    return _in_use().verify(token)


def remembered(token: str) -> Principal | None:
    """See `Verifier.remembered`."""
    return _in_use().remembered(token)


def verify_service(token: str, *, scope: str) -> Service:
    """See `Verifier.verify_service`."""
    return _in_use().verify_service(token, scope=scope)


def knows_services() -> bool:
    """See `Verifier.knows_services`."""
    return _in_use().knows_services


def acting_for(service: Service, user_id: str) -> Principal:
    """The person whose rights decide when a service asks. Raises `Problem("bad_request")` where none is named."""
    if not policy.is_opaque_id(user_id, most=255):
        raise Problem("bad_request", f"Name the person for whom the service asks: {ACTING_FOR}.")
    return Principal(user_id, None, service.issuer, service.expires_at, service.token_id)


def calls_itself_service(token: str) -> bool:
    """Whether a token says that it is a service's. Nothing is believed yet. Raises `Problem` where it cannot be read."""
    header, _claims = _read(token)
    return header.get("typ") == SERVICE_TYPE


def may_be_foreign(user_id: str) -> bool:
    """See `Verifier.may_be_foreign`."""
    return _in_use().may_be_foreign(user_id)
