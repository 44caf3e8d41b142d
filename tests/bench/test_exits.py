"""The benchmark refuses at once what it cannot measure, and leaves nothing behind, however it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from bench import leftovers, processes
from bench.processes import StartError, end_all
from bench.rivals.ejabberd import Ejabberd

ROOT = Path(__file__).resolve().parents[2]
RUN = """
import os, subprocess, sys, time
from bench.processes import one_run, start
with one_run() as (folder, ending):
    server = start(["sleep", "600"], core=min(os.sched_getaffinity(0)), log=folder / "server.log")
    ending.callback(server.stop)
    daemon = "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); time.sleep(600)"
    subprocess.run([sys.executable, "-c", daemon], check=True)
    titled = "import os, sys; os.execve('/bin/sleep', ['titled', '600'], {})"
    subprocess.Popen([sys.executable, "-c", titled], cwd=folder)
    (folder / "data").write_text("what was measured")
    print(folder, flush=True)
    %s
"""


def bench(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    told = {name: value for name, value in os.environ.items() if not name.startswith("DORAN_")} | environment
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("connects --rival ejabberd", "ejabberd is measured with messages only"),
        ("--rival mariadb ejabberd", "ejabberd is measured with messages only"),
        ("connects --door all", "connects needs --door one"),
        ("copies messages", "copies is measured by itself"),
        ("ai --pairs 4", "ai needs 8 pairs"),
        ("ai --people 10", "ai needs 8 pairs"),
        ("messages --rival none --rival-only", "nobody is left to measure"),
        ("messages --rival none mariadb", "--rival none stands alone"),
        ("messages --rounds 0", "expected a number above 0"),
        ("messages --people 5", "expected an even number"),
        ("messages --seconds -1", "expected some seconds"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(words: str, why: str, tmp_path: Path) -> None:
    done = bench(*words.split(), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["messages", "messages --rival none", "messages --rival ejabberd", "copies", "ai"])
def test_what_this_machine_lacks_is_said_before_anything_starts(words: str, tmp_path: Path) -> None:
    done = bench(*words.split(), PATH=str(tmp_path), TMPDIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^bench: .* is not installed", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "raise ValueError('nobody foresaw this')",
        "sys.exit(3)",
        "os.kill(os.getpid(), 2)",
        "os.kill(os.getpid(), 15)",
        "os.kill(os.getpid(), 9)",
        "ending.callback(server.start)",
    ],
)
def test_whichever_way_a_run_ends_nothing_of_it_is_left(end: str, tmp_path: Path) -> None:
    told = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", RUN % end], cwd=ROOT, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        assert run.stdout
        folder = Path(run.stdout.readline().decode().strip())
        run.wait(60)
    until(lambda: not folder.exists())
    assert leftovers.marked(str(folder)) == []
    assert list(tmp_path.iterdir()) == []


def test_while_it_runs_all_of_it_is_there_and_marked(tmp_path: Path) -> None:
    told = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", RUN % "time.sleep(600)"], cwd=ROOT, env=told, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout
        folder = run.stdout.readline().decode().strip()
        until(lambda: len(leftovers.marked(folder)) == 3)
        run.send_signal(signal.SIGKILL)
    until(lambda: not Path(folder).exists())
    assert leftovers.marked(folder) == []


def until(true: Callable[[], bool]) -> None:
    """Another process does it, and tells nobody."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


class Part:
    """A server that can be asked to stop."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails, self.is_stopped = fails, False

    def stop(self) -> None:
        self.is_stopped = True
        if self.fails:
            raise StartError("it does not stop")


def test_one_that_does_not_stop_keeps_no_other_running() -> None:
    parts = [Part(), Part(fails=True), Part()]
    with pytest.raises(StartError):
        end_all([None, *parts])  # type: ignore[list-item]
    assert [one.is_stopped for one in parts] == [True] * 3


def test_an_ejabberd_whose_machine_has_ended_still_ends_its_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(leftovers.MARK, str(tmp_path / "nothing runs here"))
    side = Ejabberd(tmp_path, core=0)
    side.server, side.database = Part(fails=True), Part()  # type: ignore[assignment]
    with suppress(StartError):
        side.stop()
    assert side.database.is_stopped  # type: ignore[union-attr]


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(StartError, match="no-such-program is not installed"):
        processes.need("no-such-program")
