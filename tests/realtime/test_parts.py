"""The small parts of the gateway: the hub, what waits to be written, how fast is too fast, who is here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doran.realtime import presence
from doran.realtime.limits import FrameRate
from doran.realtime.outbound import Outbound
from tests.realtime.gate import Gate, Visit, news
from tests.stage import eventually

# -- the hub -------------------------------------------------------------------------------------------


def numbers(visit: Visit) -> list[int]:
    return [one["number"] for one in visit.wire.told if one["type"] == "news"]


async def test_news_go_to_the_screens_they_are_for() -> None:
    gate = Gate()
    everything, this, other, junho = (
        gate.enters(), gate.enters(conversation_id="this"), gate.enters(conversation_id="other"), gate.enters("junho"),
    )  # fmt: skip
    for visit in (everything, this, other, junho):
        await visit.settles()
    assert gate.hub.deliver(news(1, conversation_id="this", change_seq=8)) == 2
    assert gate.hub.deliver(news(2)) == 1
    assert gate.hub.deliver(news(3, to="junho", conversation_id="this", change_seq=8)) == 1
    assert gate.hub.deliver(news(4, to="nobody")) == 0
    assert gate.hub.deliver(news(5, conversation_id="this", change_seq=9, but=this.connection.id)) == 1
    assert [numbers(one) for one in (everything, this, other, junho)] == [[1, 2, 5], [1], [], [3]]


async def test_the_oldest_makes_room_and_is_told_why() -> None:
    gate = Gate(sockets_per_person=2)
    visits = []
    for _ in range(4):
        visits.append(gate.enters())
        await visits[-1].settles()
    assert [await one.ends() for one in visits[:2]] == [4409, 4409]
    assert len(gate.hub) == 2
    other = gate.enters("junho")
    await other.settles()
    assert len(gate.hub) == 3


async def test_many_who_come_at_once_leave_room_in_the_end() -> None:
    gate = Gate(sockets_per_person=2)
    visits = [gate.enters() for _ in range(10)]
    await eventually(lambda: len(gate.hub) == 2)
    assert sorted(not one.life.done() for one in visits) == [False] * 8 + [True] * 2


# -- what waits to be written --------------------------------------------------------------------------


class Reader:
    """Reads when it likes. `at_once`: its transport knows when a write need not wait."""

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.read: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.slow = 0

    async def write(self, text: str) -> None:
        await self.gate.wait()
        self.read.append(text)

    def write_at_once(self, text: str) -> bool:
        if self.at_once and self.gate.is_set():
            self.read.append(text)
            return True
        return False

    def outbound(self, *, limit: int = 10, seconds: float = 5.0) -> Outbound:
        return Outbound(self.write, self.write_at_once, limit=limit, seconds=seconds, on_slow=self._slow)

    def _slow(self) -> None:
        self.slow += 1


@pytest.mark.parametrize("at_once", [False, True])
async def test_everything_arrives_in_order_however_the_reader_pauses(at_once: bool) -> None:
    reader = Reader(at_once=at_once)
    outbound = reader.outbound(limit=10_000)
    for round_ in range(5):
        (reader.gate.clear if round_ % 2 else reader.gate.set)()
        for number in range(10):
            outbound.offer(f"{round_}.{number}")
        await asyncio.sleep(0)
    reader.gate.set()
    await outbound.finish()
    assert reader.read == [f"{round_}.{number}" for round_ in range(5) for number in range(10)]


async def test_who_leaves_too_much_unread_is_too_slow_once() -> None:
    reader = Reader()
    outbound = reader.outbound(limit=10)
    reader.gate.clear()
    outbound.offer("begun")
    outbound.offer("0123456789")
    assert reader.slow == 0
    for _ in range(3):
        outbound.offer("x")
    assert reader.slow == 1
    reader.gate.set()
    await asyncio.sleep(0)
    assert reader.read == []


async def test_who_takes_too_long_for_one_write_is_too_slow() -> None:
    reader = Reader()
    outbound = reader.outbound(seconds=0.02)
    reader.gate.clear()
    outbound.offer("x")
    await eventually(lambda: reader.slow == 1)


async def test_who_reads_slowly_but_reads_is_kept() -> None:
    reader = Reader()
    outbound = reader.outbound(limit=10, seconds=0.2)
    for number in range(50):
        reader.gate.clear()
        outbound.offer(f"{number}")
        reader.gate.set()
        await outbound.finish()
    assert (len(reader.read), reader.slow) == (50, 0)


@settings(deadline=None)
@given(texts=st.lists(st.text(max_size=3), max_size=20), pauses=st.lists(st.booleans(), max_size=20))
def test_what_is_read_is_the_beginning_of_what_was_offered(texts: list[str], pauses: list[bool]) -> None:
    async def story() -> None:
        reader = Reader()
        outbound = reader.outbound(limit=12)
        for number, text in enumerate(texts):
            (reader.gate.clear if number < len(pauses) and pauses[number] else reader.gate.set)()
            outbound.offer(text)
            await asyncio.sleep(0)
        reader.gate.set()
        await outbound.finish()
        await asyncio.sleep(0)
        assert reader.read == texts[: len(reader.read)]
        assert reader.slow or len(reader.read) == len(texts)

    asyncio.run(story())


# -- how fast is too fast ------------------------------------------------------------------------------


def test_a_second_of_frames_at_once_and_then_one_by_one() -> None:
    rate = FrameRate(10)
    assert [rate.over(0.0) > 0 for _ in range(12)] == [False] * 11 + [True]
    assert rate.over(100.0) == 0.0


def test_the_wait_that_is_named_is_enough() -> None:
    rate, now = FrameRate(10), 0.0
    wait = 0.0
    while not wait:
        wait = rate.over(now)
    assert rate.over(now + wait + 0.1) == 0.0


def test_only_who_goes_on_is_hopeless() -> None:
    rate = FrameRate(10)
    for _ in range(12):
        rate.over(0.0)
    assert not rate.is_hopeless
    for _ in range(40):
        rate.over(0.0)
    assert rate.is_hopeless


# -- who is here ---------------------------------------------------------------------------------------


def shown(visit: Visit) -> list[tuple[str, bool]]:
    return [(one["user_id"], one["online"]) for one in visit.wire.told if one["type"] == "presence"]


async def test_who_watches_is_told_of_comings_and_goings() -> None:
    gate = Gate()
    minji = gate.enters("minji")
    await minji.settles()
    gate.presence.watch(minji.connection, ["junho"])
    first, second = gate.enters("junho"), gate.enters("junho")
    await first.settles()
    await second.settles()
    await first.leaves()
    await second.leaves()
    await eventually(lambda: len(shown(minji)) == 3)
    assert shown(minji) == [("junho", False), ("junho", True), ("junho", False)]
    assert minji.wire.told[-1]["last_seen_at"].endswith("Z")


async def test_who_was_hidden_is_seen_leaving_and_never_again() -> None:
    gate = Gate()
    minji, junho = gate.enters("minji"), gate.enters("junho")
    await minji.settles()
    await junho.settles()
    gate.presence.watch(minji.connection, ["junho"])
    gate.presence.hide("junho", from_user_id="minji")
    await junho.leaves()
    await asyncio.sleep(0.01)
    assert shown(minji) == [("junho", True), ("junho", False)]


@pytest.mark.parametrize("ending", ["watcher", "watched"])
async def test_nothing_is_kept_of_who_is_gone(ending: str) -> None:
    gate = Gate()
    minji, junho = gate.enters("minji"), gate.enters("junho")
    await minji.settles()
    await junho.settles()
    gate.presence.watch(minji.connection, ["junho"] * 3)
    await (minji if ending == "watcher" else junho).leaves()
    await minji.leaves() if ending == "watched" else None
    assert gate.presence._watchers == {}


async def test_nobody_watches_the_whole_town(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence.memory, "WATCHED_AT_MOST", 3)
    gate = Gate()
    minji = gate.enters("minji")
    await minji.settles()
    gate.presence.watch(minji.connection, [f"{number}" for number in range(10)])
    assert len(gate.presence._watchers) == 3
    assert len(shown(minji)) == 10


async def test_last_seen_is_forgotten_some_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence.memory, "REMEMBERED", 2)
    gate = Gate()
    for name in ("a", "b", "c"):
        visit = gate.enters(name)
        await visit.settles()
        await visit.leaves()
        await eventually(gone(gate, name))
    assert [gate.presence.of(name).last_seen_at is None for name in ("a", "b", "c")] == [True, False, False]


def gone(gate: Gate, name: str) -> Callable[[], bool]:
    return lambda: not gate.presence.of(name).online
