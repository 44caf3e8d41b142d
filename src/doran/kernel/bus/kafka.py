"""Events on Kafka: a topic for each producer, an event's key as its key, a consumer group for each subscription.

A partition is a lane: whoever has it handles it in order and commits its place by hand. What one
call of `publish` has for a partition is one batch, which the broker takes whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError, IllegalGenerationError, RebalanceInProgressError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord

from doran.contracts.events import Envelope
from doran.kernel.bus import wire
from doran.kernel.bus.broker import PATIENCE, Arrived, Ear, Subscription, producers, quietly
from doran.kernel.bus.shift import Shift

_ATTRIBUTES: Final = "ce_"  # the prefix of CloudEvents' Kafka binding
_CHUNK: Final = 50  # events that are read at once
_SILENCE: Final = 4000  # milliseconds until a broker counts as away
_NEVER: Final = 2**31 - 1  # a handler may take long; heartbeats tell whether its process lives
_PARKED: Final = "parked"
_MADE: Final = (0, 36)  # made now, or there already

Park = Callable[[ConsumerRecord, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Topics:
    """How topics are made where they are not there yet; those that are stay as they are.

    `replication` 0 means three copies, or as many as there are brokers.
    """

    partitions: int = 8
    replication: int = 0
    retention_hours: int = 168


class Kafka:
    """`prefix` begins the name of every topic and group; `client` is how every connection is made.

    A copy of a service that is silent for `session_seconds` loses its partitions to the others.
    """

    def __init__(
        self, client: Mapping[str, Any], *, prefix: str, topics: Topics, session_seconds: int, idempotence: bool
    ) -> None:
        self._client = {"request_timeout_ms": _SILENCE, **client}
        self._prefix, self._topics, self._idempotence = prefix, topics, idempotence
        self._session = 1000 * session_seconds

    async def ask(self) -> None:
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
        finally:
            await quietly(admin.close())

    async def open(self, _subscriptions: Collection[Subscription], _shift: Shift) -> KafkaLine:
        await self._declare()
        producer = self._producer()
        try:
            await producer.start()
        except BaseException:
            await quietly(producer.stop())
            raise
        return KafkaLine(producer, self._topic)

    async def listen(self, ear: Ear, shift: Shift) -> None:
        await self._declare()
        consumer = self._consumer(ear.subscription.name)
        lanes = Lanes(consumer, ear, shift, self._park)
        try:
            await consumer.start()
            consumer.subscribe([self._topic(name) for name in producers(ear.subscription)], listener=lanes)
            ear.is_ready.set()
            await shift.over()
        finally:
            await lanes.end()
            await quietly(consumer.stop())
        lanes.raise_what_failed()

    def _consumer(self, name: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            # Joining a group takes as long as its slowest member.
            **{**self._client, "request_timeout_ms": self._session + 2 * _SILENCE},
            group_id=self._topic(name),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self._session,
            heartbeat_interval_ms=self._session // 3,
            max_poll_interval_ms=_NEVER,
        )

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._client, acks="all", enable_idempotence=self._idempotence, max_batch_size=wire.LARGEST
        )

    async def _park(self, record: ConsumerRecord, reason: str) -> None:
        headers = [*record.headers, ("reason", reason.encode())]
        async with self._producer() as producer:
            value = (record.value or b"")[: wire.LARGEST]
            await producer.send_and_wait(self._topic(_PARKED), value, key=record.key, headers=headers)

    # -- topology ---------------------------------------------------------------------------------

    async def _declare(self) -> None:
        """Make the topics that are missing."""
        admin = AIOKafkaAdminClient(**self._client)
        try:
            await admin.start()
            wanted = {self._topic(name) for name in (*producers(), _PARKED)}
            if missing := wanted - set(await admin.list_topics()):
                await self._make(admin, sorted(missing))
        finally:
            await quietly(admin.close())

    async def _make(self, admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
        brokers = len((await admin.describe_cluster())["brokers"])
        copies = self._topics.replication or min(3, brokers)
        config = {"retention.ms": str(self._topics.retention_hours * 3_600_000)}
        topics = [NewTopic(name, self._topics.partitions, copies, topic_configs=config) for name in names]
        answer = await admin.create_topics(topics)
        for name, code, *_ in answer.topic_errors:
            if code not in _MADE:
                raise ConnectionError(f"topic {name} cannot be made: error {code}")

    def _topic(self, name: str) -> str:
        return f"{self._prefix}.{name}"


class KafkaLine:
    """A producer by which events leave."""

    def __init__(self, producer: AIOKafkaProducer, topic: Callable[[str], str]) -> None:
        self._producer, self._topic = producer, topic
        self._partition = DefaultPartitioner()

    async def publish(self, envelopes: Sequence[Envelope], taken: set[str]) -> None:
        by_place: dict[TopicPartition, deque[Envelope]] = {}
        for envelope in envelopes:
            by_place.setdefault(await self._place(envelope), deque()).append(envelope)
        answers = await asyncio.gather(
            *(self._in_order(place, waiting, taken) for place, waiting in by_place.items()), return_exceptions=True
        )
        for wrong in answers:
            if wrong is not None:
                raise wrong

    async def _place(self, envelope: Envelope) -> TopicPartition:
        topic = self._topic(envelope.producer)
        partitions = sorted(await self._producer.partitions_for(topic))
        return TopicPartition(topic, self._partition(envelope.key.encode(), partitions, partitions))

    async def _in_order(self, place: TopicPartition, waiting: deque[Envelope], taken: set[str]) -> None:
        """A batch leaves when the one before it was taken."""
        while waiting:
            batch, packed = self._producer.create_batch(), []
            while waiting and batch.append(**_record(waiting[0])) is not None:
                packed.append(waiting.popleft().event_id)
            await (await self._producer.send_batch(batch, place.topic, partition=place.partition))
            taken.update(packed)

    async def look(self) -> str:
        await self._producer.client.fetch_all_metadata()
        return "Kafka"

    async def close(self) -> None:
        await self._producer.stop()


class Lanes(ConsumerRebalanceListener):  # type: ignore[misc]  # untyped
    """The partitions this copy of a service has now: each is read, handled and committed by itself."""

    def __init__(self, consumer: AIOKafkaConsumer, ear: Ear, outer: Shift, park: Park) -> None:
        self._consumer, self._ear, self._outer, self._park = consumer, ear, outer, park
        self._shift = Shift(outer)
        self._tasks: list[asyncio.Task[None]] = []

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._shift = Shift(self._outer)
        self._tasks = [self._outer.begin(self._read(place, self._shift)) for place in assigned]

    async def on_partitions_revoked(self, _revoked: Collection[TopicPartition]) -> None:
        await self.end()

    async def end(self) -> None:
        """Finish what is handled in every partition, and commit it."""
        self._shift.end()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def raise_what_failed(self) -> None:
        for task in self._tasks:
            task.result()

    async def _read(self, place: TopicPartition, shift: Shift) -> None:
        reading = partial(self._consumer.getmany, place, timeout_ms=1000, max_records=_CHUNK)
        while (found := await shift.until_over(reading())) is not None:
            await self._handle(place, found.get(place, ()), shift)

    async def _handle(self, place: TopicPartition, records: Sequence[ConsumerRecord], shift: Shift) -> None:
        """What was dealt with is committed, also where the next one cannot be."""
        handled = None
        try:
            for record in records:
                arrived = Arrived(dict(record.headers), record.value or b"", partial(self._park, record))
                if not await self._ear.take(arrived, shift):
                    break
                handled = record.offset
        finally:
            if handled is not None:
                await self._commit(place, handled + 1)

    async def _commit(self, place: TopicPartition, offset: int) -> None:
        """Where the partition has another owner by now, that one repeats what is not committed."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._consumer.commit({place: offset})
        except (CommitFailedError, IllegalGenerationError, RebalanceInProgressError):
            pass


def _record(envelope: Envelope) -> dict[str, Any]:
    said = {**wire.headers(envelope, _ATTRIBUTES), "content-type": wire.CONTENT_TYPE}
    return {
        "key": envelope.key.encode(),
        "value": bytes(envelope.data),
        "headers": [(name, value.encode()) for name, value in said.items()],
        "timestamp": int(datetime.fromisoformat(envelope.timestamp).timestamp() * 1000),
    }
