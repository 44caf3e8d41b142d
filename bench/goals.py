"""The goals, and whether the medians of a run meet them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.scenarios import Round

Rounds = Sequence[Round]


@dataclass(frozen=True)
class Goal:
    """One line of the verdict: `measure` makes the figure from a rival's rounds and Doran's.

    It is judged for each pair of measured sides whose names begin with `rival` and are `ours`.
    """

    scenario: str
    sentence: str
    bound: float
    at_least: bool
    measure: Callable[[Rounds, Rounds], float]
    rival: str = "plain Django"
    ours: str = "Doran"


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


def ratio(figure: str) -> Callable[[Rounds, Rounds], float]:
    """What ours needs of what the other needs."""
    return lambda other, ours: middle(ours, figure) / middle(other, figure)


def scaled(one: Rounds, two: Rounds) -> float:
    """How many times as much two processes carry: by the clock, or by their cost where they share one core."""
    if two[0].get("shared_core"):
        return 2 * middle(one, "cpu_us") / middle(two, "cpu_us")
    return middle(two, "per_second") / middle(one, "per_second")


ENGINES = "Doran (mariadb, redis)"
WITHOUT, WITH = "Doran without ai", "Doran with ai"
ONE, TWO = "Doran, 1 chat process", "Doran, 2 chat processes"
GOALS = (
    Goal("messages", "times less CPU per durable message", 35, True, less("cpu_us")),
    Goal("messages", "times less CPU per durable message", 20, True, less("cpu_us"), ours=ENGINES),
    Goal("messages", "times less CPU per durable message", 3, True, less("cpu_us"), rival="ejabberd", ours=ENGINES),
    Goal("ai", "of the CPU of a plain message", 1.02, False, ratio("cpu_us"), rival=WITHOUT, ours=WITH),
    Goal("copies", "times as many messages", 1.7, True, scaled, rival=ONE, ours=TWO),
    Goal("connects", "times more connects per second with history", 10, True, more("per_second")),
    Goal("connects", "times less CPU per connect (not bound: the robust figure)", 10, True, less("cpu_us")),
    Goal("memory", "of its memory per idle connection", 0.5, False, more("kib_per_connection")),
    Goal(
        "pages",
        "times the first page's CPU at depth 200",
        1.2,
        False,
        lambda _rival, doran: middle(doran, "deep_to_first"),
        rival="",
    ),
)


def judge(scenario: str, sides: Mapping[str, Rounds]) -> list[Verdict]:
    """A verdict for each goal of the scenario and each two sides it is about; none where one was not measured."""
    return [
        _verdict(goal, name, rounds, sides[goal.ours])
        for goal in GOALS
        if goal.scenario == scenario and goal.ours in sides
        for name, rounds in _rivals(goal, sides)
    ]


def _rivals(goal: Goal, sides: Mapping[str, Rounds]) -> Iterable[tuple[str, Rounds]]:
    """Those the goal compares with; a goal without a rival is about Doran alone."""
    if not goal.rival:
        return [("", [])]
    return [(name, rounds) for name, rounds in sides.items() if name.startswith(goal.rival)]


def _verdict(goal: Goal, name: str, rival: Rounds, doran: Rounds) -> Verdict:
    measured = goal.measure(rival, doran)
    met = measured >= goal.bound if goal.at_least else measured <= goal.bound
    sentence = f"{goal.ours}: {goal.sentence}" + (f" than {name}" if name and goal.at_least else "")
    return Verdict(sentence, f"{'≥' if goal.at_least else '≤'} {goal.bound:g}", measured, met)


def medians(rounds: Rounds) -> Mapping[str, float]:
    """The median of every plain number in the rounds."""
    names = [name for name, value in rounds[0].items() if isinstance(value, int | float) and name != "round"]
    return {name: middle(rounds, name) for name in names} if rounds else {}
