"""`bin/flood`: a steady stream of messages against a running Doran, for eyes and profilers; one line a second."""

import argparse
import asyncio
import sys
import time
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from bench import generator, people
from bench.generator import RefusedError, Talk, Voices
from bench.meters import percentile
from bench.rest import UnexpectedAnswerError

TICK = 0.01
"""Seconds between looks at how many messages are due."""
RENEW = 200.0
"""Seconds between new tokens for everyone, said on the open sockets."""


def main() -> int:
    wanted = arguments()
    try:
        town = people.Town(*wanted.url)
        print(f"{wanted.people} people sign up …", flush=True)
        town.settle(wanted.people)
        generator.run(flood(town, wanted))
    except (OSError, RefusedError, UnexpectedAnswerError) as wrong:
        print(f"flood: {wrong}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


async def flood(town: people.Town, wanted: argparse.Namespace) -> None:
    pairs = [people.seats(couple, host=town.host, port=town.port, door=wanted.door) for couple in town.couples]
    async with generator.talking(pairs, people.dialect(door=wanted.door, marks=wanted.marks)) as (talk, voices):
        talk.going_on, talk.measured = False, True
        await until_one_ends(
            speak(voices, rate=wanted.rate, seconds=wanted.seconds),
            tell(talk),
            renew(town, voices),
        )
        await generator.settled(talk, sent=talk.sent)
    print(f"sent {talk.sent}, answered {talk.answered}, received {talk.received}: all of them")


async def until_one_ends(*works: Coroutine[Any, Any, None]) -> None:
    """Run all; when the first ends, end the others, and pass on what went wrong."""
    tasks = [asyncio.ensure_future(work) for work in works]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()


async def speak(voices: Sequence[Voices], *, rate: float, seconds: float) -> None:
    """`rate` messages a second over all pairs in turn, whether or not earlier ones have arrived."""
    began, said = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        while said < passed * rate:
            voices[said % len(voices)].send()
            said += 1
        await asyncio.sleep(TICK)


async def tell(talk: Talk) -> None:
    """One line a second: what flowed since the last, and what waits; RefusedError on the first refusal."""
    sent = received = 0
    while True:
        await asyncio.sleep(1)
        latencies, talk.latencies = sorted(talk.latencies), []
        print(
            f"sent {talk.sent - sent}/s  received {talk.received - received}/s  under way {talk.sent - talk.received}"
            f"  {_spread(latencies)}",
            flush=True,
        )
        sent, received = talk.sent, talk.received
        if talk.refusals:
            raise RefusedError(talk.refusals[0].decode())


async def renew(town: people.Town, voices: Sequence[Voices]) -> None:
    """Keep the sockets authenticated past the life of their first tokens."""
    while True:
        await asyncio.sleep(RENEW)
        await asyncio.to_thread(town.renew, town.couples, older_than=0)
        for couple, voice in zip(town.couples, voices, strict=True):
            voice.prove(a=couple.a.access, b=couple.b.access)


def _spread(ordered: Sequence[int]) -> str:
    if not ordered:
        return "nothing arrived"
    return f"p50 {percentile(ordered, 0.5) / 1e6:.1f} ms  p99 {percentile(ordered, 0.99) / 1e6:.1f} ms"


def address(text: str) -> tuple[str, int]:
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname:
        raise argparse.ArgumentTypeError("expected an address such as http://127.0.0.1:8000")
    return parts.hostname, parts.port or 80


def even(text: str) -> int:
    count = int(text)
    if count < 2 or count % 2:
        raise argparse.ArgumentTypeError("expected an even number, 2 or more")
    return count


def arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="bin/flood", description=__doc__)
    say = reader.add_argument
    say(
        "--url", type=address, default=("127.0.0.1", 8000), help="where Doran answers; http://127.0.0.1:8000 by default"
    )
    say(
        "--people", type=even, default=20, help="people who sign up and talk in pairs; sign-ups are limited by settings"
    )
    say("--rate", type=float, default=100.0, help="messages a second, all pairs together")
    say("--seconds", type=float, default=30.0)
    say("--door", choices=["one", "all"], default="one", help="/ws/chat/{id}/ or /ws/")
    say("--marks", action=argparse.BooleanOptionalAction, default=True, help="receivers say mark_as_delivered")
    return reader.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
