"""Where Doran's time goes while pairs talk, by py-spy when it is installed; such a round is never judged."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench import scenarios
from bench.processes import StartError
from bench.rivals.doran import Doran
from bench.scenarios import Plan

RATE = 250
"""Samples a second."""
SHOWN = 40


def show(doran: Doran, plan: Plan) -> None:
    """One more round of messages under py-spy: the functions that were running, and those that were waiting on them."""
    with sampling(doran.pids()[0], seconds=plan.warm + plan.seconds) as stacks:
        (found,) = scenarios.messages([doran], replace(plan, rounds=1))
    _table(stacks, found["cpu_us"])


@contextmanager
def sampling(pid: int, *, seconds: float) -> Iterator[Counter[tuple[str, ...]]]:
    """Samples of all running threads of a process, filled in when the block ends: outermost function first."""
    stacks: Counter[tuple[str, ...]] = Counter()
    with tempfile.TemporaryDirectory(prefix="doran-profile-") as folder:
        raw = Path(folder) / "stacks"
        asked = ["record", "--threads", "--format", "raw", "--rate", str(RATE), "--duration", str(round(seconds))]
        with subprocess.Popen(
            [find(), *asked, "--output", str(raw), "--pid", str(pid)], stdout=subprocess.DEVNULL
        ) as spy:
            yield stacks
            spy.wait(60)
        for line in raw.read_text().splitlines():
            frames, count = line.rsplit(" ", 1)
            stacks[tuple(frames.split(";"))] += int(count)


def find() -> str:
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not found:
        raise StartError("py-spy is not installed in this environment")
    return found


def _table(stacks: Counter[tuple[str, ...]], cpu_us: float) -> None:
    """Shares of all samples, and what they are of the CPU of one message."""
    own, within = Counter[str](), Counter[str]()
    for frames, count in stacks.items():
        own[frames[-1]] += count
        within.update(dict.fromkeys(frames, count))
    total = max(1, stacks.total())
    print(f"\n{total} samples; {cpu_us:.0f} µs CPU per message under py-spy")
    print(f"{'own':>6} {'own µs':>8} {'with callees':>13}  function")
    for name, count in own.most_common(SHOWN):
        share = count / total
        print(f"{share:6.1%} {share * cpu_us:8.1f} {within[name] / total:13.1%}  {name}")
