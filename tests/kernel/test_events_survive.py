"""Whatever crashes, repeats or falls ill: each event takes effect once, in order per key, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doran.contracts import events
from doran.contracts.events import Envelope
from doran.kernel import faults
from doran.kernel.bus import Unavailable
from doran.kernel.bus.memory import MemoryBus
from doran.kernel.inbox import Consumer, Outcome
from doran.kernel.outbox import Relay, relay
from tests.kernel.conftest import Crash
from tests.kernel.shop import MODELS, DeadLetter, Heard, Inbox, Outbox, hear, say, sent

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.judged]

KEYS = ("minji-junho", "sora-minji", "junho-sora")


@dataclass
class Town:
    """One process after another over the same database, each with its relay, bus and consumer.

    `crashes` says, for each time a fault point is passed, whether the process dies there;
    `illnesses`, for each time an effect happens, whether it fails after it has written.
    """

    crashes: Iterator[bool]
    illnesses: Iterator[bool]
    poison: set[tuple[str, int]] = field(default_factory=set)
    said: dict[str, list[int]] = field(default_factory=lambda: {key: [] for key in KEYS})
    seen: list[Envelope] = field(default_factory=list)
    bus: MemoryBus | None = None

    def open(self) -> None:
        self.close()
        self.bus = MemoryBus(workers=1)
        self.consumer.attach(self.bus)
        self.bus.start()

    def close(self) -> None:
        if self.bus is not None:
            self.bus.stop()

    @property
    def consumer(self) -> Consumer:
        return Consumer("shop", {"message.created": self.effect}, Inbox, DeadLetter, pauses=(0.0,))

    def effect(self, event: events.MessageCreated) -> None:
        hear(event)
        if (event.conversation_id, event.seq) in self.poison or next(self.illnesses, False):
            raise ValueError("ill")

    def hit(self, _name: str) -> None:
        if next(self.crashes, False):
            raise Crash

    def say(self, key: str) -> None:
        number = len(self.said[key]) + 1
        say(sent(number, key))
        self.said[key].append(number)

    def relay(self) -> None:
        assert self.bus is not None
        relay = Relay(Outbox, Watched(self.bus, self.seen), batch=3)
        try:
            relay.publish_waiting()
        except (Crash, Unavailable):
            self.open()

    def redeliver(self, number: int) -> None:
        """A bus may say again what it has said before."""
        if self.seen:
            envelope = self.seen[number % len(self.seen)]
            if Inbox.objects.filter(event_id=envelope.event_id).exists():
                assert self.consumer.handle(envelope) is Outcome.REPEATED

    def heal(self) -> None:
        self.crashes = self.illnesses = iter(())
        for _ in range(100):
            self.relay()
            if not Outbox.objects.exists():
                return
        raise AssertionError("the outbox never empties")

    def replay(self) -> None:
        try:
            self.consumer.replay()
        except Crash:
            pass

    def heard(self) -> dict[str, list[int]]:
        rows = Heard.objects.order_by("id").values_list("key", "what")
        return {key: [int(what.split()[1]) for whose, what in rows if whose == key] for key in KEYS}

    def waiting(self) -> dict[str, list[int]]:
        rows = DeadLetter.objects.order_by("id")
        return {key: [_number(row.envelope) for row in rows if row.key == key] for key in KEYS}


@dataclass
class Watched:
    """The bus, and a list of all that was ever handed to it."""

    bus: MemoryBus
    seen: list[Envelope]

    def publish(self, envelopes: list[Envelope]) -> frozenset[str]:
        self.seen += envelopes
        return self.bus.publish(envelopes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)


def _number(envelope: str) -> int:
    event = events.msgspec.json.decode(envelope, type=Envelope).event()
    assert isinstance(event, events.MessageCreated)
    return event.seq


ACTIONS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(KEYS)),
    st.tuples(st.just("relay")),
    st.tuples(st.just("redeliver"), st.integers(0, 100)),
    st.tuples(st.just("replay")),
    st.tuples(st.just("open")),
)
LUCK = st.lists(st.booleans(), max_size=30)


@contextmanager
def town(crashes: list[bool], illnesses: list[bool], poison: set[tuple[str, int]]) -> Iterator[Town]:
    for model in MODELS:
        model.objects.all().delete()
    here = Town(iter(crashes), iter(illnesses), poison)
    with mock.patch.object(faults, "hit", here.hit), mock.patch.object(relay, "backoff", return_value=0.0):
        here.open()
        yield here
        here.close()


quickly = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=False
)


@quickly
@given(st.lists(ACTIONS, max_size=25), LUCK, LUCK)
def test_every_event_takes_effect_once_and_in_order(
    actions: list[tuple[Any, ...]], crashes: list[bool], illnesses: list[bool]
) -> None:
    with town(crashes, illnesses, set()) as here:
        for name, *rest in actions:
            getattr(here, name)(*rest)
            _nothing_out_of_order(here)
        here.heal()
        here.replay()
        assert here.heard() == here.said
        assert not DeadLetter.objects.exists()
        assert Inbox.objects.count() == sum(map(len, here.said.values()))


@quickly
@given(st.lists(ACTIONS, max_size=25), LUCK, st.sets(st.tuples(st.sampled_from(KEYS), st.integers(1, 4)), min_size=1))
def test_what_nobody_can_handle_waits_with_those_behind_it_until_the_repair(
    actions: list[tuple[Any, ...]], crashes: list[bool], poison: set[tuple[str, int]]
) -> None:
    with town(crashes, [], poison) as here:
        for name, *rest in actions:
            getattr(here, name)(*rest)
            _nothing_out_of_order(here)
        here.heal()
        for key in KEYS:
            first = min((number for where, number in poison if where == key), default=len(here.said[key]) + 1)
            assert here.heard()[key] == [number for number in here.said[key] if number < first]
            assert here.waiting()[key] == [number for number in here.said[key] if number >= first]
        here.poison.clear()
        here.replay()
        assert here.heard() == here.said
        assert here.waiting() == {key: [] for key in KEYS}


def _nothing_out_of_order(here: Town) -> None:
    for key, numbers in here.heard().items():
        assert numbers == here.said[key][: len(numbers)]
