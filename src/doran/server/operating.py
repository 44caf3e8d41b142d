"""What an operator does beside a running server, or while none runs: people, signing keys, dead letters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from doran.contracts.errors import Problem
from doran.kernel.clock import rfc3339
from doran.kernel.config import Config
from doran.kernel.inbox import Consumer, Letter, Replayed
from doran.server import folder, wiring
from doran.server.exits import Refused
from doran.server.telling import say, table

DONE = {"deactivate": "deactivated", "reactivate": "reactivated", "erase": "erased"}


@contextmanager
def _plainly() -> Iterator[None]:
    """A problem that an API caller would get, as a refusal of the command."""
    try:
        yield
    except Problem as problem:
        raise Refused("not_found" if problem.kind.status == 404 else "failed", problem.detail) from None


# -- people ----------------------------------------------------------------------------------------


def switch(what: str, username: str) -> None:
    """Deactivate, reactivate or erase somebody. A running server hears of it by the event, within seconds."""
    from doran.core import users

    changes: dict[str, Callable[[str], Any]] = {
        "deactivate": users.deactivate,
        "reactivate": users.reactivate,
        "erase": users.erase,
    }
    with _plainly():
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
    with _plainly():
        begins = keys.rotate(at_once=at_once)
    say(f"The next key signs from {rfc3339(begins)}.")


# -- the timeline ----------------------------------------------------------------------------------


def restored(config: Config) -> None:
    """An older copy of the databases was put back: every device starts anew from what is there now."""
    from doran.chat import shop

    folder.hold(Path(config.data))
    shop.new_timeline()
    say("Devices will forget what they knew and read what is here.")


# -- dead letters ----------------------------------------------------------------------------------


def list_letters(services: Sequence[str]) -> None:
    """What waits, without what it says."""
    rows = [_letter_row(service, letter) for service in services for letter in _ear(service).letters()]
    say(table([("service", "id", "event", "key", "failed", "reason"), *rows]) if rows else "No event waits.")


def _letter_row(service: str, letter: Letter) -> tuple[str, ...]:
    failed = rfc3339(letter.failed_at)
    return service, str(letter.id), letter.event_type, letter.key, failed, letter.reason


def discard(service: str, ids: Sequence[int]) -> None:
    """Give up events for good."""
    gone = _ear(service).discard(ids)
    if not gone:
        raise Refused("not_found", f"{service} has no such dead letter.")
    say(f"{gone} given up.")


def replay(config: Config, service: str, ids: Sequence[int] | None) -> int:
    """Try again, in a house of its own: no server may run on these databases meanwhile."""
    folder.hold(Path(config.data))
    result = asyncio.run(_replayed(config, service, ids))
    say(f"{result.handled} took effect, {result.stuck} still wait.")
    return 1 if result.stuck else 0


async def _replayed(config: Config, service: str, ids: Sequence[int] | None) -> Replayed:
    house = wiring.build(config)
    await house.start()
    try:
        return await asyncio.to_thread(_ear_of(house, service).replay, ids)
    finally:
        await house.stop()


def _ear(service: str) -> Consumer:
    models = import_module(f"doran.{service}.models")
    return Consumer(service, {}, models.Inbox, models.DeadLetter)


def _ear_of(house: wiring.House, service: str) -> Consumer:
    ears = {consumer.subscription: consumer for consumer in house.consumers}
    if house.chat is not None:
        ears["chat"] = house.chat.consumer
    if service not in ears:
        raise Refused("not_found", f"{service} listens to no events, so nothing can wait there.")
    return ears[service]
