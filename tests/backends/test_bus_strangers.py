"""Others at the same broker: who reads our events with nothing of ours, and who writes what nobody can read."""

from __future__ import annotations

import asyncio
import json
import re
import select
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aio_pika
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from redis import Redis

from doran.contracts.events import Envelope
from doran.kernel import telemetry
from doran.kernel.bus import rabbitmq
from doran.kernel.bus import redis as streams
from doran.kernel.lanes import lane
from tests.backends.test_bus import listening, read, said_of, say
from tests.buses import BROKERS, STREAMS, Backend, eventually, one

ROOT = Path(__file__).resolve().parents[2]
GARBAGE = b"\xff\x00 this is nobody's event"
Headers = dict[str, str]


class Stranger:
    """A client of the broker that knows no more than the guide says."""

    def __init__(self, backend: Backend) -> None:
        parts = urlsplit(backend.url)
        self.server = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self.servers = parts.netloc
        self.prefix = parse_qs(parts.query)["prefix"][0]

    def writes(self, key: str, body: bytes) -> None:
        """Into the lane of this key, where events of chat are."""
        raise NotImplementedError

    def parked(self) -> list[tuple[bytes, str]]:
        """What was put aside, with its reason."""
        raise NotImplementedError

    def reads(self) -> tuple[Headers, bytes]:
        """The first event of chat, as a CloudEvents reader would take it: attributes and data."""
        raise NotImplementedError


class RabbitMQStranger(Stranger):
    def writes(self, key: str, body: bytes) -> None:
        async def write() -> None:
            async with await aio_pika.connect(self.server) as connection:
                exchange = await (await connection.channel()).get_exchange(f"{self.prefix}.events")
                await exchange.publish(aio_pika.Message(body), f"message.read.{lane(key)}")

        asyncio.run(write())

    def parked(self) -> list[tuple[bytes, str]]:
        async def look() -> list[tuple[bytes, str]]:
            async with await aio_pika.connect(self.server) as connection:
                queue = await (await connection.channel()).get_queue(f"{self.prefix}.parked")
                message = await queue.get(fail=False)
                return [(message.body, str(message.headers["reason"]))] if message else []

        return asyncio.run(look())

    def takes_all_parked(self) -> list[bytes]:
        async def take() -> list[bytes]:
            async with await aio_pika.connect(self.server) as connection:
                queue = await (await connection.channel()).get_queue(f"{self.prefix}.parked")
                found = []
                while message := await queue.get(fail=False, no_ack=True):
                    found.append(message.body)
                return found

        return asyncio.run(take())

    def reads(self) -> tuple[Headers, bytes]:
        async def look() -> tuple[Headers, bytes]:
            async with await aio_pika.connect(self.server) as connection:
                queue = await (await connection.channel()).get_queue(f"{self.prefix}.stranger.{lane('minji-junho')}")
                async with queue.iterator(timeout=5) as messages:
                    message = await anext(messages)
                said = {name: str(value) for name, value in message.headers.items()}
                return _attributes(said, "cloudEvents_") | {"datacontenttype": message.content_type or ""}, message.body

        return asyncio.run(look())


class KafkaStranger(Stranger):
    def writes(self, key: str, body: bytes) -> None:
        async def write() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.servers) as producer:
                await producer.send_and_wait(f"{self.prefix}.chat", body, key=key.encode())

        asyncio.run(write())

    def parked(self) -> list[tuple[bytes, str]]:
        return [(value, headers["reason"]) for headers, value in asyncio.run(self._all("parked"))]

    def reads(self) -> tuple[Headers, bytes]:
        headers, value = asyncio.run(self._all("chat"))[0]
        return _attributes(headers, "ce_") | {"datacontenttype": headers["content-type"]}, value

    async def _all(self, topic: str) -> list[tuple[Headers, bytes]]:
        consumer = AIOKafkaConsumer(
            f"{self.prefix}.{topic}", bootstrap_servers=self.servers, auto_offset_reset="earliest"
        )
        async with consumer:
            found = await consumer.getmany(timeout_ms=1500)
        records = [record for some in found.values() for record in some]
        return [({name: value.decode() for name, value in one.headers}, one.value) for one in records]


class RedisStranger(Stranger):
    def writes(self, key: str, body: bytes) -> None:
        with Redis.from_url(self.server) as client:
            client.xadd(f"{self.prefix}:events:chat:{lane(key)}", {b"data": body})

    def parked(self) -> list[tuple[bytes, str]]:
        with Redis.from_url(self.server) as client:
            found = client.xrange(f"{self.prefix}:parked")
        return [(fields[b"data"], fields[b"reason"].decode()) for _, fields in found]

    def reads(self) -> tuple[Headers, bytes]:
        with Redis.from_url(self.server) as client:
            _, fields = client.xrange(f"{self.prefix}:events:chat:{lane('minji-junho')}")[0]
        said = {name.decode(): value.decode() for name, value in fields.items()}
        return _attributes(said, "ce_") | {"datacontenttype": said["content-type"]}, fields[b"data"]


STRANGERS: dict[str, type[Stranger]] = {"amqp": RabbitMQStranger, "kafka": KafkaStranger, "redis": RedisStranger}


def _attributes(headers: Headers, prefix: str) -> Headers:
    return {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}


def stranger(backend: Backend) -> Stranger:
    return STRANGERS[backend.url.partition(":")[0]](backend)


@pytest.mark.parametrize("backend", BROKERS, indirect=True)
def test_what_nobody_can_read_is_put_aside_and_holds_up_nobody(backend: Backend) -> None:
    bus = backend.open()
    ear = listening(bus, "ai", "message.read")
    bus.start()
    first, second = read(1), read(2)
    say(bus, first)
    other = stranger(backend)
    other.writes("minji-junho", GARBAGE)
    say(bus, second)
    eventually(lambda: ear.heard == [first, second])
    body, reason = eventually(other.parked)[0]
    assert body == GARBAGE
    assert "missing or malformed" in reason
    assert b'doran_bus_parked_total{subscription="ai"}' in telemetry.render()[0]


@pytest.mark.parametrize("backend", [one("RabbitMQ")], indirect=True)
def test_of_what_nobody_can_read_rabbitmq_keeps_the_newest(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "_PARKED", 2)
    bus = backend.open()
    ear = listening(bus, "ai", "message.read")
    bus.start()
    say(bus, read(1))
    other = stranger(backend)
    for number in range(5):
        other.writes("minji-junho", b"%d %s" % (number, GARBAGE))
    say(bus, read(2))
    eventually(lambda: len(ear.heard) == 2)
    assert isinstance(other, RabbitMQStranger)
    assert [body[:1] for body in other.takes_all_parked()] == [b"3", b"4"]


@pytest.mark.parametrize("backend", STREAMS, indirect=True)
def test_what_cannot_be_put_aside_yet_is_waited_for_and_repeats_nothing(backend: Backend) -> None:
    publisher = backend.open(listeners=("ai",))
    publisher.start()
    first, second = read(1), read(2)
    say(publisher, first)
    other = stranger(backend)
    other.writes("minji-junho", GARBAGE)
    say(publisher, second)
    with Redis.from_url(other.server) as client:
        client.set(f"{other.prefix}:parked", "of another kind, so that nothing can be added")
        bus = backend.open()
        ear = listening(bus, "ai", "message.read")
        bus.start()
        eventually(lambda: "for ai" in said_of(bus))
        assert ear.heard == [first]
        client.delete(f"{other.prefix}:parked")
    eventually(lambda: len(ear.heard) == 2)
    assert ear.heard == [first, second]
    assert [body for body, _ in other.parked()] == [GARBAGE]


@pytest.mark.parametrize("backend", BROKERS, indirect=True)
def test_a_stranger_reads_a_cloud_event(backend: Backend) -> None:
    bus = backend.open()
    bus.subscribe("stranger", {"message.read"}, _refuse)
    bus.start()
    said = read(1)
    say(bus, said)
    bus.stop()
    attributes, data = stranger(backend).reads()
    assert attributes == {
        "specversion": "1.0", "id": said.event_id, "source": "chat", "type": "message.read",
        "time": said.timestamp, "subject": said.key, "partitionkey": said.key, "datacontenttype": "application/json",
    }  # fmt: skip
    assert json.loads(data)["conversation_id"] == said.key


def _refuse(_envelope: Envelope) -> None:
    raise RuntimeError


@pytest.mark.parametrize("backend", [one("RabbitMQ")], indirect=True)
def test_the_consumer_of_the_guide_works_as_pasted(backend: Backend) -> None:
    bus = backend.open()
    bus.start()
    eventually(bus.look)
    other = stranger(backend)
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/brokers.md").read_text("utf-8"), re.DOTALL)
    program = program.replace("amqp://guest:guest@127.0.0.1:5672/", other.server).replace("my-shop", other.prefix)
    program = program.replace("doran.events", f"{other.prefix}.events").replace("message.created", "message.read")
    with subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True) as reader:
        try:
            said = eventually(lambda: _heard_by(reader, bus))
        finally:
            reader.kill()
    assert "minji-junho" in said


def _heard_by(reader: subprocess.Popen[str], bus: object) -> str:
    """A queue that is not there yet gets nothing, so it is said until it is heard."""
    say(bus, read(1))  # type: ignore[arg-type]
    assert reader.stdout is not None
    return reader.stdout.readline() if select.select([reader.stdout], [], [], 0.2)[0] else ""


@pytest.mark.parametrize("backend", [one("Redis")], indirect=True)
def test_redis_forgets_what_everybody_has_read_and_nothing_else(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_TIDY_EVERY", 0.05)
    bus = backend.open()
    ear = listening(bus, "ai", "message.read")
    bus.start()
    said = [read(number) for number in range(10)]
    say(bus, *said)
    eventually(lambda: ear.heard == said)
    name = f"{stranger(backend).prefix}:events:chat:{lane('minji-junho')}"
    with Redis.from_url(stranger(backend).server) as client:
        eventually(lambda: client.xlen(name) == 1)  # the place of the group itself
        client.xgroup_create(name, "shop", id="$")
        more = [read(number) for number in range(10)]
        say(bus, *more)
        eventually(lambda: ear.heard == said + more)
        taken = client.xreadgroup("shop", "one", {name: ">"}, count=4)[0][1]
        assert client.xlen(name) >= 10
        client.xack(name, "shop", *(place for place, _ in taken[:2]))
        eventually(lambda: client.xlen(name) == 8)
