"""Log in, stay logged in, log out: access tokens that expire soon, refresh tokens that work once.

A refresh token is 256 random bits with the session and the number of its refresh beside them and a
keyed hash over all. Only its SHA-256 is stored. An older one of the same session is known by the
keyed hash, and ends the session: somebody has copied it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import os
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction
from joserfc import jwt

from doran.contracts.errors import Problem
from doran.core import devices, keys, logins, profiles, sealing, sessions, texts
from doran.core.models import DEVICE_NAME_LENGTH, AuthToken
from doran.core.views import TokenPair
from doran.kernel import clock, config
from doran.kernel.auth import OWN_ALGORITHM, OWN_TYPE

log = logging.getLogger("doran.core")

DATABASE = "core"
_SECRET_BYTES: Final = 32
_MARK_BYTES: Final = 16
_LENGTH: Final = 16 + 4 + _SECRET_BYTES + _MARK_BYTES


def log_in(
    username: str, password: str, *, device_name: str = "", address: str, device: str | None = None
) -> tuple[TokenPair, str]:
    """Return the tokens of a new session, and the device cookie: the one that was sent, or a new one.

    Raises `Problem`: `validation_failed` for the device's name, or as `logins.prove`.
    """
    name = texts.line(device_name)
    profiles.refuse(texts.wrong_line("device_name", name, most=DEVICE_NAME_LENGTH))
    user = logins.prove(username, password, address=address, device=device)
    device = device or devices.new()
    with transaction.atomic(using=DATABASE):
        if not sessions.lock(str(user.id)).is_active:
            raise Problem("invalid_credentials")
        session, first = _begin(user.id, name, address=address, device=device)
        sessions.make_room(user, newest=session)
    log.info("logged in", extra={"user_id": str(user.id), "session_id": str(session.id)})
    return _pair(session, first), device


def refresh(token: str, *, retry_key: str | None = None) -> TokenPair:
    """Exchange a refresh token for a new pair.

    A token used again ends the whole session (`refresh_token_reused`), with one exception: a client
    that named its request (`retry_key`) and lost the answer may repeat it under the same name until
    the successor is used, and gets the same successor. Raises `Problem`.
    """
    shown = _read(token)
    with transaction.atomic(using=DATABASE):
        session = _held(shown)
        successor = _exchange(session, shown, retry_key)
    if successor is None:
        log.warning("refresh token used again", extra={"session_id": str(session.id)})
        raise Problem("refresh_token_reused")
    return _pair(session, successor)


def revoke(token: str) -> None:
    """End the session of this refresh token, also of an older one. A token of nobody changes nothing."""
    try:
        shown = _read(token)
        with transaction.atomic(using=DATABASE):
            session = _held(shown)
            if _is_genuine(session, shown):
                sessions.close([session], reason="logged_out")
    except Problem:
        return


# -- a session's tokens ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shown:
    """A refresh token taken apart. `mark` is the keyed hash over the rest."""

    session_id: uuid.UUID
    generation: int
    secret: bytes
    mark: bytes

    @property
    def text(self) -> str:
        raw = self.session_id.bytes + self.generation.to_bytes(4, "big") + self.secret + self.mark
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.secret).digest()

    @property
    def is_ours(self) -> bool:
        return hmac.compare_digest(self.mark, _mark(self.session_id, self.generation, self.secret))


def _made(session_id: uuid.UUID, generation: int, secret: bytes) -> _Shown:
    return _Shown(session_id, generation, secret, _mark(session_id, generation, secret))


def _mark(session_id: uuid.UUID, generation: int, secret: bytes) -> bytes:
    return sealing.tag("refresh tokens", session_id.bytes, str(generation), secret)[:_MARK_BYTES]


def _read(token: str) -> _Shown:
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise Problem("invalid_refresh_token") from None
    if len(raw) != _LENGTH:
        raise Problem("invalid_refresh_token")
    return _Shown(uuid.UUID(bytes=raw[:16]), int.from_bytes(raw[16:20], "big"), raw[20:52], raw[52:])


def _begin(user_id: uuid.UUID, device_name: str, *, address: str, device: str) -> tuple[AuthToken, _Shown]:
    now = clock.now()
    first = _made(clock.new_id(), 1, os.urandom(_SECRET_BYTES))
    session = AuthToken.objects.create(
        id=first.session_id,
        user_id=user_id,
        device_name=device_name,
        address_tag=sessions.address_tag(address),
        device_tag=devices.tag(user_id, device),
        digest=first.digest,
        salt=os.urandom(_SECRET_BYTES),
        created_at=now,
        last_used_at=now,
        expires_at=now + _unused(),
    )
    return session, first


def _held(shown: _Shown) -> AuthToken:
    """The token's session, which nobody else changes now. Raises `Problem("invalid_refresh_token")`."""
    owner = AuthToken.objects.filter(id=shown.session_id).values_list("user_id", flat=True).first()
    if owner is None:
        raise Problem("invalid_refresh_token")
    sessions.lock(str(owner))
    session = AuthToken.objects.select_for_update().filter(id=shown.session_id).first()
    if session is None or not _is_genuine(session, shown):
        raise Problem("invalid_refresh_token")
    _refuse_dead(session)
    return session


def _refuse_dead(session: AuthToken) -> None:
    if session.end_reason == "reused":
        raise Problem("refresh_token_reused")
    if session.ended_at is not None or session.expires_at <= clock.now():
        raise Problem("invalid_refresh_token", "The session has ended.")


def _is_genuine(session: AuthToken, shown: _Shown) -> bool:
    """The session's present token, or an earlier one that we made."""
    if shown.generation == session.generation:
        return _same(session.digest, shown.digest)
    return shown.generation < session.generation and shown.is_ours


def _exchange(session: AuthToken, shown: _Shown, retry_key: str | None) -> _Shown | None:
    if shown.generation == session.generation:
        return _rotate(session, shown, retry_key)
    if _is_retry(session, shown, retry_key):
        return _successor(session, shown)
    sessions.close([session], reason="reused")
    return None


def _rotate(session: AuthToken, shown: _Shown, retry_key: str | None) -> _Shown:
    session.salt = os.urandom(_SECRET_BYTES)
    successor = _successor(session, shown)
    session.digest = successor.digest
    session.retry_digest = None if retry_key is None else _named(retry_key)
    session.generation = successor.generation
    session.last_used_at = clock.not_before(session.last_used_at)
    session.expires_at = clock.now() + _unused()
    session.save()
    return successor


def _successor(session: AuthToken, shown: _Shown) -> _Shown:
    """The next token follows from this one, a salt of the session and our secret: it can be made
    again for a lost answer, and neither the stored row nor the old token alone gives it away."""
    generation = shown.generation + 1
    secret = sealing.tag("refresh successors", bytes(session.salt), session.id.bytes, str(generation), shown.secret)
    return _made(session.id, generation, secret)


def _is_retry(session: AuthToken, shown: _Shown, retry_key: str | None) -> bool:
    """Return whether this request is the one that made the session's present token, which nobody has used yet.

    No time limit: a browser that was closed while it renewed asks again when it is opened, days later perhaps.
    """
    return (
        retry_key is not None
        and _same(session.retry_digest, _named(retry_key))
        and _same(session.digest, _successor(session, shown).digest)
    )


def _named(retry_key: str) -> bytes:
    return hashlib.sha256(retry_key.encode()).digest()


def _same(stored: bytes | memoryview | None, shown: bytes) -> bool:
    return stored is not None and hmac.compare_digest(bytes(stored), shown)


def _unused() -> timedelta:
    return timedelta(days=config.current().session_days)


# -- what goes out --------------------------------------------------------------------------------------


def _pair(session: AuthToken, refresh_token: _Shown) -> TokenPair:
    return TokenPair(
        access_token=_access_token(session),
        refresh_token=refresh_token.text,
        token_type="Bearer",  # noqa: S106  the kind, not a secret
        expires_in=config.current().access_seconds,
        user_id=str(session.user_id),
        session_id=str(session.id),
    )


def _access_token(session: AuthToken) -> str:
    now, signer = int(clock.now().timestamp()), keys.signer()
    claims = {
        "iss": config.current().issuer_name,
        "aud": config.current().audience,
        "sub": str(session.user_id),
        "sid": str(session.id),
        "iat": now,
        "exp": now + config.current().access_seconds,
        "jti": base64.urlsafe_b64encode(os.urandom(12)).decode(),
    }
    header = {"alg": OWN_ALGORITHM, "typ": OWN_TYPE, "kid": signer.kid}
    return jwt.encode(header, claims, signer.key, algorithms=[OWN_ALGORITHM])
