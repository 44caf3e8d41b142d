"""Every bus: an event reaches all who asked, in order per key, and is never called taken when it was not.

The bus in memory keeps nothing: taken means handled. A broker keeps: taken means that it will be.
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import pytest

from doran.contracts import events
from doran.contracts.events import Envelope
from doran.kernel.bus import Bus, Unavailable
from tests.buses import PATIENCE, Backend, Servers, eventually

pytestmark = pytest.mark.judged

OTHER_LANE = "junho-sora"  # of another lane than minji-junho, on every broker


def read(number: int, conversation: str = "minji-junho") -> Envelope:
    """Junho read up to this number."""
    event = events.MessageRead(
        conversation_id=conversation, user_id="junho", up_to_seq=number, message_id="m", timestamp="now"
    )
    return wrapped(event)


def created(number: int) -> Envelope:
    event = events.MessageCreated(
        message_id=f"m{number}", conversation_id="minji-junho", sender_id="minji", recipient_id="junho", seq=number,
        content="안녕", message_type="text", created_at="now",
    )  # fmt: skip
    return wrapped(event)


def wrapped(event: events.Event) -> Envelope:
    return Envelope(
        event_type=event.NAME,
        timestamp="2026-11-23T12:00:00.000000Z",
        data=msgspec.Raw(events.encode(event)),
        event_id=str(uuid.uuid4()),
        schema_version=1,
        producer="chat",
        key=event.key(),
        trace_id="d" * 32,
    )


class Ear:
    """A subscriber that remembers what it heard and falls ill on demand."""

    def __init__(self) -> None:
        self.heard: list[Envelope] = []
        self.sick_of: set[str] = set()

    def __call__(self, envelope: Envelope) -> None:
        if envelope.event_id in self.sick_of:
            raise RuntimeError
        self.heard.append(envelope)

    def by_key(self) -> dict[str, list[str]]:
        keys = defaultdict(list)
        for envelope in self.heard:
            keys[envelope.key].append(envelope.event_id)
        return dict(keys)


def listening(bus: Bus, name: str, *event_types: str) -> Ear:
    ear = Ear()
    bus.subscribe(name, event_types, ear)
    return ear


def ids(envelopes: Sequence[Envelope]) -> list[str]:
    return [envelope.event_id for envelope in envelopes]


def say(bus: Bus, *said: Envelope) -> None:
    """Publish what must be taken."""
    assert bus.publish(said) == frozenset()


def said_of(bus: Bus) -> str:
    """What it says of itself, well or not."""
    try:
        return bus.look()
    except Unavailable as wrong:
        return str(wrong)


def test_an_event_reaches_each_subscription_that_asked_and_nobody_else(bus: Bus) -> None:
    ai, core = listening(bus, "ai", "message.read"), listening(bus, "core", "message.read", "user.erased")
    other = listening(bus, "other", "message.created")
    bus.start()
    said = [read(1), wrapped(events.UserErased(user_id="sora", erased_at="now"))]
    say(bus, *said)
    eventually(lambda: ai.heard == said[:1])
    eventually(lambda: sorted(ids(core.heard)) == sorted(ids(said)))
    assert other.heard == []


def test_what_does_not_concern_a_subscription_is_not_handed_over(bus: Bus) -> None:
    ear = Ear()
    bus.subscribe("ai", {"message.read"}, ear, lambda said: said.key == OTHER_LANE)
    everything = listening(bus, "core", "message.read")
    bus.start()
    said = [read(1), read(2, OTHER_LANE), read(3), read(4, OTHER_LANE)]
    say(bus, *said)
    eventually(lambda: len(everything.heard) == 4 and len(ear.heard) == 2)
    assert ear.heard == [said[1], said[3]]


def test_a_name_can_be_taken_once(bus: Bus) -> None:
    ear = listening(bus, "ai", "message.read")
    with pytest.raises(ValueError, match="ai"):
        listening(bus, "ai", "message.created")
    bus.start()
    said = read(1)
    say(bus, said)
    eventually(lambda: ear.heard == [said])


def test_nobody_wants_what_nobody_asked_for_unless_strangers_may_read(bus: Bus, backend: Backend) -> None:
    listening(bus, "ai", "message.read")
    assert bus.wants(read(1))
    assert bus.wants(created(1)) is backend.keeps


def test_events_without_listeners_are_taken(bus: Bus) -> None:
    bus.start()
    say(bus, read(1))


def test_a_broker_takes_nothing_before_the_start(bus: Bus, backend: Backend) -> None:
    if backend.keeps:
        with pytest.raises(Unavailable):
            bus.publish([read(1)])
    else:
        say(bus, read(1))


def test_who_comes_late_hears_what_is_said_from_then_on(bus: Bus) -> None:
    bus.start()
    say(bus, read(1))
    ear = listening(bus, "ai", "message.read")
    said = [read(2), read(3)]
    say(bus, *said)
    eventually(lambda: ear.heard[-2:] == said)  # a broker may still have the first


def test_each_key_is_heard_in_order(bus: Bus) -> None:
    ear = listening(bus, "ai", "message.read")
    bus.start()
    said = [read(number, f"room-{number % 7}") for number in range(70)]
    for at in range(0, len(said), 10):
        say(bus, *said[at : at + 10])
    eventually(lambda: ear.by_key() == {f"room-{room}": ids(said[room::7]) for room in range(7)})


def test_taken_means_that_the_effect_is_there_or_will_be(backend: Backend) -> None:
    done: list[str] = []
    slow = threading.Event()

    def handler(envelope: Envelope) -> None:
        slow.wait(0.05)
        done.append(envelope.event_id)

    bus = backend.open()
    bus.subscribe("ai", {"message.read"}, handler)
    bus.start()
    said = [read(number, f"room-{number}") for number in range(5)]
    say(bus, *said)
    if backend.keeps:
        bus.stop()
        bus = backend.open()
        bus.subscribe("ai", {"message.read"}, handler)
        bus.start()
        eventually(lambda: set(done) == set(ids(said)))
    assert sorted(set(done)) == sorted(ids(said))


def test_an_event_that_was_not_handled_is_not_lost_and_later_ones_of_its_key_wait(bus: Bus) -> None:
    ear = listening(bus, "ai", "message.read")
    bus.start()
    said = [read(1), read(2), read(3), read(1, OTHER_LANE)]
    ear.sick_of = {said[1].event_id}
    untaken = bus.publish(said)
    eventually(lambda: sorted(ids(ear.heard)) == sorted(ids([said[0], said[3]])))
    ear.sick_of = set()
    say(bus, *(one for one in said if one.event_id in untaken))
    eventually(lambda: ear.by_key()["minji-junho"] == ids(said[:3]))


def test_in_memory_what_was_not_handled_was_not_taken(servers: Servers) -> None:
    bus = servers.backend("memory").open()
    ear = listening(bus, "ai", "message.read")
    bus.start()
    said = [read(1), read(2), read(3), read(1, "sora-minji")]
    ear.sick_of = {said[1].event_id}
    assert bus.publish(said) == {said[1].event_id, said[2].event_id}
    bus.stop()


def test_one_sick_subscriber_does_not_keep_an_event_from_the_others(bus: Bus) -> None:
    sick, well = listening(bus, "ai", "message.read"), listening(bus, "core", "message.read")
    bus.start()
    said = read(1)
    sick.sick_of = {said.event_id}
    bus.publish([said])
    eventually(lambda: well.heard == [said])
    assert sick.heard == []


def test_a_key_that_takes_long_does_not_stop_all_others(bus: Bus) -> None:
    others = threading.Event()
    waited: list[bool] = []

    def handler(envelope: Envelope) -> None:
        if envelope.key == "slow":
            waited.append(others.wait(PATIENCE))
        else:
            others.set()

    bus.subscribe("ai", {"message.read"}, handler)
    bus.start()
    bus.publish([read(1, "slow"), *(read(1, f"room-{number}") for number in range(50))])
    eventually(lambda: waited == [True])


def test_two_publishers_at_once_keep_their_own_order(bus: Bus) -> None:
    ear = listening(bus, "ai", "message.read")
    bus.start()
    said = {room: [read(number, room) for number in range(50)] for room in ("one", "two")}

    def publish(room: str) -> None:
        for envelope in said[room]:
            bus.publish([envelope])

    publishers = [threading.Thread(target=publish, args=(room,)) for room in said]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    eventually(lambda: ear.by_key() == {room: ids(envelopes) for room, envelopes in said.items()})


def test_a_key_is_never_in_two_hands_at_once(bus: Bus) -> None:
    inside = threading.Lock()
    alone: list[bool] = []

    def handler(envelope: Envelope) -> None:
        is_alone = inside.acquire(blocking=False)
        threading.Event().wait(0.002)
        if is_alone:
            inside.release()
        alone.append(is_alone)

    bus.subscribe("ai", {"message.read"}, handler)
    bus.start()
    publishers = [threading.Thread(target=lambda: [bus.publish([read(n)]) for n in range(15)]) for _ in range(3)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    eventually(lambda: alone == [True] * 45)


def test_what_is_under_way_is_finished_before_a_stop_and_nothing_is_taken_after(bus: Bus) -> None:
    entered, leave = threading.Event(), threading.Event()
    heard: list[str] = []

    def handler(envelope: Envelope) -> None:
        entered.set()
        leave.wait(PATIENCE)
        heard.append(envelope.event_id)

    bus.subscribe("ai", {"message.read"}, handler)
    bus.start()
    said, late = read(1), read(2)
    taken: list[frozenset[str]] = []
    publisher = threading.Thread(target=lambda: taken.append(bus.publish([said])))
    publisher.start()
    assert entered.wait(PATIENCE)
    leaving = threading.Timer(0.05, leave.set)
    leaving.start()
    bus.stop()
    publisher.join()
    assert (taken, heard) == ([frozenset()], [said.event_id])
    with pytest.raises(Unavailable):
        bus.publish([late])
    assert heard == [said.event_id]


def test_a_bus_can_be_started_again(bus: Bus) -> None:
    ear = listening(bus, "ai", "message.read")
    for number in (1, 2):
        bus.start()
        say(bus, read(number))
        eventually(lambda number=number: len(ear.heard) == number)
        bus.stop()
    assert len(ear.heard) == 2


def test_an_event_arrives_as_it_was_said(bus: Bus) -> None:
    ear = listening(bus, "ai", "message.read")
    bus.start()
    said = read(1)
    say(bus, said)
    eventually(lambda: ear.heard == [said])
    assert ear.heard[0].event() == said.event()


def test_a_bus_says_what_carries_it(bus: Bus) -> None:
    bus.start()
    assert bus.look()
