"""The stages of bin/test say what ran: a stage whose tests were all skipped has not passed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNS = "def test_runs(): pass\n"
SKIPPED = (
    "import pytest\n\n@pytest.mark.parametrize('n', range(7))\ndef test_skipped(n): pytest.skip('no HAProxy here')\n"
)
IN_A_FIXTURE = (
    "import pytest\n\n@pytest.fixture\ndef server(): pytest.skip('no server here')\n\ndef test_asks(server): pass\n"
)
A_MODULE = "import pytest\n\npytest.importorskip('no_such_engine')\n\ndef test_asks(): pass\n"
FORESEEN = "import pytest\n\n@pytest.mark.xfail(reason='known')\ndef test_known(): raise ValueError\n"

Run = Callable[..., str]

pytestmark = [pytest.mark.slow, pytest.mark.stateless]


@pytest.fixture(scope="module")
def stages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stages", ROOT / "bin/parts/stages.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["stages"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(stages: ModuleType, tmp_path: Path) -> Run:
    """What the result says of a stage of these test files."""

    def outcome(*files: str, everything: bool = False, shared: bool = False) -> str:
        for number, text in enumerate(files):
            (tmp_path / f"test_{number}.py").write_text(text)
        words = ("-c", "pyproject.toml", "--noconftest", "-p", "no:cacheprovider", *(("-n", "2") if shared else ()))
        stage: Any = stages.Stage("a stage", (stages.pytest(*words, str(tmp_path)),))
        with (tmp_path / "said").open("w+", encoding="utf-8") as said:
            result: str = stages._run(stage, everything, said)[1]
        return result

    return outcome


def test_a_stage_whose_tests_all_ran_has_passed(run: Run) -> None:
    assert run(RUNS, FORESEEN) == "passed"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ((SKIPPED,), "7 skipped: no HAProxy here (7)"),
        ((IN_A_FIXTURE,), "1 skipped: no server here (1)"),
    ],
)
def test_a_stage_that_ran_nothing_says_so(run: Run, files: tuple[str, ...], why: str) -> None:
    assert run(*files) == f"SKIPPED: NOTHING RAN, {why}"
    assert run(*files, everything=True).startswith("FAILED")


@pytest.mark.parametrize("shared", [False, True])
def test_what_was_skipped_beside_what_ran_is_counted(run: Run, shared: bool) -> None:
    said = run(RUNS, SKIPPED, IN_A_FIXTURE, A_MODULE, shared=shared)
    assert said.startswith("passed, but 9 of 10 skipped: no HAProxy here (7); ")
    assert "no server here (1)" in said
    assert "could not import 'no_such_engine'" in said
    assert run(RUNS, everything=True, shared=shared) == "FAILED", "the others are still there, and skipped"


@pytest.mark.parametrize("text", ["", A_MODULE])
def test_a_stage_without_tests_fails(run: Run, text: str) -> None:
    assert run(text) == "FAILED"
