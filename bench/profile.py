"""Where Doran's time goes while pairs talk, by py-spy when it is installed; such a round is never judged."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench import generator
from bench.meters import Meter, ThreadTimes, thread_times
from bench.processes import StartError
from bench.rivals.doran import Doran
from bench.scenarios import Plan
from bench.seats import Pair

RATE = 250
"""Samples a second."""
SHOWN = 45
Stacks = Counter[tuple[str, ...]]
"""How often each stack was seen: outermost function first."""


def show(doran: Doran, plan: Plan) -> None:
    """One more round of messages, sampled: the functions that ran, and what they are of one message."""
    stacks, cpu_us = generator.run(_sampled(doran, doran.pairs(plan.pairs), plan))
    _table(stacks, cpu_us)


async def _sampled(doran: Doran, pairs: Sequence[Pair], plan: Plan) -> tuple[Stacks, float]:
    async with generator.talking(pairs, doran.dialect) as (talk, voices):
        for voice in voices:
            voice.begin(window=plan.window)
        await asyncio.sleep(plan.warm)
        meter, received = Meter(doran.pids(), core=plan.core), talk.received
        before = thread_times(doran.pids()[0])
        await asyncio.sleep(plan.seconds)
        after, cost, count = thread_times(doran.pids()[0]), meter.stop(), talk.received - received
        stacks = await _sample(doran.pids()[0], seconds=plan.seconds)
        await generator.settle(talk)
    _threads(before, after, stacks, count=count)
    return stacks, cost.cpu / count * 1e6


async def _sample(pid: int, *, seconds: float) -> Stacks:
    stacks: Stacks = Counter()
    with tempfile.TemporaryDirectory(prefix="doran-profile-") as folder:
        raw = Path(folder) / "stacks"
        asked = ["record", "--threads", "--gil", "--function", "--format", "raw", "--rate", str(RATE)]
        spy = await asyncio.create_subprocess_exec(
            find(), *asked, "--duration", str(round(seconds)), "--output", str(raw), "--pid", str(pid),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await spy.wait()
        for line in raw.read_text().splitlines():
            frames, count = line.rsplit(" ", 1)
            stacks[tuple(frames.split(";"))] += int(count)
    return stacks


def find() -> str:
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not found:
        raise StartError("py-spy is not installed in this environment")
    return found


def _threads(before: ThreadTimes, after: ThreadTimes, stacks: Stacks, *, count: int) -> None:
    """What each thread used while not sampled; py-spy knows their names."""
    names = {int(tid): name for frames in stacks if (tid := frames[0].partition("(")[2].partition(")")[0])
             for name in [frames[0].partition(": ")[2]]}  # fmt: skip
    print(f"\n{'user µs':>8} {'system µs':>10}  thread")
    spent = {
        tid: (user - before.get(tid, (0, 0))[0], system - before.get(tid, (0, 0))[1])
        for tid, (user, system) in after.items()
    }
    for tid, (user, system) in sorted(spent.items(), key=lambda item: -sum(item[1])):
        if user + system > 0:
            print(f"{user / count * 1e6:8.1f} {system / count * 1e6:10.1f}  {names.get(tid, tid)}")


def _table(stacks: Stacks, cpu_us: float) -> None:
    """Shares of all samples, and what they are of the CPU of one message."""
    own, within, threads = Counter[str](), Counter[str](), Counter[str]()
    for frames, count in stacks.items():
        own[frames[-1]] += count
        threads[frames[0]] += count
        within.update(dict.fromkeys(frames, count))
    total = max(1, stacks.total())
    print(f"\n{cpu_us:.0f} µs CPU per message, not sampled; {total} samples of who held the GIL, after that")
    _rows("thread", threads, within, total=total, cpu_us=cpu_us)
    _rows("function, own time", own, within, total=total, cpu_us=cpu_us)
    _rows("function, with what it calls", within, within, total=total, cpu_us=cpu_us)


def _rows(title: str, counted: Counter[str], within: Counter[str], *, total: int, cpu_us: float) -> None:
    print(f"\n{'share':>6} {'µs':>7} {'with callees':>13}  {title}")
    for name, count in counted.most_common(SHOWN):
        print(f"{count / total:6.1%} {count / total * cpu_us:7.1f} {within[name] / total:13.1%}  {name}")
