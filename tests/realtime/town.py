"""Several processes that share a store, hints that come late or never, and people who look at it all."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from doran.realtime.connection import Connection, History
from doran.realtime.fanout import Batch, Step
from doran.realtime.fanout.order import Hole, Told
from doran.realtime.fanout.shared import SharedFanout, packed
from doran.realtime.hints import Listener
from doran.realtime.hub import Delivery
from tests.realtime.gate import Gate, Visit

PEOPLE = ("minji", "junho")


@dataclass
class Talk:
    """What is stored of a conversation: which change made each message, how often it was edited, both marks."""

    change: int = 0
    last: int = 0
    made_at: dict[int, int] = field(default_factory=dict)
    edited: dict[int, int] = field(default_factory=dict)
    edits: list[tuple[int, int]] = field(default_factory=list)
    mark: int = 0
    states: dict[str, int] = field(default_factory=dict)


class Store:
    """One database: talks, private counters, and the feed of every node."""

    def __init__(self) -> None:
        self.talks: dict[str, Talk] = {}
        self.private: dict[str, int] = {}
        self.feed: dict[int, dict[int, bytes]] = {}

    def change(self, talk_id: str, kind: str, rng: random.Random) -> tuple[Step, list[Delivery]]:
        """Something happens in a transaction: the step it is, and how it is shown."""
        talk = self.talks.setdefault(talk_id, Talk())
        before = (talk.change, talk.last)
        if kind == "edit" and not talk.last:
            kind = "message"
        shown: list[Delivery] = getattr(self, f"_{kind}")(talk_id, talk, rng)
        states = {one: talk.states[one] for one in PEOPLE if kind == "state" and shown[0].user_ids == (one,)}
        return Step(talk_id, PEOPLE, before[0], talk.change, before[1], talk.last, states), shown

    def _message(self, talk_id: str, talk: Talk, rng: random.Random) -> list[Delivery]:
        talk.change += 1
        talk.last += 1
        talk.made_at[talk.last] = talk.change
        return [shown(talk_id, PEOPLE, talk.change, kind="message", seq=talk.last, version=0)]

    def _edit(self, talk_id: str, talk: Talk, rng: random.Random) -> list[Delivery]:
        seq = rng.randint(max(1, talk.last - 3), talk.last)
        talk.change += 1
        talk.edited[seq] = talk.edited.get(seq, 0) + 1
        talk.edits.append((talk.change, seq))
        return [shown(talk_id, PEOPLE, talk.change, kind="edit", seq=seq, version=talk.edited[seq])]

    def _mark(self, talk_id: str, talk: Talk, rng: random.Random) -> list[Delivery]:
        talk.change += 1
        talk.mark = talk.change
        return [shown(talk_id, PEOPLE, talk.change, kind="mark", mark=talk.mark)]

    def _state(self, talk_id: str, talk: Talk, rng: random.Random) -> list[Delivery]:
        who = rng.choice(PEOPLE)
        self.private[who] = talk.states[who] = self.private.get(who, 0) + 1
        return [shown(talk_id, (who,), 0, kind="state", state=talk.states[who])]

    def fill(self, hole: Hole) -> Told | None:
        """As `doran.chat.gaps` does it: everything in its final state."""
        talk = self.talks[hole.conversation_id]
        told: list[Delivery] = []
        for seq in range(hole.last + 1, hole.last_until + 1):
            version = talk.edited.get(seq, 0)
            told.append(self._filled(hole, talk, seq, "message")._replace(seq=seq if version else 0))
            if version:
                told.append(self._filled(hole, talk, seq, "edit"))
        for change, seq in talk.edits:
            if hole.after < change <= hole.until and seq <= hole.last:
                told.append(self._filled(hole, talk, seq, "edit"))
        if mark := min(talk.mark, hole.until):  # what came after the hole comes by itself
            told.append(shown(hole.conversation_id, hole.people, hole.until, kind="mark", mark=mark))
        for who in hole.people:
            if who in talk.states:
                told.append(shown(hole.conversation_id, (who,), 0, kind="state", state=talk.states[who]))
        step = Step(hole.conversation_id, PEOPLE, hole.after, hole.until, hole.last, hole.last_until, dict(talk.states))
        return Told(step, told)

    def _filled(self, hole: Hole, talk: Talk, seq: int, kind: str) -> Delivery:
        changed = max([change for change, edited in talk.edits if edited == seq], default=talk.made_at[seq])
        version = talk.edited.get(seq, 0)
        return shown(hole.conversation_id, hole.people, changed, kind=kind, seq=seq, version=version)


def shown(talk_id: str, to: tuple[str, ...], change: int, **what: Any) -> Delivery:
    return Delivery(to, json.dumps({"type": "news", "talk": talk_id, **what}), talk_id, change)


@dataclass
class Weather:
    """How long things take, in seconds at most, and how much of what is said is never heard."""

    commit: float = 0.003
    hint: float = 0.02
    database: float = 0.01
    loss: float = 0.2
    history: float = 0.03


class Radio:
    """The hints of one process: all others hear them later, or not."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._listeners: dict[str, Listener] = {}
        self.are_heard = True

    def listen(self, kind: str, listener: Listener) -> None:
        self._listeners[kind] = listener

    def say(self, kind: str, body: bytes) -> None:
        for other in self._town.processes:
            if other.radio is not self and self._town.rng.random() >= self._town.weather.loss:
                self._town.later(self._town.weather.hint, other.radio.hear, kind, body)

    def hear(self, kind: str, body: bytes) -> None:
        self._listeners[kind](body)

    def start(self, channel: str) -> None:
        pass

    async def stop(self) -> None:
        pass


class Process:
    """One chat process, as its fan-out sees it; also its archive."""

    def __init__(self, town: Town, node: int) -> None:
        self.town = town
        self.node = node
        self.number = 0
        self.gate = Gate()
        self.gate.gateway.open_conversation = self._history
        self.radio = Radio(town)
        self.fanout = SharedFanout(self.gate.hub, self.radio, self, shown=lambda step: None)
        self._telling: asyncio.Queue[tuple[list[Delivery], Batch]] = asyncio.Queue()
        self._teller = asyncio.ensure_future(self._tell())

    def does(self, talk_id: str, kind: str, by: Screen | None = None) -> None:
        """Commits; its own screens hear of it a moment later, in order. Who wrote a message is not shown it."""
        step, deliveries = self.town.store.change(talk_id, kind, self.town.rng)
        if by is not None and step.last_after > step.last_before:
            by.wrote.add((talk_id, step.last_after))
            deliveries = [one._replace(but=by.visit.connection.id) for one in deliveries]
        self.number += 1
        batch = Batch(self.node, self.number, [step])
        self.town.store.feed.setdefault(self.node, {})[self.number] = packed([step])
        self._telling.put_nowait((deliveries, batch))

    async def _tell(self) -> None:
        while True:
            deliveries, batch = await self._telling.get()
            await self.town.moment(self.town.weather.commit)
            self.fanout.publish(deliveries, batch)

    async def stop(self) -> None:
        await self.fanout.stop()
        self._teller.cancel()
        await asyncio.wait([self._teller])

    # -- its archive -------------------------------------------------------------------------------

    def begun(self) -> tuple[int, int]:
        return (self.node, self.number) if self.number else (0, 0)

    async def ends(self) -> dict[int, int]:
        feed = self.town.store.feed
        return await self.town.asks(lambda: {node: max(kept) for node, kept in feed.items() if node != self.node})

    async def steps(self, node: int, numbers: Sequence[int]) -> list[tuple[int, bytes]]:
        kept: Mapping[int, bytes] = self.town.store.feed[node]
        return await self.town.asks(lambda: [(number, kept[number]) for number in numbers if number in kept])

    async def read(self, holes: Sequence[Hole]) -> Sequence[Told]:
        return await self.town.asks(lambda: [told for hole in holes if (told := self.town.store.fill(hole))])

    # -- its people --------------------------------------------------------------------------------

    async def _history(self, connection: Connection) -> History:
        talk_id = connection.conversation_id or ""

        def look() -> History:
            talk = self.town.store.talks.get(talk_id, Talk())
            text = {"type": "history", "last": talk.last, "mark": talk.mark, "edited": {**talk.edited}}
            return History(json.dumps(text), talk.change, talk.last)

        return await self.town.asks(look, self.town.weather.history)

    def opens(self, who: str, talk_id: str | None) -> Screen:
        return Screen(self, who, talk_id)


class Town:
    def __init__(self, seed: int, *, processes: int = 3, weather: Weather | None = None) -> None:
        self.rng = random.Random(seed)
        self.weather = weather or Weather()
        self.store = Store()
        self.processes = [Process(self, node) for node in range(1, processes + 1)]
        self.screens: list[Screen] = []

    async def begins(self) -> None:
        for process in self.processes:
            await process.fanout.begin()
            process.fanout.start()

    async def ends(self) -> None:
        for process in self.processes:
            await process.stop()
        for screen in self.screens:
            if not screen.visit.life.done():
                await screen.visit.leaves()

    async def moment(self, at_most: float) -> None:
        await asyncio.sleep(self.rng.uniform(0, at_most))

    def later(self, at_most: float, then: Callable[..., Any], *words: Any) -> None:
        asyncio.get_running_loop().call_later(self.rng.uniform(0, at_most), then, *words)

    async def asks(self, look: Callable[[], Any], at_most: float | None = None) -> Any:
        """The database answers as it is at some moment between the question and the answer."""
        at_most = self.weather.database if at_most is None else at_most
        await self.moment(at_most)
        seen = look()
        await self.moment(at_most)
        return seen

    async def opens(self, who: str, talk_id: str | None) -> None:
        screen = self.rng.choice(self.processes).opens(who, talk_id)
        while not screen.is_subscribed:  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.screens.append(screen)

    def happens(self, talk_id: str, kind: str) -> None:
        """By REST at any process, or by a socket at its own."""
        open_ones = [one for one in self.screens if one.is_open and one.talk_id in (None, talk_id)]
        if open_ones and self.rng.random() < 0.5:
            by = self.rng.choice(open_ones)
            by.process.does(talk_id, kind, by)
        else:
            self.rng.choice(self.processes).does(talk_id, kind)


class Screen:
    """What one socket was shown, and what it must have been."""

    def __init__(self, process: Process, who: str, talk_id: str | None) -> None:
        self.process, self.who, self.talk_id, self._store = process, who, talk_id, process.town.store
        self.visit: Visit = process.gate.enters(who, conversation_id=talk_id)
        self.wrote: set[tuple[str, int]] = set()
        self._at_opening: dict[str, tuple[int, int, dict[int, int], dict[str, int]]] | None = None

    @property
    def is_subscribed(self) -> bool:
        """From the moment on at which everything has to be shown. To be asked until it is so."""
        connection = self.visit.connection
        if connection in self.process.gate.hub.of(self.who) and self._at_opening is None:
            self._at_opening = {
                one: (talk.last, talk.mark, {**talk.edited}, {**talk.states}) for one, talk in self._store.talks.items()
            }
        return self._at_opening is not None

    @property
    def was_sent_away(self) -> bool:
        return self.visit.wire.closed is not None

    @property
    def is_open(self) -> bool:
        """Past what it is shown first, so that it may write."""
        first = "ready" if self.talk_id is None else "history"
        return any(one["type"] == first for one in self.visit.wire.told) and not self.visit.life.done()

    def check(self) -> None:
        talks = (
            self._store.talks if self.talk_id is None else {self.talk_id: self._store.talks.get(self.talk_id, Talk())}
        )
        for talk_id, talk in talks.items():
            self._check_talk(talk_id, talk)

    def _check_talk(self, talk_id: str, talk: Talk) -> None:
        last, mark, edited, states = (self._at_opening or {}).get(talk_id, (0, 0, {}, {}))
        news = [one for one in self.visit.wire.told if one["type"] == "news" and one["talk"] == talk_id]
        # Who reads a commit it did not hear of does not know which socket wrote it: that one may see its own words again.
        seqs = [one["seq"] for one in news if one["kind"] == "message" and (talk_id, one["seq"]) not in self.wrote]
        first = self._first(last, seqs)
        expected = [seq for seq in range(first, talk.last + 1) if (talk_id, seq) not in self.wrote]
        assert seqs == expected, f"{talk_id}: {seqs}, but {expected}"
        latest = {seq: 0 for where, seq in self.wrote if where == talk_id} | self._shown_versions(news)
        for seq, version in talk.edited.items():
            if edited.get(seq, 0) < version:
                assert latest.get(seq) == version, f"{talk_id}: message {seq} stands at {latest.get(seq)} of {version}"
        self._check_last(talk_id, "mark", news, talk.mark, mark)
        self._check_last(talk_id, "state", news, talk.states.get(self.who, 0), states.get(self.who, 0))

    def _first(self, last: int, seqs: list[int]) -> int:
        """After the history, if there is one; else no later than what came after the opening."""
        history = next((one for one in self.visit.wire.told if one["type"] == "history"), None)
        if history is not None:
            return int(history["last"]) + 1
        return min([*seqs[:1], last + 1])

    def _shown_versions(self, news: list[dict[str, Any]]) -> dict[int, int]:
        """What the person sees in the end: whatever was shown last of each message."""
        history = next((one for one in self.visit.wire.told if one["type"] == "history"), {"edited": {}})
        latest = {int(seq): version for seq, version in history["edited"].items()}
        for one in news:
            if one["kind"] in ("message", "edit"):
                latest[one["seq"]] = one["version"]
        return latest

    def _check_last(self, talk_id: str, kind: str, news: list[dict[str, Any]], now: int, before: int) -> None:
        told = [one[kind] for one in news if one["kind"] == kind]
        history = [one["mark"] for one in self.visit.wire.told if one["type"] == "history" and kind == "mark"]
        assert now == before or (history + told)[-1:] == [now], f"{talk_id}: {kind} {now}, shown {told[-5:]}"
