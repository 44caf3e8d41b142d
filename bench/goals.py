"""The goals, and whether the medians of a run meet them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.scenarios import Round

Rounds = Sequence[Round]


@dataclass(frozen=True)
class Goal:
    """One line of the verdict: `measure` makes the figure from the rival's rounds and Doran's."""

    scenario: str
    sentence: str
    bound: float
    at_least: bool
    measure: Callable[[Rounds, Rounds], float]


@dataclass(frozen=True)
class Verdict:
    goal: str
    bound: str
    measured: float
    met: bool


def middle(rounds: Rounds, figure: str) -> float:
    """The median of one figure over rounds."""
    return float(median(found[figure] for found in rounds))


def less(figure: str) -> Callable[[Rounds, Rounds], float]:
    """How many times less Doran needs."""
    return lambda rival, doran: middle(rival, figure) / middle(doran, figure)


def more(figure: str) -> Callable[[Rounds, Rounds], float]:
    """How many times more Doran does."""
    return lambda rival, doran: middle(doran, figure) / middle(rival, figure)


GOALS = (
    Goal("messages", "times less CPU per durable message", 35, True, less("cpu_us")),
    Goal("connects", "times more connects per second with history", 10, True, more("per_second")),
    Goal("connects", "times less CPU per connect (not bound: the robust figure)", 10, True, less("cpu_us")),
    Goal("memory", "of its memory per idle connection", 0.5, False, more("kib_per_connection")),
    Goal(
        "pages",
        "times the first page's CPU at depth 200",
        1.2,
        False,
        lambda _rival, doran: middle(doran, "deep_to_first"),
    ),
)


def judge(scenario: str, rival: Rounds, doran: Rounds) -> list[Verdict]:
    """A verdict for each goal of the scenario; none where a side was not measured."""
    return [
        _verdict(goal, rival, doran)
        for goal in GOALS
        if goal.scenario == scenario and doran and (rival or scenario == "pages")
    ]


def _verdict(goal: Goal, rival: Rounds, doran: Rounds) -> Verdict:
    measured = goal.measure(rival, doran)
    met = measured >= goal.bound if goal.at_least else measured <= goal.bound
    return Verdict(goal.sentence, f"{'≥' if goal.at_least else '≤'} {goal.bound:g}", measured, met)


def medians(rounds: Rounds) -> Mapping[str, float]:
    """The median of every plain number in the rounds."""
    names = [name for name, value in rounds[0].items() if isinstance(value, int | float) and name != "round"]
    return {name: middle(rounds, name) for name in names} if rounds else {}
