"""Six people with two devices each spend a while on the toy server, in simulated time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import msgspec

from doran.verify.history import Operation, Recorder, in_order
from doran.verify.judge import Verdict, judge
from doran.verify.run import Campaign, Plan
from tests.verify import simulated
from tests.verify.toy import Toy

SECONDS = 5.0


def spend(*, seed: int, faults: Iterable[str] = (), seconds: float = SECONDS) -> list[Operation]:
    """One run of the real generator, devices and recorder against the toy; its history."""
    return simulated.run(_spend(seed, faults, seconds))


def judged(*, seed: int, faults: Iterable[str] = (), seconds: float = SECONDS) -> Verdict:
    return judge(spend(seed=seed, faults=faults, seconds=seconds))


def write(file: Path, operations: Iterable[Operation]) -> None:
    """A history file with these operations, as a recorder would have left it."""
    file.write_bytes(b"".join(msgspec.json.encode(operation) + b"\n" for operation in operations))


async def _spend(seed: int, faults: Iterable[str], seconds: float) -> list[Operation]:
    recorder, rng = Recorder(simulated.clock), random.Random(seed)
    toy = Toy(rng, recorder, faults)
    plan = Plan(seed=seed, think_seconds=0.25, converge_seconds=1.5, run=f"toy{seed}")

    async def torment() -> None:
        until = toy.now + seconds
        while toy.now < until:
            await asyncio.sleep(rng.uniform(1.0, 4.0))
            await toy.crash()

    await Campaign(toy, recorder, plan).run(torment)
    toy.tell_events()
    return in_order(recorder.operations.values())
