"""What happens to brokers, and to copies of those who listen: nothing taken is lost, and the order per key stays.

What is heard twice has the same `event_id`, and comes after its first time; inboxes drop it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis import Redis

from doran.contracts.events import LISTENERS, Envelope
from doran.kernel.bus import Bus, Said, Unavailable
from doran.kernel.bus import broker as brokers
from doran.kernel.bus.redis import RedisStreams
from doran.kernel.bus.shift import Shift
from tests.backends.test_bus import OTHER_LANE, Ear, ids, listening, read, said_of, say
from tests.buses import BROKERS, FORGETFUL, KEEPERS, PATIENCE, STREAMS, Backend, Servers, eventually

pytestmark = pytest.mark.judged
ROOT = Path(__file__).resolve().parents[2]
ROOMS = [f"room-{number}" for number in range(6)]


@pytest.fixture(params=BROKERS)
def backend(request: pytest.FixtureRequest, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Every kind of broker, whose server is well again afterwards. Who speaks knows that ai listens."""
    monkeypatch.setitem(LISTENERS, "ai", frozenset({"message.read"}))  # type: ignore[arg-type]
    made = servers.backend(request.param)
    assert made.server is not None
    yield made
    if not made.server.is_running:
        made.server.start()
    made.server.thaw()
    made.close()


class Speaker(threading.Thread):
    """Says numbered events in all rooms, as a relay does: what was not taken is said again, before what is newer."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(daemon=True)
        self._bus = bus
        self.taken: dict[str, list[str]] = {room: [] for room in ROOMS}
        self.refused = 0
        self._enough = threading.Event()

    @property
    def count(self) -> int:
        return sum(map(len, self.taken.values()))

    def run(self) -> None:
        number = 0
        while not self._enough.wait(0.002):
            number += 1
            self._say_until_taken([read(number, room) for room in ROOMS])

    def enough(self) -> dict[str, list[str]]:
        """Finish; all that was taken, by room, in order."""
        self._enough.set()
        self.join(4 * PATIENCE)
        assert not self.is_alive(), "the bus hangs"
        return self.taken

    def _say_until_taken(self, waiting: Sequence[Envelope]) -> None:
        while waiting:
            untaken = self._said(waiting)
            for one in waiting:
                if one.event_id not in untaken:
                    self.taken[one.key].append(one.event_id)
            waiting = [one for one in waiting if one.event_id in untaken]

    def _said(self, waiting: Sequence[Envelope]) -> frozenset[str]:
        try:
            return self._bus.publish(waiting)
        except Unavailable:
            self.refused += 1
            time.sleep(0.05)
            return frozenset(ids(waiting))


def first_times(heard: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """What was heard by room, in order, without repetitions."""
    rooms: dict[str, dict[str, None]] = {room: {} for room in ROOMS}
    for key, event_id in heard:
        rooms[key].setdefault(event_id)
    return {room: list(known) for room, known in rooms.items()}


def noted(ear: Ear) -> list[tuple[str, str]]:
    return [(one.key, one.event_id) for one in ear.heard]


def speaking(backend: Backend) -> tuple[Speaker, Ear]:
    """Somebody who says, and somebody who hears, each in a process of their own."""
    listener, publisher = backend.open(), backend.open(listeners=("ai",))
    ear = listening(listener, "ai", "message.read")
    listener.start()
    publisher.start()
    speaker = Speaker(publisher)
    speaker.start()
    eventually(lambda: len(ear.heard) > 30)
    return speaker, ear


def test_a_frozen_broker_hangs_nobody_and_loses_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "PATIENCE", 1.5)
    speaker, ear = speaking(backend)
    assert backend.server is not None
    backend.server.freeze()
    eventually(lambda: speaker.refused)
    with pytest.raises(Unavailable):
        backend.opened[1].look()
    backend.server.thaw()
    after = speaker.count
    eventually(lambda: speaker.count > after + 30, seconds=2 * PATIENCE)
    said = speaker.enough()
    eventually(lambda: first_times(noted(ear)) == said, seconds=2 * PATIENCE)


@pytest.mark.parametrize("backend", KEEPERS, indirect=True)
def test_a_broker_that_is_killed_under_load_has_what_it_took(backend: Backend) -> None:
    speaker, ear = speaking(backend)
    assert backend.server is not None
    time.sleep(3)  # RabbitMQ 3.10 keeps a queue over a kill -9 only some time after it was declared
    backend.server.stop()
    eventually(lambda: speaker.refused)
    backend.server.start()
    after = speaker.count
    eventually(lambda: speaker.count > after + 30, seconds=2 * PATIENCE)
    said = speaker.enough()
    eventually(lambda: first_times(noted(ear)) == said, seconds=2 * PATIENCE)


@pytest.mark.parametrize("backend", FORGETFUL, indirect=True)
def test_a_broker_that_comes_back_empty_is_furnished_anew(backend: Backend) -> None:
    listener, publisher = backend.open(), backend.open(listeners=("ai",))
    ear = listening(listener, "ai", "message.read")
    listener.start()
    publisher.start()
    first, second = read(1), read(2)
    say(publisher, first)
    eventually(lambda: ear.heard == [first])
    assert backend.server is not None
    backend.server.stop()
    with pytest.raises(Unavailable):
        publisher.publish([second])
    backend.server.start()
    eventually(lambda: _is_taken(publisher, second), seconds=2 * PATIENCE)
    eventually(lambda: second in ear.heard, seconds=2 * PATIENCE)


def test_what_is_said_before_anybody_ever_listened_is_kept_for_who_is_known_to_listen(backend: Backend) -> None:
    publisher = backend.open(listeners=("ai",))
    publisher.start()
    said = [read(1), read(2), read(1, OTHER_LANE)]
    say(publisher, *said)
    publisher.stop()
    listener = backend.open()
    ear = listening(listener, "ai", "message.read")
    listener.start()
    eventually(lambda: ear.by_key() == {"minji-junho": ids(said[:2]), OTHER_LANE: ids(said[2:])})


def _is_taken(bus: Bus, envelope: Envelope) -> bool:
    try:
        return not bus.publish([envelope])
    except Unavailable:
        return False


def test_a_copy_that_is_killed_leaves_its_lanes_to_the_other(backend: Backend, tmp_path: Path) -> None:
    notes = tmp_path / "heard"
    with notes.open("wb") as out:
        copy = subprocess.Popen(
            [sys.executable, "-m", "tests.backends.copy", backend.url, "ai", "message.read"],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, stdout=out, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        publisher, other = backend.open(listeners=("ai",)), backend.open()
        publisher.start()
        speaker = Speaker(publisher)
        speaker.start()
        eventually(lambda: notes.read_bytes().count(b"\n") > 30, seconds=2 * PATIENCE)
        ear = listening(other, "ai", "message.read")
        other.start()
        time.sleep(0.3)  # both are there now; who has which lane is the broker's affair
    finally:
        copy.send_signal(signal.SIGKILL)
        copy.wait()
    said = speaker.enough()
    by_copy = [(key, event_id) for key, event_id in (line.split() for line in notes.read_text().splitlines())]
    eventually(lambda: set(by_copy) | set(noted(ear)) == {(room, one) for room in said for one in said[room]})
    heard = first_times(noted(ear))
    for room, said_there in said.items():
        # Each heard one stretch without a gap, in order.
        for one in (first_times(by_copy)[room], heard[room]):
            if one:
                begin = said_there.index(one[0])
                assert said_there[begin : begin + len(one)] == one


def test_a_copy_that_leaves_hands_over_everything(backend: Backend) -> None:
    publisher, leaving, staying = backend.open(listeners=("ai",)), backend.open(), backend.open()
    ear = Ear()
    for bus in (leaving, staying):
        bus.subscribe("ai", {"message.read"}, ear)
    for bus in (publisher, leaving, staying):
        bus.start()
    speaker = Speaker(publisher)
    speaker.start()
    eventually(lambda: len(ear.heard) > 30)
    leaving.stop()
    after = speaker.count
    eventually(lambda: speaker.count > after + 30)
    said = speaker.enough()
    eventually(lambda: first_times(noted(ear)) == said)


def test_what_a_handler_cannot_take_now_comes_again_in_order(backend: Backend) -> None:
    bus = backend.open()
    ear = listening(bus, "ai", "message.read")
    bus.start()
    said = [read(1), read(2), read(3)]
    ear.sick_of = {said[0].event_id}
    say(bus, *said, read(1, OTHER_LANE))
    eventually(lambda: len(ear.heard) == 1)
    ear.sick_of = set()
    eventually(lambda: ear.by_key().get("minji-junho") == ids(said))


def test_who_hears_nothing_is_named_and_is_well_again_afterwards(backend: Backend) -> None:
    is_ill = threading.Event()
    is_ill.set()

    def concerns(_said: Said) -> bool:
        if is_ill.is_set():
            raise RuntimeError
        return True

    bus, ear = backend.open(), Ear()
    bus.subscribe("ai", {"message.read"}, ear, concerns)
    bus.start()
    say(bus, read(1))
    eventually(lambda: "for ai" in said_of(bus))
    assert ear.heard == []
    is_ill.clear()
    eventually(lambda: ear.heard)
    eventually(lambda: "for ai" not in said_of(bus))


def test_who_gets_no_further_is_named_and_hears_nothing_again_and_again(backend: Backend) -> None:
    said = [read(1), read(2), read(3)]
    is_ill = threading.Event()
    is_ill.set()

    def concerns(one: Said) -> bool:
        if one.data == said[1].data and is_ill.is_set():
            raise RuntimeError
        return True

    publisher = backend.open(listeners=("ai",))
    publisher.start()
    say(publisher, *said)
    bus, ear = backend.open(), Ear()
    bus.subscribe("ai", {"message.read"}, ear, concerns)
    bus.start()
    eventually(lambda: "for ai" in said_of(bus), seconds=2 * PATIENCE)
    assert ear.heard == said[:1]
    is_ill.clear()
    eventually(lambda: len(ear.heard) == len(said), seconds=2 * PATIENCE)
    assert ear.heard == said
    eventually(lambda: "for ai" not in said_of(bus))


@pytest.mark.parametrize("backend", STREAMS, indirect=True)
async def test_who_still_held_a_closed_line_does_not_open_it_again(backend: Backend) -> None:
    assert backend.server is not None
    with Redis.from_url(backend.server.url) as onlooker:
        before = {client["id"] for client in onlooker.client_list()}
        shift = Shift()
        line = await RedisStreams(backend.server.url, prefix="held").open((), shift)
        await line.close()
        with pytest.raises(ConnectionError):
            await line.look()
        with pytest.raises(ConnectionError):
            await line.publish([read(1)], set())
        shift.end()
        assert {client["id"] for client in onlooker.client_list()} <= before
        assert not onlooker.keys("held:events:*")
