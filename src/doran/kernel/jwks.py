"""An issuer's public keys: fetched from the one place that was configured, and kept for a while.

Nothing in here ever looks at a token. A key is found by its `kid` among keys that were fetched
before; an unknown `kid` may cause one more fetch, at most once in `refetch_seconds`, so that
made-up tokens cannot be used to knock at somebody's door.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from typing import Any, Final, Protocol

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

log = logging.getLogger(__name__)

MAX_BYTES: Final = 64 * 1024
MAX_KEYS: Final = 16
FETCH_SECONDS: Final = 2.0
WAIT_SECONDS: Final = 2.5
RETRY_SECONDS: Final = 5.0
STALE_SECONDS: Final = 24 * 3600.0

PublicKey = ECKey | RSAKey | OKPKey
Source = Callable[[], bytes]

_ASK: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}
_KINDS: Final[Mapping[str, type[PublicKey]]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
_PUBLIC_MEMBERS: Final = frozenset({"kty", "crv", "x", "y", "n", "e"})


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had now; nothing can be said about its tokens."""


class BadKeySet(ValueError):
    """What was fetched is not a usable key set."""


class NamedKey:
    """A public key with the `kid` it is asked for by, and the one algorithm it is for, if it says so."""

    __slots__ = ("algorithm", "key", "kid")

    def __init__(self, kid: str, key: PublicKey, algorithm: str | None) -> None:
        self.kid = kid
        self.key = key
        self.algorithm = algorithm


def parse(document: bytes) -> dict[str, NamedKey]:
    """The signature keys of a JWK Set by `kid`. Symmetric, weak and unknown keys are left out.

    Raises `BadKeySet` for anything that is not a set of at most 16 keys in at most 64 KiB.
    """
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
    usable = [key for key in map(_usable, keys) if key is not None]
    return {key.kid: key for key in reversed(usable)}  # of two with one kid the first counts


def _usable(member: Any) -> NamedKey | None:
    if not isinstance(member, dict):
        return None
    kid, algorithm = member.get("kid"), member.get("alg")
    if not isinstance(kid, str) or not 0 < len(kid) <= 255 or member.get("use", "sig") != "sig":
        return None
    if algorithm is not None and not isinstance(algorithm, str):
        return None
    key = _public_key(member)
    return None if key is None else NamedKey(kid, key, algorithm)


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
            return _whole(answer, until=time.monotonic() + self._seconds)


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
    """The keys of one issuer, by `kid`.

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
        self._ticks = ticks
        self._keys: Mapping[str, NamedKey] = {}
        self._fetched_at = self._asked_at = float("-inf")
        self._ask_again_at = float("-inf")
        self._healthy = False
        self._asking = threading.Lock()

    def get(self, kid: str) -> NamedKey | None:
        """The key, or None if the issuer has none of that name. May fetch, for 2 seconds at most.

        Raises `KeysUnavailable` when the issuer cannot be asked and the key is not known.
        """
        if self._is_due():
            self._ask(self._is_due, wait=kid not in self._fresh_enough())
        found = self._fresh_enough().get(kid)
        if found is None and self._may_ask_for_unknown():
            self._ask(self._may_ask_for_unknown, wait=True)
            found = self._fresh_enough().get(kid)
        if found is None and not self._healthy:
            raise KeysUnavailable("the issuer's keys cannot be fetched")
        return found

    def remembered(self, kid: str) -> NamedKey | None:
        """The key if it is known and need not be asked for again; never fetches."""
        return None if self._is_due() else self._keys.get(kid)

    def check(self) -> str:
        """A remark where the keys are older than they should be, else nothing. Asks if it is time to.

        Raises `KeysUnavailable` where there are none that may be used.
        """
        if self._is_due():
            self._ask(self._is_due, wait=not self._fresh_enough())
        if not self._fresh_enough():
            raise KeysUnavailable("the issuer's keys cannot be fetched")
        return "" if self._healthy else f"as they were {round(self._ticks() - self._fetched_at)} s ago"

    def _is_due(self) -> bool:
        return self._ticks() >= self._ask_again_at

    def _fresh_enough(self) -> Mapping[str, NamedKey]:
        stale = self._ticks() >= self._fetched_at + self._cache_seconds + STALE_SECONDS
        return {} if stale else self._keys

    def _may_ask_for_unknown(self) -> bool:
        return self._healthy and self._ticks() >= self._asked_at + self._refetch_seconds

    def _ask(self, is_needed: Callable[[], bool], *, wait: bool) -> None:
        if not self._asking.acquire(blocking=wait, timeout=WAIT_SECONDS if wait else -1):
            return
        try:
            if is_needed():  # or another thread has asked while this one waited
                self._fetch()
        finally:
            self._asking.release()

    def _fetch(self) -> None:
        self._asked_at = self._ticks()
        try:
            document = self._source()
            self._keys = _some(parse(document))
        except Exception as wrong:  # the source is not ours: whatever it raises, old keys stay
            self._healthy = False
            self._ask_again_at = self._ticks() + RETRY_SECONDS
            ours = isinstance(wrong, KeysUnavailable | BadKeySet)
            log.warning("key set not refreshed: %s", wrong if ours else type(wrong).__name__)
            self._remember()
        else:
            self._healthy = True
            self._fetched_at = self._ticks()
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
                self._fetched_at = self._ticks() - kept[1]
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
