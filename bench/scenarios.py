"""What is measured: messages, connects, memory of idle connections, pages of history. Sides take turns."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from bench import generator
from bench.meters import Cost, Meter, percentile, private_bytes, thread_seconds
from bench.rivals.doran import Doran
from bench.rivals.side import Side
from bench.seats import Pair, Seat

Round = dict[str, Any]
PAGE_SIZE = 50
DEEP = 200


@dataclass(frozen=True)
class Plan:
    """How much is measured; every figure is the median of `rounds`."""

    core: int
    rounds: int = 3
    pairs: int = 50
    window: int = 1
    seconds: float = 6.0
    warm: float = 1.5
    connects: int = 500
    at_once: int = 50
    idle: int = 500
    pages: int = 20
    history: int = 50


class CountsError(Exception):
    """What was sent, answered, received and stored does not add up."""


def messages(sides: Sequence[Side], plan: Plan) -> list[Round]:
    """A sends 100 bytes, the server stores them, B receives them: `window` under way for each of the pairs."""
    return in_turns(sides, plan, _messages)


def _messages(side: Side, plan: Plan) -> Round:
    before, pairs = side.stored(), side.pairs(plan.pairs)
    talk, cost, measured = generator.run(_talk(side, pairs, plan))
    stored, count = side.stored() - before, len(talk.latencies)
    add_up(side.name, talk, stored=stored)
    return {
        "window": plan.window,
        "messages": count,
        "sent_answered_received_stored": stored,
        "per_second": count / cost.wall,
        **_latency(talk.latencies),
        **_cost(cost, count),
        "generator_cpu_us": measured / count * 1e6,
    }


def add_up(name: str, talk: generator.Talk, *, stored: int) -> None:
    """CountsError unless everything sent was answered, received and stored once."""
    if not talk.sent == talk.answered == talk.received == stored:
        counts = f"{talk.sent} sent, {talk.answered} answered, {talk.received} received, {stored} stored"
        raise CountsError(f"{name}: {counts}")


async def _talk(side: Side, pairs: Sequence[Pair], plan: Plan) -> tuple[generator.Talk, Cost, float]:
    """What the pairs said, what it cost the servers while measured, and the generator's own CPU seconds then."""
    async with generator.talking(pairs, side.dialect) as (talk, voices):
        for voice in voices:
            voice.begin(window=plan.window)
        await asyncio.sleep(plan.warm)
        meter, own, talk.measured = Meter(side.pids(), core=plan.core), time.process_time(), True
        await asyncio.sleep(plan.seconds)
        cost, own, talk.measured = meter.stop(), time.process_time() - own, False
        await generator.settle(talk)
    return talk, cost, own


def connects(sides: Sequence[Side], plan: Plan) -> list[Round]:
    """Everyone connects, `at_once` under way; each authenticates and receives the last 50 messages."""
    for side in sides:
        _connects(side, replace(plan, connects=plan.at_once))
    return in_turns(sides, plan, _connects)


def _connects(side: Side, plan: Plan) -> Round:
    seats = _seats(side, plan.connects)
    arrivals, cost = generator.run(_storm(side, seats, plan))
    count, lengths = len(arrivals.frames), arrivals.history_lengths()
    if lengths != {plan.history} or count != len(seats):
        raise CountsError(f"{side.name}: {count} of {len(seats)} connected, histories of {sorted(lengths)} messages")
    return {
        "connects": count,
        "per_second": count / cost.wall,
        "history_bytes": sum(map(len, arrivals.frames)) / count,
        **_latency(arrivals.latencies),
        **_cost(cost, count),
    }


async def _storm(side: Side, seats: Sequence[Seat], plan: Plan) -> tuple[generator.Arrivals, Cost]:
    meter = Meter(side.pids(), core=plan.core)
    async with generator.arriving(seats, side.dialect, at_once=plan.at_once) as arrivals:
        cost = meter.stop()
    return arrivals, cost


def copies(one: Side, two: Side, plan: Plan, *, reason: str) -> list[Round]:
    """The same talk over one chat process and over two. Where both share a core (`reason`) their clock says nothing:
    then what two would carry is reckoned from what a message costs either of them."""
    rounds = in_turns([one, two], plan, _messages)
    for found in rounds:
        found["shared_core"] = reason
    return rounds


def memory(sides: Sequence[Side], plan: Plan) -> list[Round]:
    """A fresh server, a few connections to load its code, then everyone connects and stays."""
    return in_turns(sides, plan, _memory)


def _memory(side: Side, plan: Plan) -> Round:
    side.restart()
    start, seats = private_bytes(side.pids()), _seats(side, plan.idle)
    before, after = generator.run(_idle(side, seats))
    return {
        "connections": len(seats),
        "start_mib": start / 2**20,
        "kib_per_connection": (after - before) / 1024 / len(seats),
    }


async def _idle(side: Side, seats: Sequence[Seat]) -> tuple[int, int]:
    """Private bytes before and while everyone sits there."""
    async with generator.arriving(seats[:20], side.dialect, at_once=20):
        pass
    await asyncio.sleep(2.0)
    before = private_bytes(side.pids())
    async with generator.arriving(seats, side.dialect, at_once=20):
        await asyncio.sleep(3.0)
        return before, private_bytes(side.pids())


def pages(doran: Doran, plan: Plan) -> list[Round]:
    """The first page and page 200 of one conversation in turn; CPU of all of the server's threads per page."""
    _lengthen(doran)
    paths = {depth: f"{doran.pages()}?page={depth}&page_size={PAGE_SIZE}" for depth in (1, DEEP)}
    rest = doran.rest()
    try:
        for path in paths.values():
            if (found := len(rest.get(path)["results"])) != PAGE_SIZE:
                raise CountsError(f"{found} messages on a page of {PAGE_SIZE}")
        _read(doran, rest.raw, paths, plan)
        return [_read(doran, rest.raw, paths, plan) for _ in range(plan.rounds * 4)]
    finally:
        rest.close()


def _lengthen(doran: Doran) -> None:
    """Bring the first conversation to the length that page 200 needs."""
    pair = doran.pairs(1)
    have = doran.town.last_seq(doran.town.couples[0])
    missing = max(0, (DEEP + 1) * PAGE_SIZE - have)
    generator.run(generator.fill(pair, doran.dialect, messages=missing))


def _read(doran: Doran, get: Callable[[str, str], bytes], paths: dict[int, str], plan: Plan) -> Round:
    spent = dict.fromkeys(paths, 0.0)
    took: dict[int, list[float]] = {depth: [] for depth in paths}
    for _ in range(plan.pages):
        for depth, path in paths.items():
            cpu, clock = thread_seconds(doran.pids()), time.perf_counter()
            get("GET", path)
            took[depth].append(time.perf_counter() - clock)
            spent[depth] += thread_seconds(doran.pids()) - cpu
    return {
        "side": doran.name,
        **{f"cpu_us_page_{depth}": seconds / plan.pages * 1e6 for depth, seconds in spent.items()},
        **{f"p50_ms_page_{depth}": median(times) * 1e3 for depth, times in took.items()},
        "deep_to_first": spent[DEEP] / spent[1],
    }


def in_turns(sides: Sequence[Side], plan: Plan, measure: Callable[[Side, Plan], Round]) -> list[Round]:
    """A B A B …: every side once a round."""
    found = []
    for number in range(1, plan.rounds + 1):
        for side in sides:
            rest_a_moment(side, core=plan.core)
            found.append({"side": side.name, "round": number, **measure(side, plan)})
            print(f"  round {number}, {side.name}: {_brief(found[-1])}", flush=True)
    return found


def rest_a_moment(side: Side, *, core: int) -> None:
    """Wait until the side has done what earlier rounds left it to do, at most 20 s."""
    for _ in range(40):
        meter = Meter(side.pids(), core=core)
        time.sleep(0.5)
        if meter.stop().cpu < 0.03:
            return


def _seats(side: Side, count: int) -> list[Seat]:
    """As many people as wanted, each at a socket of their own."""
    return [seat for pair in side.pairs(count // 2) for seat in (pair.a, pair.b)]


def _cost(cost: Cost, count: int) -> Round:
    return {
        "cpu_us": cost.cpu / count * 1e6,
        "cpu_us_by_process": {name: seconds / count * 1e6 for name, seconds in cost.by_process.items()},
        "core_used": cost.cpu / cost.wall,
        "core_used_by_others": cost.others_on_core / cost.wall,
        "seconds": cost.wall,
    }


def _latency(nanoseconds: list[int]) -> Round:
    ordered = sorted(nanoseconds)
    return {"p50_ms": percentile(ordered, 0.5) / 1e6, "p99_ms": percentile(ordered, 0.99) / 1e6}


def _brief(found: Round) -> str:
    shown = ("cpu_us", "per_second", "kib_per_connection", "core_used_by_others")
    return ", ".join(f"{name} {found[name]:.4g}" for name in shown if name in found)
