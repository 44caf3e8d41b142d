"""The broker is away while people talk: nobody notices, and afterwards it gets all that was acknowledged, in order."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import pytest

from doran.contracts.events import Envelope
from doran.kernel.bus import Concern, Handler, Said, Unavailable, every
from doran.kernel.bus.memory import MemoryBus
from tests.cast import Person
from tests.chat.conftest import Deployment
from tests.stage import eventually

pytestmark = pytest.mark.judged


class Broker:
    """A bus beyond the process, whose way there may be cut: before it hears, or before it can answer."""

    def __init__(self, *, away: str = "") -> None:
        self.away = away
        self.tries_in_vain = 0
        self._bus = MemoryBus()
        self.look = self._bus.look
        self.start, self.stop = self._bus.start, self._bus.stop

    def wants(self, said: Said) -> bool:
        """Always, as every broker: who listens behind it is not known here."""
        return True

    def subscribe(
        self, subscription: str, event_types: Collection[str], handler: Handler, concerns: Concern = every
    ) -> None:
        self._bus.subscribe(subscription, event_types, handler, concerns)

    def publish(self, envelopes: Sequence[Envelope]) -> frozenset[str]:
        if self.away:
            self.tries_in_vain += 1
        if self.away == "deaf":
            raise Unavailable
        untaken = self._bus.publish(envelopes)
        if self.away == "mute":
            raise Unavailable
        return untaken


Told = dict[str, list[str]]


async def talking(minji: Person, talks: Iterable[str], acknowledged: Told, *, count: int = 15) -> None:
    """Messages in all talks at once; what is acknowledged is noted in its order."""

    async def one(talk: str) -> None:
        for _ in range(count):
            acknowledged[talk].append((await minji.sends(talk, "자니?"))["id"])

    await asyncio.gather(*map(one, talks))


def created(told: Iterable[Envelope]) -> Told:
    """The messages of which a consumer with an inbox has heard, by talk, in its order."""
    heard: dict[str, Envelope] = {}
    for envelope in told:
        if envelope.event_type == "message.created":
            assert heard.setdefault(envelope.event_id, envelope) == envelope, "a repetition says the same"
    by_talk: Told = defaultdict(list)
    for envelope in heard.values():
        by_talk[envelope.key].append(json.loads(bytes(envelope.data))["message_id"])
    return by_talk


@pytest.mark.parametrize("away", ["deaf", "mute"])
async def test_what_was_acknowledged_while_the_broker_was_away_is_heard_once_and_in_order(
    deployment: Deployment, away: str
) -> None:
    acknowledged: Told = defaultdict(list)
    broker = Broker()
    async with deployment.day(bus=broker) as first:
        minji, *others = [await first.person(name) for name in ("민지", "준호", "소라", "하늘")]
        talks = [await minji.starts(other) for other in others]
        await talking(minji, talks, acknowledged)
        broker.away = away
        await talking(minji, talks, acknowledged)
        await eventually(lambda: broker.tries_in_vain)
    waited = len(first.rows("outbox"))

    broker = Broker(away=away)  # the process is another one, the broker still away
    async with deployment.day(bus=broker) as second:
        minji = second.again(minji)
        await talking(minji, talks, acknowledged)
        assert len(second.rows("outbox")) >= waited + 3 * 15
        await eventually(lambda: broker.tries_in_vain >= 3)
        broker.away = ""
        await talking(minji, talks, acknowledged)
        await eventually(lambda: second.rows("outbox") == [], seconds=20)

    assert [len(said) for said in acknowledged.values()] == [60, 60, 60]
    assert created([*first.told, *second.told]) == acknowledged
