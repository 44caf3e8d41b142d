"""One secret of the deployment, and a separate key from it for each purpose."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from doran.kernel import config
from doran.kernel.config import BadSetting


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


@lru_cache(maxsize=32)
def _derived(secret: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"doran {purpose}".encode()).derive(secret.encode())
