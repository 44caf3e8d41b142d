"""`python -m bench`: run scenarios for both sides in turns, print the figures and the goals, store the results."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

from bench import goals, machine, profile, report, scenarios, smoke
from bench.generator import RefusedError
from bench.processes import StartError, available_cores
from bench.rest import UnexpectedAnswerError
from bench.rivals.doran import Doran
from bench.rivals.plain import VARIANTS, PlainDjango
from bench.rivals.side import Side
from bench.scenarios import CountsError, Plan, Round

ALL = ("messages", "connects", "memory", "pages")
COMPARED: dict[str, Callable[[Sequence[Side], Plan], list[Round]]] = {
    "messages": scenarios.messages,
    "connects": scenarios.connects,
    "memory": scenarios.memory,
}


def main() -> int:
    wanted = arguments()
    try:
        if wanted.smoke:
            return smoke.run()
        return benchmark(wanted)
    except (StartError, RefusedError, CountsError, UnexpectedAnswerError) as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1


def benchmark(wanted: argparse.Namespace) -> int:
    core, own_core = available_cores()
    os.sched_setaffinity(0, {own_core})
    plan = planned(wanted, core=core)
    with tempfile.TemporaryDirectory(prefix="doran-bench-") as folder, ExitStack() as ending:
        sides = choose(wanted, Path(folder), core=core)
        for side in sides:
            ending.callback(side.stop)
            side.start()
            print(f"{side.name}: filling in {wanted.people} people …", flush=True)
            side.populate(wanted.people, history=plan.history)
        verdicts = [verdict for name in wanted.scenarios or ALL for verdict in measure(name, sides, plan, wanted)]
        for side in sides:
            if wanted.py_spy and isinstance(side, Doran):
                profile.show(side, plan)
    report.show_verdicts(verdicts)
    return 0


def measure(name: str, sides: Sequence[Side], plan: Plan, wanted: argparse.Namespace) -> list[goals.Verdict]:
    """One scenario from start to stored result; several windows make several of `messages`."""
    verdicts = []
    for window in wanted.windows if name == "messages" else [plan.window]:
        label = name if window == 1 else f"{name}-window-{window}"
        print(f"\n{label} …", flush=True)
        rounds = rounds_of(name, sides, replace(plan, window=window))
        if not rounds:
            continue
        judged = judged_from(name, rounds) if window == 1 else []
        verdicts += judged
        report.show(label, rounds)
        print(f"stored in {report.store(label, rounds, judged, about(wanted, plan)).relative_to(machine.ROOT)}")
    return verdicts


def rounds_of(name: str, sides: Sequence[Side], plan: Plan) -> list[Round]:
    if name in COMPARED:
        return COMPARED[name](sides, plan)
    return [found for side in sides if isinstance(side, Doran) for found in scenarios.pages(side, plan)]


def judged_from(name: str, rounds: Sequence[Round]) -> list[goals.Verdict]:
    sides = report.by_side(rounds)
    doran = sides.pop(Doran.name, [])
    return goals.judge(name, next(iter(sides.values()), []), doran)


def choose(wanted: argparse.Namespace, folder: Path, *, core: int) -> list[Side]:
    """The rival first, Doran second; each in a folder of its own."""
    sides: list[Side] = []
    if wanted.rival != "none":
        (folder / "rival").mkdir()
        sides.append(PlainDjango(folder / "rival", core=core, variant=wanted.rival, server=wanted.rival_server))
    if not wanted.rival_only:
        (folder / "doran").mkdir()
        sides.append(Doran(folder / "doran", core=core, door=wanted.door, marks=wanted.marks))
    return sides


def planned(wanted: argparse.Namespace, *, core: int) -> Plan:
    return Plan(
        core=core,
        rounds=wanted.rounds,
        pairs=min(wanted.pairs, wanted.people // 2),
        seconds=wanted.seconds,
        connects=wanted.people,
        idle=wanted.people,
    )


def about(wanted: argparse.Namespace, plan: Plan) -> dict[str, object]:
    """What somebody needs to repeat the run, and to judge it."""
    versions = {"doran": machine.our_versions()}
    if wanted.rival != "none":
        versions["rival"] = machine.rival_versions(wanted.rival)
    return {
        "command": " ".join(["python -m bench", *sys.argv[1:]]),
        "commit": machine.commit(),
        "machine": machine.describe(),
        "versions": versions,
        "plan": asdict(plan),
        "door": wanted.door,
        "marks": wanted.marks,
    }


def scenario(name: str) -> str:
    if name not in ALL:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(ALL)}")
    return name


def arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    say = reader.add_argument
    say("scenarios", nargs="*", type=scenario, metavar="scenario", help=f"any of {', '.join(ALL)}; all by default")
    say("--rival", choices=[*VARIANTS, "none"], default="mariadb", help="variant of the plain Django design")
    say("--rival-server", choices=["daphne", "uvicorn"], default="daphne")
    say("--rival-only", action="store_true", help="leave Doran out")
    say("--door", choices=["one", "all"], default="one", help="/ws/chat/{id}/ or /ws/ for messages and memory")
    say("--marks", action="store_true", help="B says mark_as_delivered for every message, as a real client does")
    say("--rounds", type=int, default=3)
    say("--seconds", type=float, default=6.0, help="measured seconds of each round of messages")
    say("--pairs", type=int, default=50, help="pairs that talk")
    say("--windows", type=int, nargs="+", default=[1], help="messages under way for each pair; the goal is judged at 1")
    say("--people", type=int, default=500, help="people who exist, connect and stay")
    say("--py-spy", action="store_true", help="one more round of messages under py-spy, if it is installed")
    say("--smoke", action="store_true", help="Doran only, some seconds: messages flow and the counts add up")
    return reader.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
