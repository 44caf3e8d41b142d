"""Events on RabbitMQ: one topic exchange, and for each subscription and lane a quorum queue.

The routing key is the event's type and lane. A lane's queue has a single active consumer, so that
one copy of a service at a time handles it, and the next takes over where that one left off. An
event is taken when every queue that wants it has it on a majority of its nodes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError
from aiormq import spec

from doran.contracts.events import Envelope
from doran.kernel.bus import wire
from doran.kernel.bus.broker import PATIENCE, Arrived, Ear, Subscription, quietly
from doran.kernel.bus.shift import Shift
from doran.kernel.lanes import LANES, lane

log = logging.getLogger(__name__)

_ATTRIBUTES: Final = "cloudEvents_"  # the prefix of CloudEvents' AMQP binding
_AHEAD: Final = 50  # events of one lane that may wait here
_PARKED: Final = 10_000  # unreadable things that are kept for an operator, as on Redis Streams
_UNLIMITED_SINCE: Final = 4  # this RabbitMQ gives up after 20 deliveries unless told not to

Arriving = asyncio.Queue[AbstractIncomingMessage]


class RabbitMQ:
    """`prefix` begins the name of everything that is declared."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._url = url
        self._exchange, self._parked = f"{prefix}.events", f"{prefix}.parked"
        self._prefix = prefix

    async def ask(self) -> None:
        async with self._opened() as connection, connection.channel():
            pass

    async def open(self, subscriptions: Collection[Subscription], shift: Shift) -> RabbitMQLine:
        connection = await aio_pika.connect(self._url)
        try:
            await self._declare(connection, subscriptions)
            channel = await connection.channel()
            channel.close_callbacks.add(lambda *_: shift.end())
            exchange = await channel.get_exchange(self._exchange, ensure=False)
        except BaseException:
            await quietly(connection.close())
            raise
        kept = frozenset[str]().union(*(one.event_types for one in subscriptions))
        return RabbitMQLine(connection, exchange, kept, shift)

    async def listen(self, ear: Ear, shift: Shift) -> None:
        async with self._opened() as connection:
            async with asyncio.timeout(PATIENCE):
                channel, arriving = await self._hear(connection, ear, shift)
            ear.is_ready.set()
            await shift.work(self._handle(channel, one, ear, shift) for one in arriving)

    async def _hear(
        self, connection: AbstractConnection, ear: Ear, shift: Shift
    ) -> tuple[AbstractChannel, list[Arriving]]:
        """The lanes of a subscription, each with what arrives in it."""
        await self._declare(connection, [ear.subscription])
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=_AHEAD)
        channel.close_callbacks.add(lambda *_: shift.end())
        under = await channel.get_underlay_channel()
        under.on_consumer_cancel_callbacks.add(lambda _: shift.end())  # somebody deleted a queue
        lanes: list[Arriving] = [asyncio.Queue() for _ in range(LANES)]
        for number, arriving in enumerate(lanes):
            queue = await channel.get_queue(self._queue(ear.subscription, number), ensure=False)
            await queue.consume(arriving.put)
        return channel, lanes

    async def _handle(self, channel: AbstractChannel, arriving: Arriving, ear: Ear, shift: Shift) -> None:
        while (message := await shift.until_over(arriving.get())) is not None:
            arrived = Arrived(message.headers, message.body, partial(self._park, channel, message))
            if await ear.take(arrived, shift):
                await message.ack()

    async def _park(self, channel: AbstractChannel, message: AbstractIncomingMessage, reason: str) -> None:
        headers = {**message.headers, "reason": reason}
        copy = Message(message.body[: wire.LARGEST], headers=headers, delivery_mode=DeliveryMode.PERSISTENT)
        answer = await channel.default_exchange.publish(copy, self._parked)
        if not isinstance(answer, spec.Basic.Ack):
            raise ConnectionError("nothing can be parked")

    # -- topology ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AbstractConnection]:
        connection = await aio_pika.connect(self._url)
        try:
            yield connection
        finally:
            await quietly(connection.close())

    async def _declare(self, connection: AbstractConnection, subscriptions: Collection[Subscription]) -> None:
        """Everything these need; nothing happens where it is there."""
        async with connection.channel() as channel:
            await channel.declare_exchange(self._exchange, ExchangeType.TOPIC, durable=True)
        await self._declare_queue(connection, self._parked, {"x-max-length": _PARKED, "x-overflow": "drop-head"})
        bindings = [(self._queue(one, number), one, number) for one in subscriptions for number in range(LANES)]
        for queue, _, _ in bindings:
            await self._declare_queue(connection, queue, {"x-single-active-consumer": True})
        async with connection.channel() as channel:
            under = await channel.get_underlay_channel()
            for queue, one, number in bindings:
                for event_type in one.event_types:
                    await under.queue_bind(queue, self._exchange, _routing_key(event_type, number), nowait=True)

    async def _declare_queue(self, connection: AbstractConnection, name: str, arguments: dict[str, Any]) -> None:
        """As we want it, or as an operator has made it before us.

        A policy that limits the queue must not make it lose its oldest events.
        """
        wanted = {"x-queue-type": "quorum", "x-overflow": "reject-publish", **arguments}
        if _major(connection) >= _UNLIMITED_SINCE:
            wanted["x-delivery-limit"] = -1
        try:
            async with connection.channel() as channel:
                await channel.declare_queue(name, durable=True, arguments=wanted)
        except ChannelPreconditionFailed:
            log.warning("a queue is there in another shape and is used as it is", extra={"queue": name})

    def _queue(self, subscription: Subscription, number: int) -> str:
        return f"{self._prefix}.{subscription.name}.{number}"


class RabbitMQLine:
    """A connection by which events leave. `kept` are the types for which a queue must be there."""

    def __init__(
        self, connection: AbstractConnection, exchange: AbstractExchange, kept: frozenset[str], shift: Shift
    ) -> None:
        self._connection, self._exchange, self._kept, self._shift = connection, exchange, kept, shift

    async def publish(self, envelopes: Sequence[Envelope], taken: set[str]) -> None:
        by_key: dict[str, list[Envelope]] = {}
        for envelope in envelopes:
            by_key.setdefault(envelope.key, []).append(envelope)
        async with asyncio.TaskGroup() as chains:
            for chain in by_key.values():
                chains.create_task(self._one_by_one(chain, taken))

    async def _one_by_one(self, chain: Sequence[Envelope], taken: set[str]) -> None:
        """An event leaves when the one before it was taken: a queue that refuses one must not get the next."""
        for envelope in chain:
            if not await self._is_taken(envelope):
                return
            taken.add(envelope.event_id)

    async def _is_taken(self, envelope: Envelope) -> bool:
        routing_key = _routing_key(envelope.event_type, lane(envelope.key))
        try:
            answer = await self._exchange.publish(_message(envelope), routing_key)
        except DeliveryError:
            return False
        if isinstance(answer, spec.Basic.Ack) or envelope.event_type not in self._kept:
            return True
        self._shift.end()  # a queue was deleted; it is declared with the next line
        return False

    async def look(self) -> str:
        async with self._connection.channel() as channel:
            await channel.get_exchange(self._exchange.name)
        return f"RabbitMQ {_version(self._connection)}"

    async def close(self) -> None:
        await self._connection.close()


def _routing_key(event_type: str, number: int) -> str:
    return f"{event_type}.{number}"


def _message(envelope: Envelope) -> Message:
    return Message(
        bytes(envelope.data),
        headers=dict(wire.headers(envelope, _ATTRIBUTES)),
        content_type=wire.CONTENT_TYPE,
        message_id=envelope.event_id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _version(connection: AbstractConnection) -> str:
    assert connection.transport is not None
    version = connection.transport.connection.server_properties.get("version", "")
    return version.decode() if isinstance(version, bytes) else str(version)


def _major(connection: AbstractConnection) -> int:
    first = _version(connection).partition(".")[0]
    return int(first) if first.isdigit() else 0
