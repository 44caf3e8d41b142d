"""One secret of the deployment, and a separate key from it for each purpose: to tag, and to seal."""

from __future__ import annotations

import hashlib
import hmac
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from doran.kernel import config
from doran.kernel.config import BadSetting

_NONCE_BYTES = 12


def key_for(purpose: str) -> bytes:
    """32 bytes that only this purpose uses. Raises `BadSetting` without a `secret_key`."""
    secret = config.current().secret_key
    if not secret:
        raise BadSetting("DORAN_SECRET_KEY: is needed to seal keys and tokens")
    return _derived(secret, purpose)


def tag(purpose: str, *parts: str | bytes) -> bytes:
    """A keyed SHA-256 over these parts, each with its length, so that no two lists look the same."""
    message = hmac.new(key_for(purpose), digestmod=hashlib.sha256)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        message.update(len(raw).to_bytes(4, "big") + raw)
    return message.digest()


def seal(purpose: str, secret: bytes, *, bound_to: str) -> bytes:
    """The secret, to be opened only for this purpose and only as what it is bound to."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key_for(purpose)).encrypt(nonce, secret, bound_to.encode())


def unseal(purpose: str, sealed: bytes, *, bound_to: str) -> bytes:
    """What was sealed. Raises `BadSetting` where `secret_key` is not the one that sealed it."""
    nonce, secret = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(key_for(purpose)).decrypt(nonce, secret, bound_to.encode())
    except InvalidTag:
        raise BadSetting(f"DORAN_SECRET_KEY: does not open the {purpose} in core's database") from None


@lru_cache(maxsize=32)
def _derived(secret: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"doran {purpose}".encode()).derive(secret.encode())
