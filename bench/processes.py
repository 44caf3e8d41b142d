"""Start servers pinned to one core, wait until they answer, stop them by their own id, and leave none behind."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.leftovers import MARK

ROOT = Path(__file__).resolve().parents[1]
PINNING = ("setpriv", "taskset")
"""Programs of util-linux by which every server is started."""


class StartError(Exception):
    """A part of the benchmark could not be started; the message says which and what it last wrote."""


class Server:
    """One process of ours, its log file, and its end."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until(self, answers: Callable[[], bool], *, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not answers():
            if self.process.poll() is not None:
                raise StartError(f"{self.log.stem} ended with {self.process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.log.stem} did not answer within {seconds:.0f} s: {self.last_words()}")
            time.sleep(0.05)

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def one_run() -> Iterator[tuple[Path, ExitStack]]:
    """A folder for one run, and the ends of what is started in it. Whichever way this process ends, all of it does.

    Processes find the folder's path in their environment; `bench.leftovers` looks for them when we are gone.
    """
    folder = Path(tempfile.mkdtemp(prefix="doran-bench-"))
    watch = [sys.executable, "-m", "bench.leftovers", str(folder)]
    with subprocess.Popen(watch, stdin=subprocess.PIPE, cwd=ROOT, start_new_session=True):
        os.environ[MARK] = str(folder)
        try:
            with ExitStack() as ending:
                yield folder, ending
        finally:
            del os.environ[MARK]


def end_all(servers: Sequence[Server | None]) -> None:
    """Stop each of them, also where stopping another fails."""
    with ExitStack() as ending:
        for server in reversed(servers):
            if server:
                ending.callback(server.stop)


def start(
    command: Sequence[str | Path],
    *,
    core: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Server:
    """Run a command on one core; its output goes to the log file. It ends with us, however we end."""
    pinned = [need("setpriv"), "--pdeathsig", "TERM", need("taskset"), "-c", str(core), *map(str, command)]
    with log.open("ab") as out:
        process = subprocess.Popen(pinned, stdout=out, stderr=out, env=environment, cwd=folder)
    return Server(process, log)


def run(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """Run a command to its end and give back what it printed."""
    done = subprocess.run([*map(str, command)], env=environment, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise StartError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout


def need(name: str) -> str:
    """The path of a program, looked for where daemons live too."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise StartError(f"{name} is not installed; bench/README.md lists the packages")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def available_cores() -> tuple[int, int]:
    """The core for servers and the core for the generator: the first two this process may use, or the only one twice."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[min(1, len(cores) - 1)]


def cores_for_copies() -> tuple[list[int], int, str]:
    """The cores of two chat processes, that of their database, and why they do not have one each, if they do not."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) >= 4:
        return cores[:2], cores[2], ""
    reason = f"this machine gives {len(cores)} cores; two chat processes, their database and the generator want 4"
    return [cores[0]], cores[0], reason
