"""An issuer's public keys: fetched from the one place that was configured, and kept for a while.

Nothing in here ever looks at a token. A key is found by its `kid` among keys that were fetched
before, or, where no name leads to one, because it alone fits the algorithm. An unknown `kid` causes
one more fetch in `refetch_seconds`, and all unknown ones together one in `SPACING_SECONDS`: made-up
tokens neither hammer an issuer nor use up the fetch that an honest new key waits for.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from doran.kernel import clock
from doran.kernel.telemetry.health import Unwell

log = logging.getLogger(__name__)

MAX_BYTES: Final = 64 * 1024
MAX_KEYS: Final = 16
FETCH_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 2.5
RETRY_SECONDS: Final = 5.0
SPACING_SECONDS: Final = 5.0
REMARK_SECONDS: Final = 600.0
STALE_SECONDS: Final = 24 * 3600.0

PublicKey = ECKey | RSAKey | OKPKey
Source = Callable[[], bytes]

_ASK: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_KINDS: Final[Mapping[str, type[PublicKey]]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
_PUBLIC_MEMBERS: Final = frozenset({"kty", "crv", "x", "y", "n", "e"})


class KeysUnavailable(Unwell):
    """The issuer's keys cannot be fetched now, so its tokens can be neither accepted nor refused."""

    def __init__(self, sentence: str, *, retry_after: float = RETRY_SECONDS) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class AmbiguousKey(Exception):
    """Nothing names the key, and several keys of the issuer fit the algorithm."""


class BadKeySet(ValueError):
    """What was fetched is not a usable key set."""


class NamedKey:
    """A public key, the name it is looked up by, and the one algorithm it is for, if the set says so.

    A key without a `kid` is stored under its thumbprint (RFC 7638); `is_named` is False.
    """

    __slots__ = ("algorithm", "is_named", "key", "kid")

    def __init__(self, kid: str, key: PublicKey, algorithm: str | None, *, is_named: bool = True) -> None:
        self.kid = kid
        self.key = key
        self.algorithm = algorithm
        self.is_named = is_named

    def fits(self, algorithm: str) -> bool:
        """Return whether a signature of this algorithm can be checked with this key."""
        if self.algorithm is not None:
            return self.algorithm == algorithm
        if isinstance(self.key, RSAKey):
            return algorithm.startswith(("RS", "PS"))
        if isinstance(self.key, OKPKey):
            return algorithm in ("EdDSA", self.key.curve_name)
        return _CURVES.get(algorithm) == self.key.curve_name


def parse(document: bytes) -> dict[str, NamedKey]:
    """The signature keys of a JWK Set by `kid`. Symmetric, weak and unknown keys are left out.

    Raises `BadKeySet` for anything that is not a set of at most 16 keys in at most 64 KiB.
    """
    members = _members(document)
    usable = [key for key in map(_usable, members) if key is not None]
    return {key.kid: key for key in reversed(usable)}  # of two with one kid the first counts


def look_over(document: bytes) -> str:
    """Return one sentence about a key set, for an operator. Raises `BadKeySet` where honest tokens would be refused."""
    keys, members = _some(parse(document)), _members(document)
    sentence = f"{len(keys)} of {len(members)} keys can be used"
    if len(keys) > 1 and not all(key.is_named for key in keys.values()):
        raise BadKeySet(
            f"{sentence}, but some have no name (kid): where several fit, tokens are refused; name them all"
        )
    return sentence


def _members(document: bytes) -> list[Any]:
    if len(document) > MAX_BYTES:
        raise BadKeySet(f"more than {MAX_BYTES} bytes")
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        raise BadKeySet("not JSON") from None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list):
        raise BadKeySet("no list of keys")
    if len(keys) > MAX_KEYS:
        raise BadKeySet(f"more than {MAX_KEYS} keys")
    return keys


def _usable(member: Any) -> NamedKey | None:
    if not isinstance(member, dict):
        return None
    kid, algorithm = member.get("kid"), member.get("alg")
    if not (kid is None or (isinstance(kid, str) and len(kid) <= 255)) or member.get("use", "sig") != "sig":
        return None
    if algorithm is not None and not isinstance(algorithm, str):
        return None
    key = _public_key(member)
    return None if key is None else NamedKey(kid or key.thumbprint(), key, algorithm, is_named=bool(kid))


def _public_key(member: Mapping[str, Any]) -> PublicKey | None:
    kind = _KINDS.get(str(member.get("kty")))
    if kind is None:
        return None
    public = {name: member[name] for name in _PUBLIC_MEMBERS & member.keys()}
    try:
        return kind.import_key(public) if _is_of_good_size(public) else None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _is_of_good_size(public: Mapping[str, Any]) -> bool:
    """Neither so small that it can be broken nor so large that checking it stalls us."""
    if public["kty"] != "RSA":
        return True
    return 2048 <= _number(public["n"]).bit_length() <= 8192 and _number(public["e"]) < 2**32


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


class JwksUrl:
    """A key set at a configured URL: no redirect, 64 KiB, 2 seconds in all, one request at a time."""

    def __init__(self, url: str, *, seconds: float = FETCH_SECONDS) -> None:
        self._url = url
        self._seconds = seconds
        self._running: Future[bytes] | None = None

    def __call__(self) -> bytes:
        """The body. Raises `KeysUnavailable`."""
        if self._running is not None and not self._running.done():
            raise KeysUnavailable("the last request has not ended")
        answer = self._running = Future()
        threading.Thread(target=self._fetch_into, args=(answer,), daemon=True, name="jwks").start()
        try:
            return answer.result(self._seconds)
        except TookTooLong:
            raise KeysUnavailable("the key set took too long") from None

    def _fetch_into(self, answer: Future[bytes]) -> None:
        try:
            answer.set_result(self._fetch())
        except KeysUnavailable as wrong:
            answer.set_exception(wrong)
        except Exception as wrong:  # whatever went wrong out there is the caller's to hear
            answer.set_exception(KeysUnavailable(type(wrong).__name__))

    def _fetch(self) -> bytes:
        with (
            httpx2.Client(timeout=self._seconds, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", self._url, headers=_ASK) as answer,
        ):
            if answer.status_code != 200:
                raise KeysUnavailable(f"status {answer.status_code}")
            clock.notice(f"the clock of {urlsplit(self._url).hostname}", _seconds_ahead(answer.headers))
            return _whole(answer, until=time.monotonic() + self._seconds)


def _seconds_ahead(headers: Mapping[str, str]) -> float:
    """How far our clock is ahead of the one that wrote `Date`; 0 where that is missing or unreadable."""
    try:
        written = parsedate_to_datetime(headers["Date"]).timestamp() + int(headers.get("Age", "0"))
    except (KeyError, ValueError, OverflowError):
        return 0.0
    return clock.now().timestamp() - written


def _whole(answer: httpx2.Response, *, until: float) -> bytes:
    body = bytearray()
    for piece in answer.iter_raw():  # as sent: nothing that could unfold into more
        body += piece
        if len(body) > MAX_BYTES or time.monotonic() > until:
            raise KeysUnavailable("too long")
    return bytes(body)


class Keep(Protocol):
    """Where the last good key set outlives this process."""

    def save(self, document: bytes) -> None: ...

    def load(self) -> tuple[bytes, float] | None:
        """What was saved last, and how many seconds ago."""
        ...


class KeyRing:
    """The keys of one issuer.

    `cache_seconds` is how long they are used without asking again. When asking fails they stay
    good for 24 hours more, also across a restart if there is somewhere to `keep` them. Only one
    thread asks at a time; who already has a key does not wait.
    """

    def __init__(
        self,
        source: Source,
        *,
        cache_seconds: float,
        refetch_seconds: float = 60.0,
        ticks: Callable[[], float] = time.monotonic,
        keep: Keep | None = None,
    ) -> None:
        self._keep = keep
        self._source = source
        self._cache_seconds = cache_seconds
        self._refetch_seconds = refetch_seconds
        self._spacing_seconds = min(SPACING_SECONDS, refetch_seconds)
        self.ticks = ticks
        self._keys: Mapping[str, NamedKey] = {}
        self._document = b""
        self._fetched_at = self._asked_at = float("-inf")
        self._ask_again_at = float("-inf")
        self._ambiguous_at = float("-inf")
        self._asked_for: dict[str, float] = {}  # when a name may cause another fetch
        self._failure = "not asked yet"
        self._healthy = False
        self._asking = threading.Lock()

    def get(self, kid: str | None, algorithm: str | None = None) -> NamedKey | None:
        """The key for a signature, or None if the issuer publishes none. May fetch, for 2 seconds at most.

        Raises `KeysUnavailable` when that cannot be said before the issuer is asked again, and
        `AmbiguousKey` where nothing names the key and several fit.
        """
        came_at = self.ticks()
        self._renew(kid)
        found = self._find(kid, algorithm)
        if found is None and kid is not None:
            self.ask_for(kid, since=came_at)
            found = self._find(kid, algorithm)
        return found

    def ask_for(self, name: str, *, since: float) -> None:
        """Fetch the set for a token that it does not explain: once in `refetch_seconds` for each `name`.

        A set that was fetched after `since`, when the token came, is new enough. Raises `KeysUnavailable`
        where the set may not be asked for yet, or the issuer does not answer.
        """
        if self._healthy and self.ticks() < self._asked_for.get(name, float("-inf")):
            return
        if self._asked_at < since:
            self._ask(self._may_ask_for_unknown, wait=True)
        if not self._healthy:
            raise self._unavailable(self._ask_again_at)
        if self._asked_at < since:
            raise self._unavailable(self._asked_at + self._spacing_seconds)
        self._note_asked_for((name,))

    def note_ambiguous(self) -> None:
        """Keep for `check` and the log that a token was refused because several keys fit."""
        if self.ticks() - self._ambiguous_at > self._refetch_seconds:
            log.warning("token refused: it names no key and several fit")
            self._ambiguous_at = self.ticks()

    def remembered(self, kid: str) -> NamedKey | None:
        """The key if it is known and need not be asked for again; never fetches."""
        return None if self._is_due() else self._keys.get(kid)

    def still(self, kid: str) -> bool:
        """Whether a key that was found before is published. Asks if it is time to, never for this key."""
        self._renew(kid)
        return kid in self._fresh_enough()

    def check(self) -> str:
        """A remark where something needs an operator's eye, else nothing. Asks if it is time to.

        Raises `KeysUnavailable` where there are no keys that may be used.
        """
        self._renew(None)
        if not self._fresh_enough():
            raise KeysUnavailable(f"the issuer's keys cannot be fetched ({self._failure})")
        return "; ".join(filter(None, (self._age(), self._ambiguity())))

    def _age(self) -> str:
        since = round(self.ticks() - self._fetched_at)
        return "" if self._healthy else f"as they were {since} s ago"

    def _ambiguity(self) -> str:
        if self.ticks() - self._ambiguous_at > REMARK_SECONDS:
            return ""
        return "tokens that name no key (kid) were refused, for several keys fit: let the issuer name its keys"

    def _find(self, kid: str | None, algorithm: str | None) -> NamedKey | None:
        """By its name; else the only key that fits, of all or, for a token that names one, of those without a name."""
        keys = self._fresh_enough()
        if kid is not None and kid in keys:
            return keys[kid] if algorithm is None or keys[kid].algorithm in (None, algorithm) else None
        unnamed = [key for key in keys.values() if kid is None or not key.is_named]
        fitting = [key for key in unnamed if algorithm is None or key.fits(algorithm)]
        if len(fitting) > 1:
            raise AmbiguousKey
        return fitting[0] if fitting else None

    def _note_asked_for(self, names: Iterable[str]) -> None:
        now = self.ticks()
        waiting = {name: until for name, until in self._asked_for.items() if until > now}
        self._asked_for = waiting | dict.fromkeys(names, now + self._refetch_seconds)

    def _renew(self, kid: str | None) -> None:
        if self._is_due():
            keys = self._fresh_enough()
            self._ask(self._is_due, wait=kid not in keys if kid is not None else not keys)

    def _is_due(self) -> bool:
        return self.ticks() >= self._ask_again_at

    def _fresh_enough(self) -> Mapping[str, NamedKey]:
        stale = self.ticks() >= self._fetched_at + self._cache_seconds + STALE_SECONDS
        return {} if stale else self._keys

    def _may_ask_for_unknown(self) -> bool:
        return self._healthy and self.ticks() >= self._asked_at + self._spacing_seconds

    def _unavailable(self, again_at: float) -> KeysUnavailable:
        seconds = max(1, ceil(again_at - self.ticks()))
        return KeysUnavailable("the issuer's keys cannot be fetched now", retry_after=seconds)

    def _ask(self, is_needed: Callable[[], bool], *, wait: bool) -> None:
        if not self._asking.acquire(blocking=wait, timeout=WAIT_SECONDS if wait else -1):
            return
        try:
            if is_needed():  # or another thread has asked while this one waited
                self._fetch()
        finally:
            self._asking.release()

    def _fetch(self) -> None:
        self._asked_at = self.ticks()
        try:
            document = self._source()
            keys = self._keys if document == self._document else _some(parse(document))
        except Exception as wrong:  # the source is not ours: whatever it raises, old keys stay
            self._healthy = False
            self._ask_again_at = self.ticks() + RETRY_SECONDS
            ours = isinstance(wrong, KeysUnavailable | BadKeySet)
            self._failure = str(wrong) if ours else type(wrong).__name__
            log.warning("key set not refreshed: %s", self._failure)
            self._remember()
        else:
            self._healthy = True
            self._note_asked_for(self._keys.keys() - keys.keys())  # withdrawn: no need to ask whether they are there
            self._keys, self._document = keys, document
            self._fetched_at = self.ticks()
            self._ask_again_at = self._fetched_at + self._cache_seconds
            self._save(document)

    def _remember(self) -> None:
        """What an earlier process, or another copy, has kept; only where this one never had any."""
        if self._keep is None or self._fetched_at > float("-inf"):
            return
        try:
            kept = self._keep.load()
            if kept is not None:
                self._keys = parse(kept[0])
                self._fetched_at = self.ticks() - kept[1]
        except Exception as wrong:
            log.warning("kept keys cannot be read", extra={"error_class": type(wrong).__name__})

    def _save(self, document: bytes) -> None:
        try:
            if self._keep is not None:
                self._keep.save(document)
        except Exception as wrong:
            log.warning("keys cannot be kept for a restart", extra={"error_class": type(wrong).__name__})


def _some(keys: dict[str, NamedKey]) -> dict[str, NamedKey]:
    """An issuer without a key signs nothing: a set without any is a mistake, not a withdrawal of them all."""
    if not keys:
        raise BadKeySet("no usable key")
    return keys
