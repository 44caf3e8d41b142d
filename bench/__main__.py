"""`python -m bench`: run scenarios for both sides in turns, print the figures and the goals, store the results."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import answers, goals, machine, profile, report, scenarios, smoke
from bench.generator import RefusedError
from bench.processes import StartError, available_cores, cores_for_copies, one_run
from bench.rest import UnexpectedAnswerError
from bench.rivals.copies import Copies
from bench.rivals.doran import NAMES, Doran
from bench.rivals.ejabberd import Ejabberd
from bench.rivals.plain import VARIANTS, PlainDjango
from bench.rivals.side import Side
from bench.scenarios import CountsError, Plan, Round

ALL = ("messages", "connects", "memory", "pages")
COPIES = "copies"
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
        if wanted.scenarios == [answers.SCENARIO]:
            plan = planned(wanted, core=available_cores()[0])
            return answers.run(plan, about(wanted, plan, rivals=()))
        return copies(wanted) if wanted.scenarios == [COPIES] else benchmark(wanted)
    except (StartError, RefusedError, CountsError, UnexpectedAnswerError) as wrong:
        print(f"bench: {wrong}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def benchmark(wanted: argparse.Namespace) -> int:
    core, own_core = available_cores()
    os.sched_setaffinity(0, {own_core})
    plan = planned(wanted, core=core)
    with one_run() as (folder, ending):
        sides = choose(wanted, folder, core=core)
        _check(sides)
        if wanted.py_spy:
            profile.find()
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


def copies(wanted: argparse.Namespace) -> int:
    """One chat process and two, on the same database and Redis."""
    cores, core, reason = cores_for_copies()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    plan = planned(wanted, core=core)
    with one_run() as (folder, ending):
        sides = [Copies(_room(folder / str(n)), chats=n, cores=cores, core=core) for n in (1, 2)]
        _check(sides)
        for side in sides:
            ending.callback(side.stop)
            side.start()
            print(f"{side.name}: filling in {wanted.people} people …", flush=True)
            side.populate(wanted.people, history=1)
        rounds = scenarios.copies(*sides, plan, reason=reason)
    judged = goals.judge(COPIES, report.by_side(rounds))
    report.show(COPIES, rounds)
    stored = report.store(COPIES, rounds, judged, about(wanted, plan, rivals=()))
    print(f"stored in {stored.relative_to(machine.ROOT)}")
    report.show_verdicts(judged)
    if reason:
        print(f"Not by the clock: {reason}. Reckoned from the cost of a message over one process and over two.")
    return 0


def _check(sides: Sequence[Side]) -> None:
    """Refuse what this machine cannot do before any of it is started."""
    for side in sides:
        side.check()


def measure(name: str, sides: Sequence[Side], plan: Plan, wanted: argparse.Namespace) -> list[goals.Verdict]:
    """One scenario from start to stored result; several windows make several of `messages`."""
    verdicts = []
    for window in wanted.windows if name == "messages" else [plan.window]:
        label = "-".join([name, *_kept_elsewhere(wanted), *([] if window == 1 else [f"window-{window}"])])
        print(f"\n{label} …", flush=True)
        rounds = rounds_of(name, sides, replace(plan, window=window))
        if not rounds:
            continue
        judged = goals.judge(name, report.by_side(rounds)) if window == 1 else []
        verdicts += judged
        report.show(label, rounds)
        print(
            f"stored in {report.store(label, rounds, judged, about(wanted, plan, rivals=wanted.rival)).relative_to(machine.ROOT)}"
        )
    return verdicts


def _kept_elsewhere(wanted: argparse.Namespace) -> list[str]:
    """Results on other engines than the default do not replace those of the default."""
    return [engine for engine in wanted.doran if engine != "sqlite"]


def rounds_of(name: str, sides: Sequence[Side], plan: Plan) -> list[Round]:
    if name in COMPARED:
        return COMPARED[name](sides, plan)
    return [found for side in sides if isinstance(side, Doran) for found in scenarios.pages(side, plan)]


def choose(wanted: argparse.Namespace, folder: Path, *, core: int) -> list[Side]:
    """The rivals first, then Doran in each of its forms; each in a folder of its own."""
    makers: list[Callable[[Path], Side]] = [_rival(name, wanted, core=core) for name in wanted.rival if name != "none"]
    if not wanted.rival_only:
        makers += [_doran(engine, wanted, core=core) for engine in wanted.doran]
    return [make(_room(folder / str(number))) for number, make in enumerate(makers)]


def _rival(name: str, wanted: argparse.Namespace, *, core: int) -> Callable[[Path], Side]:
    if name == "ejabberd":
        return lambda place: Ejabberd(place, core=core)
    return lambda place: PlainDjango(place, core=core, variant=name, server=wanted.rival_server)


def _doran(engine: str, wanted: argparse.Namespace, *, core: int) -> Callable[[Path], Side]:
    return lambda place: Doran(place, core=core, door=wanted.door, marks=wanted.marks, engine=engine)


def _room(folder: Path) -> Path:
    folder.mkdir()
    return folder


def planned(wanted: argparse.Namespace, *, core: int) -> Plan:
    return Plan(
        core=core,
        rounds=wanted.rounds,
        pairs=min(wanted.pairs, wanted.people // 2),
        seconds=wanted.seconds,
        connects=wanted.people,
        idle=wanted.people,
    )


def about(wanted: argparse.Namespace, plan: Plan, *, rivals: Sequence[str]) -> dict[str, object]:
    """What somebody needs to repeat the run, and to judge it."""
    versions = {"doran": machine.our_versions()}
    for rival in rivals:
        if rival in VARIANTS:
            versions[rival] = machine.rival_versions(rival)
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
    if name not in (*ALL, COPIES, answers.SCENARIO):
        raise argparse.ArgumentTypeError(
            f"expected one of {', '.join(ALL)}, or {COPIES} or {answers.SCENARIO} by itself"
        )
    return name


def arguments() -> argparse.Namespace:
    reader = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    say = reader.add_argument
    say(
        "scenarios",
        nargs="*",
        type=scenario,
        metavar="scenario",
        help=f"any of {', '.join(ALL)} (the default is all of these); or {COPIES}, one chat process and two, or {answers.SCENARIO}, what the AI costs",
    )
    say(
        "--rival",
        nargs="+",
        choices=[*VARIANTS, "ejabberd", "none"],
        default=["mariadb"],
        help="variants of the plain Django design, or ejabberd with its archive on MariaDB (messages only)",
    )
    say("--doran", nargs="+", choices=[*NAMES], default=["sqlite"], help="where Doran keeps things; mariadb with Redis")
    say("--rival-server", choices=["daphne", "uvicorn"], default="daphne")
    say("--rival-only", action="store_true", help="leave Doran out")
    say("--door", choices=["one", "all"], default="one", help="/ws/chat/{id}/ or /ws/ for messages and memory")
    say("--marks", action="store_true", help="B says mark_as_delivered for every message, as a real client does")
    say("--rounds", type=positive, default=3)
    say("--seconds", type=some_seconds, default=6.0, help="measured seconds of each round of messages")
    say("--pairs", type=positive, default=50, help="pairs that talk")
    say(
        "--windows",
        type=positive,
        nargs="+",
        default=[1],
        help="messages under way for each pair; the goal is judged at 1",
    )
    say("--people", type=even, default=500, help="people who exist, connect and stay; an even number")
    say("--py-spy", action="store_true", help="one more round of messages under py-spy, if it is installed")
    say("--smoke", action="store_true", help="Doran only, some seconds: messages flow and the counts add up")
    wanted = reader.parse_args()
    if useless := why_useless(wanted):
        reader.error(useless)
    return wanted


def why_useless(wanted: argparse.Namespace) -> str:
    """Why this combination would fail after minutes, or measure nothing; empty if it would not."""
    named = set(wanted.scenarios or ALL)
    alone = named & {COPIES, answers.SCENARIO}
    if alone and len(named) > 1:
        return f"{min(alone)} is measured by itself"
    if answers.SCENARIO in named and min(wanted.pairs, wanted.people // 2) < answers.ASKERS:
        return f"{answers.SCENARIO} needs {answers.ASKERS} pairs and as many people"
    if alone or wanted.smoke:
        return ""
    if "ejabberd" in wanted.rival and named != {"messages"}:
        return "ejabberd is measured with messages only: name that scenario, or another rival"
    if "none" in wanted.rival and len(wanted.rival) > 1:
        return "--rival none stands alone"
    if wanted.rival_only and ("none" in wanted.rival or named == {"pages"}):
        return "nobody is left to measure"
    if wanted.door == "all" and "connects" in named:
        return "connects needs --door one: only there the server sends a history by itself"
    return ""


def positive(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("expected a number above 0")
    return count


def even(text: str) -> int:
    if (count := positive(text)) % 2:
        raise argparse.ArgumentTypeError("expected an even number")
    return count


def some_seconds(text: str) -> float:
    if not 0 < (seconds := float(text)) < 3600:
        raise argparse.ArgumentTypeError("expected some seconds")
    return seconds


if __name__ == "__main__":
    raise SystemExit(main())
