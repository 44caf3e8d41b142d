"""A few seconds of Doran alone: messages flow, histories arrive, and the counts add up; times are not judged."""

from contextlib import ExitStack
from pathlib import Path

from bench import scenarios
from bench.processes import available_cores, one_run
from bench.rivals.doran import Doran
from bench.scenarios import Plan

PEOPLE = 4
HISTORY = 10


def run() -> int:
    """Every scenario once, both doors, with marks; raises when something does not add up."""
    for door in ("one", "all"):
        with one_run() as (folder, ending):
            through(door, folder, ending)
    print("smoke: everything sent was answered, received and stored")
    return 0


def through(door: str, folder: Path, ending: ExitStack) -> None:
    core, _ = available_cores()
    plan = Plan(
        core=core, rounds=1, pairs=PEOPLE // 2, seconds=0.5, warm=0.1, connects=PEOPLE, at_once=4, history=HISTORY
    )
    doran = Doran(folder, core=core, door=door, marks=True)
    doran.check()
    ending.callback(doran.stop)
    doran.start()
    doran.populate(PEOPLE, history=plan.history)
    print(f"door {door}: {len(doran.town.couples)} conversations, {doran.stored()} messages")
    if door == "one":
        scenarios.connects([doran], plan)
    scenarios.messages([doran], plan)
