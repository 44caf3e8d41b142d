"""The printed tables and the stored results."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.goals import Verdict, medians
from bench.scenarios import Round

RESULTS = Path(__file__).resolve().parent / "results"
SHOWN = {
    "cpu_us": "CPU µs each, all server processes",
    "per_second": "per second on one core",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "history_bytes": "bytes of history",
    "kib_per_connection": "KiB per idle connection",
    "start_mib": "MiB at start",
    "cpu_us_page_1": "CPU µs, page 1",
    "cpu_us_page_200": "CPU µs, page 200",
    "p50_ms_page_1": "p50 ms, page 1",
    "p50_ms_page_200": "p50 ms, page 200",
    "deep_to_first": "page 200 to page 1",
    "core_used": "core used",
    "core_used_by_others": "core used by others",
}


def by_side(rounds: Iterable[Round]) -> dict[str, list[Round]]:
    sides: dict[str, list[Round]] = {}
    for found in rounds:
        sides.setdefault(found["side"], []).append(found)
    return sides


def show(scenario: str, rounds: Sequence[Round]) -> None:
    """Medians of each side next to each other; the ratio is the first side's figure to the last one's."""
    sides = {name: medians(found) for name, found in by_side(rounds).items()}
    print(f"\n{scenario}: medians of {max(map(len, by_side(rounds).values()))} rounds")
    print(_line("", [*sides, *(["ratio"] if len(sides) == 2 else [])]))
    for figure, words in SHOWN.items():
        values = [found[figure] for found in sides.values() if figure in found]
        if values:
            ratio = [f"{values[0] / values[1]:.2f}"] if len(values) == 2 and values[1] else []
            print(_line(words, [f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}" for value in values] + ratio))


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    if verdicts:
        print("\n" + _line("goal for Doran", ["bound", "measured", "met"]))
    for verdict in verdicts:
        print(_line(verdict.goal, [verdict.bound, f"{verdict.measured:.3g}", "yes" if verdict.met else "NO"]))


def store(scenario: str, rounds: Sequence[Round], verdicts: Sequence[Verdict], about: Mapping[str, object]) -> Path:
    """Write everything that was seen; a later run of the same day replaces it."""
    moment = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{moment:%Y-%m-%d}-{scenario}.json"
    seen = {
        "scenario": scenario,
        "finished_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        **about,
        "medians": {name: medians(found) for name, found in by_side(rounds).items()},
        "goals": [asdict(verdict) for verdict in verdicts],
        "rounds": rounds,
    }
    path.write_text(json.dumps(seen, indent=1, ensure_ascii=False, default=str) + "\n")
    return path


def _line(words: str, cells: Sequence[str]) -> str:
    return f"{words:<58}" + "".join(f"{cell:>32}" if len(cell) > 14 else f"{cell:>16}" for cell in cells)
