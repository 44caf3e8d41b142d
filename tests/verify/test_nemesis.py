"""The nemesis breaks a real process in the ways it says, and notes each of them."""

from __future__ import annotations

import random
import shlex
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doran.verify.history import Fault, Recorder
from doran.verify.nemesis import Nemesis, NeverReady, Server

PROGRAM = """
import os, pathlib, signal
with open("births", "a") as births:
    births.write(os.environ.get("FAULT", "-") + " " + str(os.getpid()) + "\\n")
if os.environ.get("FAULT") == "early:1":
    os.kill(os.getpid(), signal.SIGKILL)
signal.pause()
"""


class Child:
    """A process that writes down its own birth, and is ready once it has."""

    def __init__(self, folder: Path) -> None:
        self.births = folder / "births"
        program = PROGRAM.replace('"births"', repr(str(self.births)))
        command = shlex.join([sys.executable, "-c", program])
        self.server = Server(command, ready=self.ready, log=folder / "log", start_seconds=20)
        self.recorder = Recorder(time.monotonic_ns)
        self.nemesis = Nemesis(self.server, self.recorder, random.Random(1))

    async def ready(self) -> bool:
        return str(self.server.pid) in self._births(1)

    def born(self) -> list[str]:
        """With which fault each life began."""
        return self._births(0)

    def _births(self, column: int) -> list[str]:
        lines = self.births.read_text().splitlines() if self.births.exists() else []
        return [line.split()[column] for line in lines]

    def faults(self) -> list[tuple[str, str, bool]]:
        noted = [one for one in self.recorder.operations.values() if isinstance(one, Fault)]
        return [(fault.name, fault.detail, fault.ret > fault.inv) for fault in noted]


@pytest.fixture(name="child")
async def _child(tmp_path: Path) -> AsyncIterator[Child]:
    child = Child(tmp_path)
    yield child
    await child.server.kill()


async def test_a_crash_is_a_death_and_a_new_life(child: Child) -> None:
    await child.server.start()
    await child.nemesis.crash()
    assert child.server.alive
    assert len(child.born()) == 2
    assert child.faults() == [("kill", "", True)]


async def test_a_stall_leaves_the_process_alive(child: Child) -> None:
    await child.server.start()
    await child.nemesis.stall(0.01)
    assert child.server.alive
    assert child.born() == ["-"]
    assert child.faults() == [("stall", "0.01 s", True)]


async def test_points_that_are_not_reached_are_told(child: Child) -> None:
    await child.server.start()
    missed = await child.nemesis.at_points(["early:1", "never:1"], variable="FAULT", patience=0.05)
    assert missed == ["never:1"]
    assert child.born() == ["-", "early:1", "never:1", "-"]
    assert [fault[:2] for fault in child.faults()] == [("point", "early:1"), ("point", "never:1"), ("kill", "")]
    assert child.server.alive


async def test_a_server_that_never_starts_is_an_error(tmp_path: Path) -> None:
    child = Child(tmp_path)
    child.server.command = [sys.executable, "-c", "pass"]
    with pytest.raises(NeverReady, match="ended before it was ready"):
        await child.server.start()


async def test_told_to_stop_it_stops(child: Child) -> None:
    await child.server.start()
    assert await child.server.stop() != 0
    assert not child.server.alive
