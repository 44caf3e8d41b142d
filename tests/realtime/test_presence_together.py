"""Who is here, as many processes know it together: people come and go, hints are lost, a process dies."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doran.realtime.presence import shared
from doran.realtime.presence.shared import SharedPresence
from tests.realtime.gate import Gate, Visit
from tests.realtime.town import Radio, Weather
from tests.realtime.virtual import run

PEOPLE = ("minji", "junho", "sora", "haneul")
GRACE = 3.0


class Channel(Radio):
    """As Redis: what it brings of one process comes in order, late, or not at all."""

    _busy_until = 0.0

    def hear(self, kind: str, body: bytes) -> None:
        loop = asyncio.get_running_loop()
        late = self._town.rng.uniform(0, self._town.weather.hint)
        self._busy_until = max(self._busy_until + 1e-6, loop.time() + late)
        loop.call_at(self._busy_until, super().hear, kind, body)


class Process:
    """A process and its sockets. Cut off, it neither says nor hears anything; killed, it has no more sockets."""

    def __init__(self, town: Town) -> None:
        self.town, self.gate, self.visits = town, Gate(), list[Visit]()
        self.radio = Channel(town)  # type: ignore[arg-type]
        self.presence = SharedPresence(self.gate.hub, self.radio, grace=GRACE)
        self.gate.gateway.presence = self.presence
        self.presence.start()

    async def opens(self, who: str) -> Visit:
        visit = self.gate.enters(who)
        self.visits.append(visit)
        await until(lambda: visit.wire.told != [])
        return visit

    async def closes(self, visit: Visit) -> None:
        self.visits.remove(visit)
        await visit.leaves()

    async def dies(self) -> None:
        self.town.processes.remove(self)
        self.radio._town = Town(0, Weather(), processes=0)  # type: ignore[assignment]  # nobody is there to hear it
        await self.ends()

    async def ends(self) -> None:
        await self.presence.stop()
        for visit in self.visits:
            await visit.leaves()

    def has(self, who: str) -> bool:
        return any(visit.connection.user_id == who for visit in self.visits)


@dataclass
class Town:
    """Processes, and a channel between them as bad as the weather."""

    seed: int
    weather: Weather
    processes: Any = 3
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.processes = [Process(self) for _ in range(self.processes)]

    def later(self, _at_most: float, then: Callable[..., Any], *words: Any) -> None:
        """Who hears decides how late."""
        then(*words)

    @property
    def open(self) -> list[tuple[Process, Visit]]:
        return [(process, visit) for process in self.processes for visit in process.visits]

    def is_there(self, who: str) -> bool:
        return any(process.has(who) for process in self.processes)

    def agrees(self) -> None:
        """Everybody was last told what is true of everybody they watch."""
        for _, visit in self.open:
            for who in visit.connection.watching or ():
                assert last_told(visit, who)["online"] is self.is_there(who), who

    async def ends(self) -> None:
        for process in self.processes:
            await process.ends()


def told(visit: Visit, who: str) -> list[dict[str, Any]]:
    return [one for one in visit.wire.told if one["type"] == "presence" and one["user_id"] == who]


def last_told(visit: Visit, who: str) -> dict[str, Any]:
    return told(visit, who)[-1]


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def anything(town: Town) -> None:
    """Somebody comes, goes, or asks how others are."""
    deed, opened = town.rng.random(), town.open
    if deed < 0.4 or not opened:
        await town.rng.choice(town.processes).opens(town.rng.choice(PEOPLE))
    elif deed < 0.7:
        process, visit = town.rng.choice(opened)
        await process.closes(visit)
    else:
        process, visit = town.rng.choice(opened)
        process.presence.watch(visit.connection, town.rng.sample(PEOPLE, 2))


async def lived(town: Town, *, pause: float, with_a_death: bool) -> None:
    for number in range(60):
        if with_a_death and number == 40:
            await town.processes[0].dies()
        await anything(town)
        await asyncio.sleep(town.rng.uniform(0, pause))
    town.weather.loss = 0.0
    await asyncio.sleep(shared.LEASE_SECONDS + 2 * shared.SIGN_SECONDS + GRACE)
    town.agrees()
    await town.ends()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    hint=st.sampled_from([0.001, 0.05, 2.0]),
    pause=st.sampled_from([0.01, 1.0, 5.0]),
    with_a_death=st.booleans(),
)
def test_after_the_last_fault_everybody_knows_who_is_there(
    seed: int, loss: float, hint: float, pause: float, with_a_death: bool
) -> None:
    async def story() -> None:
        await lived(Town(seed, Weather(loss=loss, hint=hint)), pause=pause, with_a_death=with_a_death)

    run(story())


@pytest.fixture
def clear() -> Weather:
    return Weather(loss=0.0, hint=0.001)


def test_who_asks_is_told_once_what_is_true_and_then_of_each_change(clear: Weather) -> None:
    async def story() -> None:
        town = Town(1, clear)
        here, there, _ = town.processes
        his = await there.opens("junho")
        hers = await here.opens("minji")
        here.presence.watch(hers.connection, ["junho", "sora"])
        await asyncio.sleep(1)
        assert [one["online"] for one in told(hers, "junho")] == [True]
        assert told(hers, "sora") == [{"type": "presence", "user_id": "sora", "online": False, "last_seen_at": None}]
        await there.opens("junho")
        await there.closes(his)
        await asyncio.sleep(2 * GRACE)
        assert len(told(hers, "junho")) == 1
        await there.closes(there.visits[0])
        await asyncio.sleep(2 * GRACE)
        gone = told(hers, "junho")[1:]
        assert [(one["online"], one["last_seen_at"].endswith("Z")) for one in gone] == [(False, True)]
        await town.ends()

    run(story())


def test_who_moves_to_another_process_was_never_away(clear: Weather) -> None:
    """As in a rolling restart: the old process ends without a word, and its people come back elsewhere."""

    async def story() -> None:
        town = Town(2, clear)
        here, there, elsewhere = town.processes
        await there.opens("junho")
        hers = await here.opens("minji")
        here.presence.watch(hers.connection, ["junho"])
        await asyncio.sleep(1)
        await there.dies()
        await elsewhere.opens("junho")
        await asyncio.sleep(2 * shared.LEASE_SECONDS)
        assert [one["online"] for one in told(hers, "junho")] == [True]
        await town.ends()

    run(story())


def test_nobody_is_kept_in_mind_whom_nobody_watches(clear: Weather) -> None:
    async def story() -> None:
        town = Town(3, clear)
        here, there, _ = town.processes
        for who in PEOPLE:
            await there.opens(who)
        hers = await here.opens("minji")
        here.presence.watch(hers.connection, ["junho"])
        await asyncio.sleep(1)
        assert [one.people for one in here.presence._others.values() if one.people] == [{"junho"}]
        await here.closes(hers)
        assert [one.people for one in here.presence._others.values() if one.people] == []
        await town.ends()

    run(story())


@pytest.mark.parametrize("missing", ["here", "gone"])
def test_a_word_that_was_missed_is_asked_for(clear: Weather, missing: str) -> None:
    async def story() -> None:
        town = Town(4, clear)
        here, there, _ = town.processes
        his = await there.opens("junho") if missing == "gone" else None
        hers = await here.opens("minji")
        here.presence.watch(hers.connection, ["junho"])
        await asyncio.sleep(1)
        town.weather.loss = 1.0
        if his is None:
            await there.opens("junho")
        else:
            await there.closes(his)
        await asyncio.sleep(2 * GRACE)
        town.weather.loss = 0.0
        assert last_told(hers, "junho")["online"] is (missing == "gone")
        await asyncio.sleep(2 * shared.SIGN_SECONDS + 1)
        assert last_told(hers, "junho")["online"] is (missing == "here")
        await town.ends()

    run(story())
