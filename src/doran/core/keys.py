"""Keys that sign access tokens: made, sealed, published before they sign, and kept until forgotten.

There is always a current key and a next one in the key set. A rotation never signs with a key that
a verifier could not have seen: the next key takes over when it has been published for twice the
time that verifiers may keep a key set. Every process of core works from the same table and reads
it anew every few seconds, so that no process needs to be told.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest

from django.db import IntegrityError, transaction
from joserfc.jwk import ECKey

from doran.contracts.errors import Problem
from doran.core import sealing
from doran.core.models import SigningKey
from doran.kernel import clock, config
from doran.kernel.auth import OWN_ALGORITHM

log = logging.getLogger("doran.core")

DATABASE = "core"
REREAD_SECONDS = 2.0
MARGIN = timedelta(seconds=60)
MOST_KEYS = 8
PURPOSE = "signing keys"


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs now."""

    kid: str
    key: ECKey


def ensure() -> None:
    """Make the first two keys if there are none, and open the current one.

    Raises `BadSetting` when `secret_key` is not the one that sealed them.
    """
    with (
        suppress(IntegrityError),
        transaction.atomic(using=DATABASE),
    ):  # another start may be faster; its keys are as good
        if not SigningKey.objects.exists():
            _add(1, active_from=clock.now())
            _add(2, active_from=None)
    forget()
    signer()


def open_all() -> int:
    """Open every key that is kept and return how many; nothing is made or changed.

    Raises `BadSetting` when `secret_key` is not the one that sealed them.
    """
    kept = list(SigningKey.objects.values_list("kid", "sealed"))
    for kid, sealed in kept:
        sealing.unseal(PURPOSE, bytes(sealed), bound_to=kid)
    return len(kept)


def signer() -> Signer:
    """The key that signs now. Makes way for the next one when it is older than `key_days`."""
    keys = _known()
    current = _current(keys, clock.now())
    if _is_old(current, keys):
        rotate(only_if_old=True)
        current = _current(_known(), clock.now())
    return _opened(current)


def published() -> bytes:
    """The JWK Set: current, next, and every retired key that signed a token still good."""
    return json.dumps({"keys": [json.loads(key.public) for key in _known()]}).encode()


def rotate(*, only_if_old: bool = False, at_once: bool = False) -> datetime:
    """Let the next key take over and make another next one. Returns when the new key begins to sign.

    Normally that is as soon as every verifier can know it, and no token is ever refused.
    `at_once` is for a key that got into wrong hands: it is withdrawn from the key set together
    with all tokens it signed. Raises `Problem("conflict")` when too many keys are in use.
    """
    with transaction.atomic(using=DATABASE):
        keys = _live(_held(), clock.now())
        current = _current(keys, clock.now())
        if only_if_old and not _is_old(current, keys):
            forget()  # somebody was faster, and may not have come to it yet
            return current.active_from or clock.now()
        if len(keys) >= MOST_KEYS and not at_once:
            raise Problem("conflict", "The keys were rotated too often in a short time; wait some minutes.")
        begins = _hand_over(keys, at_once=at_once)
    forget()
    log.info("signing key rotated", extra={"begins": clock.rfc3339(begins), "at_once": at_once})
    return begins


def forget() -> None:
    """Read the table anew at the next use."""
    _memory.clear()


# -- one rotation -----------------------------------------------------------------------------------


def _held() -> list[SigningKey]:
    """All keys, none of which anybody else changes now: read when they are held, for a rotation may just have ended."""
    rows = SigningKey.objects.order_by("number")
    list(rows.select_for_update())
    return list(rows)


def _hand_over(keys: Sequence[SigningKey], *, at_once: bool) -> datetime:
    now, last = clock.now(), keys[-1]
    begins = (
        now if at_once else max(now, _known_everywhere(last), *(key.active_from for key in keys if key.active_from))
    )
    if at_once:
        SigningKey.objects.filter(number__lt=last.number, withdrawn_at=None).update(withdrawn_at=now)
    SigningKey.objects.filter(number=last.number).update(active_from=begins)
    _add(last.number + 1, active_from=None)
    SigningKey.objects.filter(number__lt=keys[0].number).delete()
    return begins


def _known_everywhere(key: SigningKey) -> datetime:
    """From when every verifier that keeps to the published cache time has this key."""
    return key.published_at + timedelta(seconds=2 * config.current().jwks_cache_seconds)


def _add(number: int, *, active_from: datetime | None) -> None:
    pair = ECKey.generate_key("P-256")
    kid = pair.thumbprint()
    public = {**pair.as_dict(private=False), "kid": kid, "use": "sig", "alg": OWN_ALGORITHM}
    SigningKey.objects.create(
        number=number,
        kid=kid,
        public=json.dumps(public),
        sealed=sealing.seal(PURPOSE, pair.as_pem(private=True), bound_to=kid),
        published_at=clock.now(),
        active_from=active_from,
    )


# -- which key is what, at a moment -----------------------------------------------------------------


def _current(keys: Sequence[SigningKey], now: datetime) -> SigningKey:
    """The last key that has begun to sign; else, where a clock that was ahead arranged them, the first that is to."""
    arranged = [key for key in keys if key.active_from is not None]
    if not arranged:
        raise Problem("unavailable", "No signing key is in force.", retry_after=5)
    return next((key for key in reversed(arranged) if _begins(key) <= now), arranged[0])


def _begins(key: SigningKey) -> datetime:
    assert key.active_from is not None
    return key.active_from


def _is_old(current: SigningKey, keys: Sequence[SigningKey]) -> bool:
    """Old enough to make way, and nothing has been arranged yet."""
    begun = current.active_from
    arranged = keys[-1].number > current.number + 1
    return begun is not None and not arranged and clock.now() - begun >= timedelta(days=config.current().key_days)


def _live(keys: Sequence[SigningKey], now: datetime) -> list[SigningKey]:
    """Keys that are not withdrawn and whose last token has not expired yet."""
    return [
        key
        for key, successor in zip_longest(keys, keys[1:])
        if key.withdrawn_at is None and not _is_spent(successor, now)
    ]


def _is_spent(successor: SigningKey | None, now: datetime) -> bool:
    if successor is None or successor.active_from is None:
        return False
    return successor.active_from + timedelta(seconds=config.current().access_seconds) + MARGIN <= now


# -- what this process remembers ------------------------------------------------------------------------


class _Memory:
    """The table as it was read a moment ago, and the keys that were opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: list[SigningKey] = []
        self._read_at = float("-inf")
        self._opened: dict[str, Signer] = {}

    def keys(self) -> list[SigningKey]:
        with self._lock:
            if time.monotonic() - self._read_at >= REREAD_SECONDS:
                self._keys = list(SigningKey.objects.order_by("number"))
                self._read_at = time.monotonic()
            return self._keys

    def opened(self, key: SigningKey) -> Signer:
        with self._lock:
            if key.kid not in self._opened:
                pem = sealing.unseal(PURPOSE, bytes(key.sealed), bound_to=key.kid)
                self._opened = {key.kid: Signer(key.kid, ECKey.import_key(pem))}
            return self._opened[key.kid]

    def clear(self) -> None:
        with self._lock:
            self._keys, self._read_at, self._opened = [], float("-inf"), {}


_memory = _Memory()


def _known() -> list[SigningKey]:
    return _live(_memory.keys(), clock.now())


def _opened(key: SigningKey) -> Signer:
    return _memory.opened(key)
