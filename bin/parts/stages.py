"""The stages of bin/test and bin/check: each a name and a command, run in order, timed, and all reported."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

BEGAN = time.monotonic()
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.servers.databases import MariaDB, PgVector, PostgreSQL  # noqa: E402  found by the line above

PYTHON = sys.executable
TOOLS = Path(sys.executable).parent
SHARED = "3"  # processes that share the tests of a stage; one more than the cores of CI, because tests also wait
UNSTEADY = ROOT / ".pytest_cache" / "unsteady"  # the tests that passed only when they were tried again


@dataclass(frozen=True, slots=True)
class Stage:
    """`quick` ones are bin/check. `needs` answers with what is missing on this machine, or nothing. One that mostly waits
    runs at the same time as the one it is `beside`, and shows what it said when that is over."""

    name: str
    commands: tuple[Sequence[str], ...]
    quick: bool = False
    needs: Callable[[], str] = lambda: ""
    beside: str = ""


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    return "" if any(shutil.which(name) for name in names) else "no Chromium on this machine"


def npm(*words: str) -> tuple[str, ...]:
    return (PYTHON, "hatch_build.py", *words)


def pytest(*words: str) -> tuple[str, ...]:
    return (PYTHON, "-m", "pytest", "-q", *words)


STORED = ("kernel", "core", "chat", "ai", "webhooks")


def on_engine(engine: str, *parts: str) -> tuple[str, ...]:
    """All that stores something, or these parts of it, on another engine than SQLite."""
    stories = (f"tests/{one}" for one in parts or STORED)
    return (
        "env",
        f"DORAN_TEST_DATABASE={engine}",
        *pytest(
            "-n",
            "2",
            "-m",
            "not broker and not stateless",
            *stories,
            "--ignore=tests/ai/providers",
            "--ignore=tests/ai/retrieval/test_pgvector.py",
        ),
    )


STAGES = (
    Stage("format", ((str(TOOLS / "ruff"), "format", "--check", "--quiet"),), quick=True),
    Stage("lint", ((str(TOOLS / "ruff"), "check", "--quiet"),), quick=True),
    Stage("types", ((PYTHON, "-m", "mypy", "--no-error-summary"),), quick=True),
    Stage("imports", ((str(TOOLS / "lint-imports"),),), quick=True),
    Stage("migrations", ((PYTHON, "bin/parts/migrations.py"),), quick=True),
    Stage("page: install", (npm("ci"), npm("--prefix", "lint", "ci"))),
    Stage("page: check", (npm("run", "check"), npm("run", "lint"))),
    Stage("page: tests", (npm("run", "test"),)),
    Stage("page: build", (npm("run", "build"),)),
    *(Stage(f"{service} alone", (("env", f"DORAN_SERVICES={service}", *pytest(f"tests/{service}", "-n", SHARED)),)) for service in ("core", "chat", "ai")),
    Stage("tests", (pytest("-n", SHARED, "-m", "not browser and not crash and not broker and not cluster", *(f"--ignore=tests/{one}" for one in ("core", "chat", "ai"))),)),
    Stage("on MariaDB", (on_engine("mysql"),), needs=MariaDB.missing),
    Stage("on PostgreSQL", (on_engine("postgresql"),), needs=PostgreSQL.missing),
    Stage("on pgvector", (on_engine("pgvector", "ai/retrieval", "ai/privacy"),), needs=PgVector.missing),
    Stage("services apart", (pytest("-m", "cluster", "tests/cluster"),)),
    Stage("on brokers", (pytest("-n", "2", "--dist", "loadgroup", "-m", "broker"),), beside="services apart"),
    Stage("crash tests", (pytest("-m", "crash and not browser"),), beside="services apart"),
    Stage("browser journeys", (pytest("-m", "browser"),), needs=chromium),
    Stage("documentation", ((str(TOOLS / "zensical"), "build", "--clean", "--strict"),)),
    Stage("measurement, a taste", ((PYTHON, "-m", "bench", "--smoke"),)),
)  # fmt: skip


def main() -> int:
    wanted = _arguments()
    os.chdir(ROOT)
    os.environ["NO_COLOR"] = "1"
    UNSTEADY.unlink(missing_ok=True)
    return _report(list(_run_all(_chosen(wanted), wanted.everything)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bin/test", description="Run what CI runs: " + ", ".join(s.name for s in STAGES)
    )
    parser.add_argument("stages", nargs="*", help="only these (the beginning of a name is enough)")
    parser.add_argument("--quick", action="store_true", help="only what takes seconds: bin/check")
    parser.add_argument("--everything", action="store_true", help="what this machine lacks is a failure, not skipped")
    return parser.parse_args()


def _chosen(wanted: argparse.Namespace) -> list[Stage]:
    chosen = [stage for stage in STAGES if stage.quick or not wanted.quick]
    if wanted.stages:
        chosen = [stage for stage in chosen if any(stage.name.startswith(name) for name in wanted.stages)]
    if not chosen:
        sys.exit(f"No stage is called {' or '.join(wanted.stages)}.")
    return chosen


Result = tuple[str, str, float]


def _run_all(stages: list[Stage], everything: bool) -> Iterator[Result]:
    names = {stage.name for stage in stages}
    for stage in stages:
        if stage.beside not in names:
            beside = [one for one in stages if one.beside == stage.name]
            with ThreadPoolExecutor(1) as aside:
                running = [aside.submit(_run_silently, one, everything) for one in beside]
                yield _run(stage, everything, sys.stdout)
                for result, said in (one.result() for one in running):
                    print(said, flush=True)
                    yield result


def _run_silently(stage: Stage, everything: bool) -> tuple[Result, str]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        result = _run(stage, everything, said)
        said.seek(0)
        return result, said.read()


def _run(stage: Stage, everything: bool, out: IO[str]) -> Result:
    began = time.monotonic()
    if missing := stage.needs():
        print(f"\n== {stage.name}: {missing}", file=out, flush=True)
        return stage.name, "FAILED: " + missing if everything else "SKIPPED: " + missing, 0.0
    print(f"\n== {stage.name}", file=out, flush=True)
    with tempfile.TemporaryDirectory(prefix="doran-stage-") as folder:
        counted = Path(folder) / "counted"
        failed = any(_fails(_watched(command, counted, everything), out) for command in stage.commands)
        outcome = _outcome(counted, everything)
    return stage.name, "FAILED" if failed else outcome, time.monotonic() - began


def _watched(command: Sequence[str], counted: Path, everything: bool) -> Sequence[str]:
    """The command, told to count where it is pytest, and to skip nothing where everything is wanted."""
    if "pytest" not in command:
        return command
    strictly = ("--no-skips", "--reruns=1", f"--unsteady={UNSTEADY}") if everything else ()
    return (*command, f"--counted={counted}", *strictly)


def _outcome(counted: Path, everything: bool) -> str:
    """What a stage that did not fail has done: nothing at all is said as loudly as a failure, and what was skipped is counted."""
    lines = counted.read_text("utf-8").splitlines() if counted.exists() else []
    skipped = Counter(line.partition("\t")[2] for line in lines if line.startswith("skipped"))
    if not skipped:
        return "passed"
    why = "; ".join(f"{reason} ({count})" for reason, count in skipped.most_common())
    if skipped.total() == len(lines):
        return f"{'FAILED' if everything else 'SKIPPED'}: NOTHING RAN, {len(lines)} skipped: {why}"
    return f"passed, but {skipped.total()} of {len(lines)} skipped: {why}"


def _fails(command: Sequence[str], out: IO[str]) -> bool:
    ended = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
    )
    return ended.returncode != 0


def _report(results: list[Result]) -> int:
    print("\n== results")
    for name, outcome, seconds in results:
        print(f"{name:<24} {seconds:7.1f} s  {outcome}")
    print(f"{'all':<24} {time.monotonic() - BEGAN:7.1f} s")
    print("Backends: SQLite, memory bus, memory fan-out and presence are part of Doran and were used;")
    others = {"Chromium": chromium()} | {one.__name__: one.missing() for one in (MariaDB, PostgreSQL, PgVector)}
    print("; ".join(f"{name}: {missing or 'used'}" for name, missing in others.items()) + ".")
    if UNSTEADY.exists():
        print(f"UNSTEADY, tried a second time:\n{UNSTEADY.read_text('utf-8')}")
    return any(outcome.startswith("FAILED") for _, outcome, _ in results)


if __name__ == "__main__":
    sys.exit(main())
