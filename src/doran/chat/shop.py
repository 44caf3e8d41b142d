"""What chat's nouns need from the process they run in: the writer, the settings, the store's identity.

The server puts it in place at start (`open_shop`) and takes it away at the end; there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from doran.chat.models import Store
from doran.chat.screens import Screens
from doran.chat.writer import DATABASE, Writer
from doran.kernel import clock
from doran.kernel.config import Config
from doran.kernel.limits import Limiter
from doran.realtime.hub import Delivery


@dataclass(slots=True)
class Shop:
    """`shares`: other processes share the database, and are to be told of each commit; `sends` limits
    one person's messages; `core_knows` asks core whether somebody exists; `show` shows what an event
    changed, if it commits; `part` and `end_session` reach open sockets from any thread: `part` ends
    what passes between two people who may not talk any more; `follow` does what comes of a message that an
    event brought, by conversation, author and recipient. `screens` shows what another service asks for."""

    config: Config
    writer: Writer
    shares: bool
    epoch: str
    digest_key: bytes
    sends: Limiter
    core_knows: Callable[[str], bool]
    show: Callable[[Sequence[Delivery]], None]
    part: Callable[[str, tuple[str, str]], None]
    end_session: Callable[[str, str | None], None]
    follow: Callable[[str, str, str], None]
    screens: Screens


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
