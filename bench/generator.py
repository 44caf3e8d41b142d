"""The clients: pairs that talk in a closed loop, a storm of connects, connections that only stay."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvloop

from bench.lines import CLOSED, Hear, Line, connect
from bench.seats import STAMP, Dialect, Pair, Seat

HEAD = 64
"""The type of a frame stands within its first bytes."""
now = time.perf_counter_ns
T = TypeVar("T")


class RefusedError(Exception):
    """A server refused what a well-behaved client said."""


@dataclass
class Talk:
    """What all pairs of one run did; `latencies` are nanoseconds from A's send to B's receipt while measured."""

    sent: int = 0
    answered: int = 0
    received: int = 0
    latencies: list[int] = field(default_factory=list)
    refusals: list[bytes] = field(default_factory=list)
    measured: bool = False
    going_on: bool = True

    @property
    def settled(self) -> bool:
        return self.sent == self.answered == self.received


class Voices:
    """One pair at work: A keeps `window` messages under way and sends the next when B has the last."""

    def __init__(self, pair: Pair, talk: Talk, dialect: Dialect, *, quota: float) -> None:
        self.talk, self.dialect, self.left = talk, dialect, quota
        self.parts = pair.frame.split(STAMP)
        self.first = now()
        self.a: Line | None = None
        self.b: Line | None = None

    def begin(self, *, window: int) -> None:
        for _ in range(window):
            self.send()

    def send(self) -> None:
        if self.left <= 0 or not self.a:
            return
        self.left -= 1
        self.talk.sent += 1
        self.a.send((b"%020d" % now()).join(self.parts))

    def prove(self, *, a: str, b: str) -> None:
        """Say new access tokens on both sockets."""
        for line, token in ((self.a, a), (self.b, b)):
            if line:
                line.send(json.dumps({"type": "auth", "token": token}).encode())

    def a_hears(self, data: bytes) -> None:
        if self.dialect.answer in data[:HEAD]:
            self.talk.answered += 1
        else:
            self._note_refusal(data)

    def b_hears(self, data: bytes) -> None:
        if self.dialect.message not in data[:HEAD]:
            self._note_refusal(data)
            return
        arrived, sent = now(), stamp_in(data)
        if sent < self.first:
            return
        self.talk.received += 1
        self.talk.answered += not self.dialect.answers
        if self.talk.measured:
            self.talk.latencies.append(arrived - sent)
        if self.dialect.mark and self.b:
            self.b.send(self.dialect.mark(data))
        if self.talk.going_on:
            self.send()

    def _note_refusal(self, data: bytes) -> None:
        if self.dialect.refusal in data[:HEAD] or data.startswith(CLOSED):
            self.talk.refusals.append(data)


def stamp_in(data: bytes) -> int:
    """The moment written into a message's body."""
    start = data.find(b"@@") + 2
    return int(data[start : start + 20])


def run(work: Coroutine[None, None, T]) -> T:
    return uvloop.run(work)


async def sit_down(seat: Seat, hear: Hear, dialect: Dialect) -> tuple[Line, bytes]:
    """Connect and come back with the frame that ends the first frames, the history; later frames go to `hear`."""
    history: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def listen(data: bytes) -> None:
        if not history.done() and dialect.history in data[:HEAD]:
            history.set_result(data)
        else:
            hear(data)

    line = await connect(seat, listen)
    return line, await first_of(history, line)


async def first_of(history: "asyncio.Future[bytes]", line: Line) -> bytes:
    """The awaited frame, or RefusedError when the connection ends or 60 s pass before it."""
    gone = asyncio.ensure_future(line.gone.wait())
    either: set[asyncio.Future[Any]] = {history, gone}
    await asyncio.wait(either, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    gone.cancel()
    if not history.done():
        raise RefusedError("the connection ended, or 60 s passed, before the first frames came")
    return history.result()


@asynccontextmanager
async def talking(
    pairs: Iterable[Pair], dialect: Dialect, *, quota: float = math.inf
) -> AsyncIterator[tuple[Talk, list[Voices]]]:
    """All pairs connected and silent, each with `quota` messages to say; on leaving, every connection is closed."""
    talk = Talk()
    lines: list[Line] = []
    voices: list[Voices] = []
    try:
        for pair in pairs:
            voice = Voices(pair, talk, dialect, quota=quota)
            voice.a, _ = await sit_down(pair.a, voice.a_hears, dialect)
            lines.append(voice.a)
            voice.b, _ = await sit_down(pair.b, voice.b_hears, dialect)
            lines.append(voice.b)
            voices.append(voice)
        yield talk, voices
    finally:
        for line in lines:
            line.disconnect()


async def fill(pairs: Sequence[Pair], dialect: Dialect, *, messages: int, at_once: int = 50) -> None:
    """Let A of every pair say this many messages, some pairs at a time."""
    for start in range(0, len(pairs), at_once):
        some = pairs[start : start + at_once]
        async with talking(some, dialect, quota=messages) as (talk, voices):
            for voice in voices:
                voice.begin(window=8)
            await settled(talk, sent=messages * len(some))


async def settled(talk: Talk, *, sent: int, seconds: float = 120) -> None:
    """Wait until that many messages were sent, answered and received; RefusedError when they were not."""
    deadline = time.monotonic() + seconds
    while not (talk.settled and talk.sent == sent):
        if talk.refusals:
            raise RefusedError(talk.refusals[0].decode())
        if time.monotonic() > deadline:
            raise RefusedError(f"sent {talk.sent} of {sent}, answered {talk.answered}, received {talk.received}")
        await asyncio.sleep(0.02)


async def settle(talk: Talk) -> None:
    """Begin no further message and wait for those under way."""
    talk.going_on = False
    await settled(talk, sent=talk.sent)


@dataclass
class Arrivals:
    """Nanoseconds from connecting to the history frame, and those frames."""

    latencies: list[int] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)

    def history_lengths(self) -> set[int]:
        return {len(json.loads(frame)["messages"]) for frame in self.frames}


@asynccontextmanager
async def arriving(seats: Sequence[Seat], dialect: Dialect, *, at_once: int) -> AsyncIterator[Arrivals]:
    """Everyone connected, `at_once` under way, each with its history received; all stay until the block ends."""
    arrivals = Arrivals()
    lines: list[Line] = []

    async def arrive(seat: Seat) -> None:
        began = now()
        line, frame = await sit_down(seat, ignore, dialect)
        arrivals.latencies.append(now() - began)
        arrivals.frames.append(frame)
        lines.append(line)

    try:
        await in_turn(arrive, seats, at_once=at_once)
        yield arrivals
    finally:
        for line in lines:
            line.disconnect()


def ignore(_data: bytes) -> None:
    """For those who only stay."""


async def in_turn(do: Callable[[Seat], Awaitable[None]], seats: Iterable[Seat], *, at_once: int) -> None:
    waiting = iter(seats)

    async def worker() -> None:
        for seat in waiting:
            await do(seat)

    await asyncio.gather(*[worker() for _ in range(at_once)])
