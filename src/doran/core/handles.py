"""Handles of erased persons rest: a stranger who took one would be taken for the person before.

Kept is an HMAC of the handle under a key of the deployment, not the handle. Whoever holds the database and
DORAN_SECRET_KEY can try names on it; the database alone tells nothing. What rests is the form that makes handles unique,
so that capitals and full-width letters make no other.
"""

from __future__ import annotations

from datetime import timedelta

from doran.core import sealing
from doran.core.models import RestingHandle
from doran.kernel import clock, config


def rest(handle: str) -> None:
    """Let a handle rest from now on. In the transaction that frees it."""
    RestingHandle.objects.update_or_create(digest=_digest(handle), defaults={"erased_at": clock.now()})


def is_resting(handle: str) -> bool:
    """Return whether this handle was an erased person's and may not be taken yet."""
    days = config.current().handle_rest_days
    found = RestingHandle.objects.filter(digest=_digest(handle))
    if days is not None:
        found = found.filter(erased_at__gt=clock.now() - timedelta(days=days))
    return found.exists()


def release(handle: str) -> bool:
    """End a handle's rest now. Return whether it was resting."""
    return RestingHandle.objects.filter(digest=_digest(handle)).delete()[0] > 0


def _digest(handle: str) -> str:
    return sealing.tag("resting handles", handle).hex()
