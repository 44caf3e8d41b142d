"""A sibling on the network: asked in time, seldom again, and not at all while it fails."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import msgspec

from doran.contracts.errors import Problem
from doran.kernel import telemetry
from doran.kernel.breaker import Breaker, State
from doran.kernel.siblings.budget import RetryBudget

log = logging.getLogger(__name__)

CONNECT_SECONDS: Final = 1.0
LEAST_SECONDS: Final = 0.05
IDLE_SECONDS: Final = 5.0
LARGEST: Final = 1 << 20
TRIES: Final = 3
FIRST_PAUSE: Final = 0.05
LONGEST_WISH: Final = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """One request. A question changes nothing where it is asked, or nothing worse when it is asked twice."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


class Trouble(Exception):
    """No usable answer. `retry_after` is the sibling's own wish in seconds, if it had one."""

    def __init__(self, reason: str, *, retry_after: float | None = None, is_ill: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.is_ill = is_ill


class Neighbour:
    """One sibling at one address. All of it runs in the loop of a `Line`.

    `at_once` questions may be under way; one more is refused at once, so that a sibling that hangs
    does not take every thread of ours with it.
    """

    def __init__(self, name: str, base: str, *, at_once: int) -> None:
        self.base = base
        self.breaker = Breaker(self._say)
        self._name = name
        self._is_ill = False
        self._budget = RetryBudget()
        self._places = at_once
        self._client = httpx2.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=at_once, keepalive_expiry=IDLE_SECONDS),
        )

    async def ask(self, question: Question, *, seconds: float) -> tuple[int, Any]:
        """Status and decoded JSON, within so many seconds, retries included. Raises `Problem("unavailable")`."""
        if self._places == 0:
            raise self._refused("busy", wait=1.0)
        self._places -= 1
        self._budget.earn()
        try:
            return await self._persistently(question, until=time.monotonic() + seconds)
        finally:
            self._places += 1

    async def close(self) -> None:
        await self._client.aclose()

    async def _persistently(self, question: Question, *, until: float) -> tuple[int, Any]:
        for tried in range(1, TRIES + 1):
            if wait := self.breaker.wait():
                raise self._refused("open", wait=wait)
            try:
                return await self._once(question, until)
            except Trouble as trouble:
                pause = _pause(tried, trouble)
                has_time = time.monotonic() + pause + LEAST_SECONDS < until
                if tried == TRIES or not has_time or not self._budget.spend():
                    raise self._unavailable(trouble.retry_after or 1.0) from None
                telemetry.sibling_asked(self._name, "retried")
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _once(self, question: Question, until: float) -> tuple[int, Any]:
        try:
            async with asyncio.timeout(until - time.monotonic()):
                answer = await self._answer(question)
        except Trouble as trouble:
            self._note("failed" if trouble.is_ill else "busy", is_ill=trouble.is_ill)
            raise
        except TimeoutError:
            self._note("failed", is_ill=True)
            raise Trouble("it took too long") from None
        except BaseException:
            self._note("failed", is_ill=True)
            raise
        self._note("ok", is_ill=False)
        return answer

    def _note(self, outcome: str, *, is_ill: bool) -> None:
        telemetry.sibling_asked(self._name, outcome)
        if is_ill:
            self.breaker.failed()
        else:
            self.breaker.succeeded()

    async def _answer(self, question: Question) -> tuple[int, Any]:
        try:
            async with self._client.stream(
                question.method, self.base + question.path, headers=dict(question.headers), content=question.body
            ) as answer:
                _refuse_unfit(answer)
                return answer.status_code, _decoded(await _whole(answer))
        except (httpx2.HTTPError, httpx2.InvalidURL) as wrong:
            raise Trouble(type(wrong).__name__) from None

    # -- what others hear of it --------------------------------------------------------------------

    def _refused(self, outcome: str, *, wait: float) -> Problem:
        telemetry.sibling_asked(self._name, outcome)
        return self._unavailable(wait)

    def _unavailable(self, wait: float) -> Problem:
        return Problem("unavailable", f"{self._name} cannot be asked now.", retry_after=wait)

    def _say(self, state: State) -> None:
        """Of a long illness the log says the beginning and the end."""
        telemetry.sibling_state(self._name, state.value)
        if state is State.CLOSED:
            log.info("a sibling answers again", extra={"service": self._name})
        elif not self._is_ill:
            log.warning("a sibling fails and is not asked for a while", extra={"service": self._name})
        self._is_ill = state is not State.CLOSED


def _refuse_unfit(answer: httpx2.Response) -> None:
    """What no sibling says to an honest question, and its wish to be asked later."""
    status = answer.status_code
    if status in (429, 503):
        raise Trouble(f"status {status}", retry_after=_wish(answer), is_ill=status == 503)
    if not (200 <= status < 300 or 400 <= status < 500):
        raise Trouble(f"status {status}")


def _wish(answer: httpx2.Response) -> float | None:
    said = answer.headers.get("retry-after", "")
    return min(float(said), LONGEST_WISH) if said.isdigit() else None


async def _whole(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():  # as sent: nothing that could unfold into more
        body += piece
        if len(body) > LARGEST:
            raise Trouble("too much")
    return bytes(body)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        raise Trouble("not JSON") from None


def _pause(tried: int, trouble: Trouble) -> float:
    """What the sibling asked for; else doubling, with jitter so that many do not return as one."""
    if trouble.retry_after is not None:
        return trouble.retry_after * random.uniform(1.0, 1.2)  # noqa: S311
    return FIRST_PAUSE * 2.0**tried * random.random()  # noqa: S311


class Line:
    """An event loop in a thread of its own, and the neighbours behind it."""

    def __init__(self) -> None:
        self._neighbours: dict[str, Neighbour] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="siblings", daemon=True)
        self._thread.start()

    def ask(self, name: str, base: str, question: Question, *, seconds: float, at_once: int) -> tuple[int, Any]:
        """`Neighbour.ask`, for a thread that may wait."""
        asking = self._ask(name, base, question, seconds=seconds, at_once=at_once)
        try:
            return asyncio.run_coroutine_threadsafe(asking, self._loop).result()
        except CancelledError:  # the line was closed meanwhile
            raise Problem("unavailable", retry_after=1) from None

    def close(self) -> None:
        """Give up what is under way, let go of every connection, and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _ask(self, name: str, base: str, question: Question, *, seconds: float, at_once: int) -> tuple[int, Any]:
        known = self._neighbours.get(name)
        if known is None or known.base != base:
            known = self._neighbours[name] = Neighbour(name, base, at_once=at_once)
        return await known.ask(question, seconds=seconds)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()
            for neighbour in self._neighbours.values():
                runner.run(neighbour.close())
