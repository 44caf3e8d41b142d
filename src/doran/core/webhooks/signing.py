"""Secrets of endpoints, and signatures as Standard Webhooks defines them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q

from doran.core import sealing
from doran.core.models import WebhookEndpoint, WebhookSecret
from doran.kernel import clock, config

PREFIX: Final = "whsec_"
_BYTES: Final = 32
_PURPOSE: Final = "webhook secrets"


def headers(event_id: str, body: bytes, keys: Sequence[bytes], at: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks, with one signature for each key."""
    timestamp = str(int(at.timestamp()))
    signed = f"{event_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(key, signed)}" for key in keys),
    }


def make(endpoint: WebhookEndpoint) -> str:
    """Another secret for this endpoint, as its receiver needs it. It is never shown again."""
    key = secrets.token_bytes(_BYTES)
    sealed = sealing.seal(_PURPOSE, key, bound_to=str(endpoint.id))
    WebhookSecret.objects.create(endpoint=endpoint, sealed=sealed, created_at=clock.now())
    return PREFIX + base64.b64encode(key).decode()


def rotate(endpoint: WebhookEndpoint, *, at_once: bool) -> tuple[str, datetime]:
    """A new secret, and when the one before it stops signing. At most two sign at the same time."""
    ends_at = clock.now() + timedelta(hours=0 if at_once else config.current().webhook_overlap_hours)
    known = WebhookSecret.objects.filter(endpoint=endpoint)
    known.filter(ends_at__isnull=False).delete()
    known.update(ends_at=ends_at)
    return make(endpoint), ends_at


def in_force(endpoint_id: uuid.UUID) -> list[WebhookSecret]:
    """Those that sign now, the newest first."""
    known = WebhookSecret.objects.filter(endpoint_id=endpoint_id)
    return list(known.filter(Q(ends_at=None) | Q(ends_at__gt=clock.now())).order_by("-id"))


def opened(secret: WebhookSecret) -> bytes:
    """The key itself. Raises `BadSetting` where `secret_key` is another one than it was."""
    return sealing.unseal(_PURPOSE, bytes(secret.sealed), bound_to=str(secret.endpoint_id))


def _signature(key: bytes, signed: bytes) -> str:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
