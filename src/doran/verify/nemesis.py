"""The nemesis: kills, stops and restarts the server while people use it, and notes every deed."""

from __future__ import annotations

import asyncio
import os
import random
import shlex
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from doran.verify.history import Fault, Recorder

Ready = Callable[[], Awaitable[bool]]


class NeverReady(Exception):
    """The server did not come up in time; its log tells why."""


class Server:
    """One process under test, started by its command line, its output kept in a log file."""

    def __init__(
        self,
        command: str,
        *,
        ready: Ready,
        log: Path,
        env: Mapping[str, str] | None = None,
        start_seconds: float = 30.0,
    ) -> None:
        self.command = shlex.split(command)
        self.log = log
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._start_seconds = start_seconds
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        """Of the process that was started last; 0 before the first."""
        return 0 if self._process is None else self._process.pid

    async def start(self, env: Mapping[str, str] | None = None) -> None:
        """Start and wait until it serves. Raises `NeverReady`."""
        await self.launch(env)
        await self.wait_ready()

    async def launch(self, env: Mapping[str, str] | None = None) -> None:
        """Start without waiting. Its own session, so that all it starts dies with it."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self._env, **(env or {})},
                start_new_session=True,
            )

    async def wait_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._start_seconds
        while self.alive and asyncio.get_running_loop().time() < deadline:
            if await self._ready():
                return
            await asyncio.sleep(0.05)
        if self.alive:
            raise NeverReady(f"not ready after {self._start_seconds:.0f} s")
        raise NeverReady("it ended before it was ready")

    async def kill(self) -> None:
        """SIGKILL, as a crash does it."""
        self._signal(signal.SIGKILL)
        await self.gone()

    async def stop(self, patience: float = 10.0) -> int:
        """SIGTERM and wait; the exit code. Kills what does not leave in time."""
        self._signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.gone(), patience)
        except TimeoutError:
            await self.kill()
            return -signal.SIGKILL

    async def gone(self) -> int:
        """Wait until the process has ended by itself; its exit code."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        return code

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


class Nemesis:
    """Harms a server by a seeded plan. What it does stands in the history as `fault`."""

    def __init__(self, server: Server, recorder: Recorder, rng: random.Random) -> None:
        self.server = server
        self.recorder = recorder
        self.rng = rng

    async def at_random(self, seconds: float) -> None:
        """Crashes and stalls at random moments for so long."""
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while clock() < until:
            await asyncio.sleep(self.rng.uniform(0.3, 2.5))
            match self.rng.choices(("crash", "stall", "restart"), (6, 3, 1))[0]:
                case "crash":
                    await self.crash()
                case "stall":
                    await self.stall(self.rng.uniform(0.1, 1.5))
                case "restart":
                    await self.restart()

    async def crash(self) -> None:
        """SIGKILL and restart at once."""
        fault = self.recorder.begin(Fault(name="kill"))
        await self.server.kill()
        await self.server.start()
        self.recorder.end(fault)

    async def stall(self, seconds: float) -> None:
        """SIGSTOP for a while, as a long pause or a moved machine looks from outside."""
        fault = self.recorder.begin(Fault(name="stall", detail=f"{seconds:.2f} s"))
        self.server.pause()
        await asyncio.sleep(seconds)
        self.server.go_on()
        self.recorder.end(fault)

    async def restart(self) -> None:
        """SIGTERM, drain, start again."""
        fault = self.recorder.begin(Fault(name="restart"))
        await self.server.stop()
        await self.server.start()
        self.recorder.end(fault)

    async def at_points(
        self, settings: Iterable[str], *, variable: str = "DORAN_FAULT", patience: float = 30.0
    ) -> list[str]:
        """For each `name:nth`: restart with the point armed and wait for the death there.

        Returns the settings at which the process did not die within `patience` seconds of use.
        """
        missed = []
        await self.server.kill()
        for setting in settings:
            fault = self.recorder.begin(Fault(name="point", detail=setting))
            if not await self._dies_at({variable: setting}, patience):
                missed.append(setting)
                await self.server.kill()
            self.recorder.end(fault)
        fault = self.recorder.begin(Fault(name="kill"))
        await self.server.start()
        self.recorder.end(fault)
        return missed

    async def _dies_at(self, env: Mapping[str, str], patience: float) -> bool:
        """A point may be hit before the server is ready: that counts as well."""
        await self.server.launch(env)
        with suppress(NeverReady):
            await self.server.wait_ready()
        try:
            return await asyncio.wait_for(self.server.gone(), patience) == -signal.SIGKILL
        except TimeoutError:
            return False
