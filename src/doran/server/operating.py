"""What an operator does beside a running server, or while none runs: people, signing keys, dead letters."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

from doran.contracts.errors import Problem
from doran.kernel.clock import rfc3339
from doran.kernel.config import Config
from doran.kernel.dead_letters import OUTBOX, Letter, Letters
from doran.server import folder, wiring
from doran.server.exits import EXITS, Refused
from doran.server.telling import say, table

DONE = {"deactivate": "deactivated", "reactivate": "reactivated", "erase": "erased", "release": "free to be taken"}


@contextmanager
def as_refusal() -> Iterator[None]:
    """A problem that an API caller would get, as a refusal of the command."""
    try:
        yield
    except Problem as problem:
        raise Refused("not_found" if problem.kind.status == 404 else "failed", problem.detail) from None


# -- people ----------------------------------------------------------------------------------------


def switch(what: str, username: str) -> None:
    """Deactivate, reactivate or erase somebody, or release an erased person's user name. A running server hears of it by the event, within seconds."""
    from doran.core import users

    changes: dict[str, Callable[[str], Any]] = {
        "deactivate": users.deactivate,
        "reactivate": users.reactivate,
        "erase": users.erase,
        "release": users.release,
    }
    with as_refusal():
        changes[what](username)
    say(f"{username} is {DONE[what]}.")


# -- signing keys ----------------------------------------------------------------------------------


def list_keys() -> None:
    """Every published key and what it is for now."""
    from doran.core import keys

    keys.ensure()
    current = keys.signer().kid
    published = [key["kid"] for key in json.loads(keys.published())["keys"]]
    rows = [(kid, _role(kid, current, published)) for kid in published]
    say(table([("key", "role"), *rows]))


def _role(kid: str, current: str, published: Sequence[str]) -> str:
    if kid == current:
        return "signs now"
    return "signed tokens that are still good" if published.index(kid) < published.index(current) else "next"


def rotate_keys(*, at_once: bool) -> None:
    """Let the next key take over."""
    from doran.core import keys

    keys.ensure()
    with as_refusal():
        begins = keys.rotate(at_once=at_once)
    say(f"The next key signs from {rfc3339(begins)}.")


# -- dead letters ----------------------------------------------------------------------------------


_PATIENCE: Final = 15.0
_EARS: Final = {"core": ("core", "webhooks")}


def list_letters(services: Sequence[str]) -> None:
    """What waits, without what it says: at the inbox, where it was not understood, or still at the outbox."""
    rows = [_letter_row(service, one) for service in services for of in _letters(service) for one in of.listed()]
    say(table([("service", "id", "at", "event", "key", "failed", "reason"), *rows]) if rows else "No event waits.")


def _letter_row(service: str, letter: Letter) -> tuple[str, ...]:
    at = "outbox" if letter.subscription == OUTBOX else "inbox"
    return service, str(letter.id), at, letter.event_type, letter.key, rfc3339(letter.failed_at), letter.reason


def discard(service: str, ids: Sequence[int]) -> None:
    """Give up events for good. The server goes on with those behind them."""
    gone = sum(letters.discard(ids) for letters in _letters(service))
    if not gone:
        raise Refused("not_found", f"{service} has no such dead letter.")
    say(f"{gone} given up.")


def replay(config: Config, service: str, ids: Sequence[int] | None) -> int:
    """Have events tried again: by the server that runs, or by ourselves where none does."""
    waited = {number for letters in _letters(service) for number in letters.ask(ids)}
    if ids and not waited:
        raise Refused("not_found", f"{service} has no such dead letter.")
    if not waited:
        say(f"No event waits at {service}.")
        return 0
    is_tried = asyncio.run(_tried_here(config, service)) if _may_work_here(config, service) else _is_tried(service)
    left = waited.intersection(number for letters in _letters(service) for number in letters.ids())
    say(f"{len(waited) - len(left)} went on, {len(left)} still wait.")
    if not is_tried:
        say("Nobody has tried them yet: a server of this service does as soon as it runs.")
    return 1 if left else 0


def _may_work_here(config: Config, service: str) -> bool:
    """Whether the database is a file here that no server uses. Elsewhere, nobody can know."""
    if getattr(config, f"{service}_database"):
        return False
    try:
        folder.hold(config)
    except Refused as no:
        if no.code != EXITS["in_use"][0]:
            raise
        return False
    return True


async def _tried_here(config: Config, service: str) -> bool:
    house = wiring.build(config, has_front=False)
    await house.start()
    try:
        return await asyncio.to_thread(_is_tried, service)
    finally:
        await house.stop()


def _is_tried(service: str) -> bool:
    """Wait until everything that was asked for is tried; False when nothing moves for a while."""
    before: list[tuple[int, str]] = []
    until = time.monotonic() + _PATIENCE
    while asked := [one for letters in _letters(service) for one in letters.asked()]:
        if asked != before:
            before, until = asked, time.monotonic() + _PATIENCE
        elif time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _letters(service: str) -> list[Letters]:
    """A service's dead letters, by who has to try them."""
    models = import_module(f"doran.{service}.models")
    return [Letters(models.DeadLetter, subscription) for subscription in (*_EARS.get(service, (service,)), OUTBOX)]
