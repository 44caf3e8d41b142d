"""What chat's nouns need from the process they run in: the writer, the settings, the store's identity.

The server puts it in place at start (`open_shop`) and takes it away at the end; there is one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from doran.chat.models import Store
from doran.chat.writer import DATABASE, Writer
from doran.kernel import clock
from doran.kernel.config import Config
from doran.kernel.limits import Limiter
from doran.realtime.hub import Delivery


@dataclass(slots=True)
class Shop:
    """`sends` limits one person's messages; `core_knows` asks core whether somebody exists;
    `show` shows what an event changed, if it commits; `part` and `end_session` reach open sockets
    from any thread: `part` ends what passes between two people who may not talk any more."""

    config: Config
    writer: Writer
    epoch: str
    digest_key: bytes
    sends: Limiter
    core_knows: Callable[[str, str], bool]
    show: Callable[[Sequence[Delivery]], None]
    part: Callable[[str, tuple[str, str]], None]
    end_session: Callable[[str, str | None], None]


_open: Shop | None = None


def shop() -> Shop:
    if _open is None:
        raise RuntimeError("chat is not open: the server opens it before it serves")
    return _open


def open_shop(new: Shop | None) -> None:
    global _open
    _open = new


def identity(*, secret: bytes) -> Store:
    """The store's epoch and digest key; made with the store."""
    store, _ = Store.objects.using(DATABASE).get_or_create(
        id=1,
        defaults={"epoch": clock.new_id().hex, "digest_key": secret, "created_at": clock.now()},
    )
    return store


def new_timeline() -> str:
    """Give the store another epoch: what devices know of the old one no longer counts. Returns it."""
    epoch = clock.new_id().hex
    if not Store.objects.using(DATABASE).update(epoch=epoch):
        return identity(secret=secrets.token_bytes(32)).epoch
    return epoch
