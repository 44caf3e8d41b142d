"""Somebody who is asked over the network, again where it failed in passing, and not at all while it keeps failing.

Providers are asked like this, and translation engines.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from doran.ai.providers import About, Trouble
from doran.ai.providers.wire import Refused
from doran.kernel import telemetry
from doran.kernel.breaker import Breaker, State

log = logging.getLogger(__name__)

TRIES: Final = 4
TRIES_WITH_OTHERS: Final = 2
"""So many where somebody else is left: a person waits."""
FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0
LONGEST_WISH: Final = 20.0
_NO_ENTRY: Final = frozenset({401, 403, 404})
_NOT_ILL: Final = frozenset({400, 409, 413, 422, 429})

Began = Callable[[About], Awaitable[None]]
T = TypeVar("T")


class Known(Protocol):
    """Of whom one knows something before they are asked."""

    about: About


P = TypeVar("P", bound=Known)


class Link(Generic[P]):
    """Somebody who can be asked, and whether that is worth it now. Belongs to one event loop."""

    def __init__(self, provider: P) -> None:
        self.provider = provider
        self.breaker = Breaker(_say(provider.about.name))

    @property
    def about(self) -> About:
        return self.provider.about

    def note(self, trouble: Trouble) -> None:
        """Somebody who is busy, or does not take this question, is not ill."""
        is_about_it = isinstance(trouble, Refused) and trouble.status in _NOT_ILL
        if is_about_it or trouble.code != "provider_unavailable":
            self.well("busy" if trouble.is_passing else "refused")
        else:
            self._failed(trouble)

    def _failed(self, trouble: Trouble) -> None:
        telemetry.provider_asked(self.about.name, "failed")
        self.breaker.failed()
        if isinstance(trouble, Refused) and trouble.status in _NO_ENTRY:
            facts = {"provider": self.about.name, "status": trouble.status}
            log.error("a provider refuses us: look at its url, key and model", extra=facts)

    def well(self, outcome: str) -> None:
        telemetry.provider_asked(self.about.name, outcome)
        self.breaker.succeeded()

    def left(self) -> None:
        """Who asked did not wait. That says nothing, but a breaker that let one question through wants to hear."""
        telemetry.provider_asked(self.about.name, "left")
        if self.breaker.state is State.HALF_OPEN:
            self.breaker.failed()

    async def enter(self, began: Began) -> None:
        """Raises `Trouble` while the breaker is open, and whatever `began` has against it."""
        if wait := self.breaker.wait():
            telemetry.provider_asked(self.about.name, "open")
            raise Trouble("provider_unavailable", "it fails", is_passing=True, retry_after=wait)
        try:
            await began(self.about)
        except BaseException:
            self.left()
            raise

    async def pause(self, trouble: Trouble, *, tried: int, tries: int) -> None:
        """Wait before the next try, or raise what was the trouble where there is to be none."""
        wish = trouble.retry_after or 0.0
        if not trouble.is_passing or tried == tries or wish > LONGEST_WISH:
            raise trouble
        if self.breaker.state is not State.CLOSED:
            raise trouble
        telemetry.provider_asked(self.about.name, "retried")
        await asyncio.sleep(_seconds(tried, wish))

    async def whole(self, question: Callable[[], Awaitable[T]], began: Began, *, tries: int, patience: float) -> T:
        """An answer that comes in one piece, each time within `patience` seconds. Raises `Trouble`."""
        await self.enter(began)
        for tried in range(1, tries + 1):
            try:
                return await self._whole_once(question, patience)
            except Trouble as trouble:
                await self.pause(trouble, tried=tried, tries=tries)
        raise AssertionError("the last try returns or raises")

    async def _whole_once(self, question: Callable[[], Awaitable[T]], patience: float) -> T:
        """However it ends, the breaker hears of it once."""
        try:
            async with asyncio.timeout(patience):
                found = await question()
        except Trouble as trouble:
            self.note(trouble)
            raise
        except TimeoutError:
            silent = Trouble("provider_unavailable", "it says nothing", is_passing=True)
            self.note(silent)
            raise silent from None
        except BaseException:
            self.left()
            raise
        self.well("ok")
        return found


def tries(others: int) -> int:
    """How often to ask somebody behind whom so many others are left."""
    return TRIES_WITH_OTHERS if others else TRIES


def _seconds(tried: int, wish: float) -> float:
    """What the provider asked for; else doubling, with jitter so that many do not return as one."""
    if wish:
        return wish * random.uniform(1.0, 1.2)  # noqa: S311
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tried - 1)) * random.uniform(0.5, 1.0)  # noqa: S311


def _say(name: str) -> Callable[[State], None]:
    """Of a long illness the log says the beginning and the end."""
    is_ill = False

    def say(state: State) -> None:
        nonlocal is_ill
        telemetry.provider_state(name, state.value)
        if state is State.CLOSED:
            log.info("a provider answers again", extra={"provider": name})
        elif not is_ill:
            log.warning("a provider fails and is not asked for a while", extra={"provider": name})
        is_ill = state is not State.CLOSED

    return say
