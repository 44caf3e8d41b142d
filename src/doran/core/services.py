"""Services of the deployment prove themselves, and get a token for one other service at a time."""

from __future__ import annotations

import base64
import hmac
import logging
import os
from typing import Final

from joserfc import jwt

from doran.contracts.errors import Problem
from doran.contracts.scopes import granted
from doran.core import keys
from doran.core.views import ServiceToken
from doran.kernel import clock, config
from doran.kernel.auth import OWN_ALGORITHM, SERVICE_TYPE
from doran.kernel.siblings import fingerprint

log = logging.getLogger("doran.core")

SECONDS: Final = 300


def token(service: str, secret: str, audience: str) -> ServiceToken:
    """A token with which this service may ask that one. Raises `Problem`: `invalid_credentials` for a secret
    that is not this service's, `insufficient_scope` where it has nothing to ask."""
    if not _is_its_secret(service, secret):
        log.warning("a service could not prove itself")
        raise Problem("invalid_credentials", "This is not a secret of that service.")
    scopes = granted(service, audience)
    if not scopes:
        raise Problem("insufficient_scope", "This service has nothing to ask there.")
    return ServiceToken(_signed(service, audience, scopes), "Bearer", SECONDS, " ".join(scopes))


def _is_its_secret(service: str, secret: str) -> bool:
    """Whether one of the hashes that the settings list for it is the hash of this secret; all are compared."""
    shown = fingerprint(secret)
    known: tuple[tuple[str, str], ...] = config.current().service_secrets
    return sum(hmac.compare_digest(shown, digest) and name == service for name, digest in known) > 0


def _signed(service: str, audience: str, scopes: tuple[str, ...]) -> str:
    now, signer = int(clock.now().timestamp()), keys.signer()
    claims = {
        "iss": config.current().issuer_name,
        "aud": audience,
        "sub": service,
        "scope": " ".join(scopes),
        "iat": now,
        "exp": now + SECONDS,
        "jti": base64.urlsafe_b64encode(os.urandom(12)).decode(),
    }
    header = {"alg": OWN_ALGORITHM, "typ": SERVICE_TYPE, "kid": signer.kid}
    return jwt.encode(header, claims, signer.key, algorithms=[OWN_ALGORITHM])
