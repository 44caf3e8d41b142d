"""Events on Redis Streams: for each producer and lane a stream, for each subscription a group on it.

A group is no more than a place in the stream, moved when events are handled. One copy of a service
at a time reads a lane: it holds the lane's lease, and reads on from the group's place. A copy that
lost its lease without noticing reads the same events in the same order, which inboxes drop; it
can never take some away from the one that came after it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis as Client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from doran.contracts.events import Envelope
from doran.kernel.bus import wire
from doran.kernel.bus.broker import Arrived, Ear, Subscription, producers, quietly
from doran.kernel.bus.shift import Shift
from doran.kernel.lanes import LANES, lane

log = logging.getLogger(__name__)

_DATA: Final = "data"
_ATTRIBUTES: Final = "ce_"  # as in CloudEvents' Kafka binding; there is none for Redis
_CHUNK: Final = 50  # events that are read at once
_SILENCE: Final = 4.0  # seconds until Redis counts as away; less than a lease
_BLOCK: Final = 250  # milliseconds that a read waits for something new; it is never cut off, so a stop waits for it
_LEASE: Final = 6.0  # seconds after which the lanes of a copy that died are free
_BEAT: Final = 1.5  # seconds between renewals
_TIDY_EVERY: Final = 5.0  # seconds
_UNREAD: Final = 1000  # events that a stream keeps when no group reads it
_PARKED: Final = 10_000  # unreadable things that are kept for an operator

_HOLD: Final = """
-- KEYS: the living copies, then a lease for each lane. ARGV: me, milliseconds.
-- Renews what I hold and takes what is free, up to a fair share. Answers the share, then my lanes.
local clock = redis.call('TIME')
local now, length = clock[1] * 1000 + math.floor(clock[2] / 1000), tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], now + length, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], 2 * length)
local lanes = #KEYS - 1
local share = math.ceil(lanes / redis.call('ZCARD', KEYS[1]))
local mine = {}
for lane = 1, lanes do
    if redis.call('GET', KEYS[lane + 1]) == ARGV[1] then
        redis.call('PEXPIRE', KEYS[lane + 1], length)
        table.insert(mine, lane - 1)
    end
end
for lane = 1, lanes do
    if #mine < share and redis.call('SET', KEYS[lane + 1], ARGV[1], 'NX', 'PX', length) then
        table.insert(mine, lane - 1)
    end
end
return {share, unpack(mine)}
"""

_RELEASE: Final = """
-- KEYS: the lease of a lane. ARGV: me.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

_TRIM: Final = """
-- KEYS: a stream. ARGV: how many events are kept where nobody reads.
-- Forgets what every group on it, also a stranger's, has behind it.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local function is_before(one, other)
    local time, number = string.match(one, '(%d+)-(%d+)')
    local other_time, other_number = string.match(other, '(%d+)-(%d+)')
    if time ~= other_time then return tonumber(time) < tonumber(other_time) end
    return tonumber(number) < tonumber(other_number)
end
local oldest
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local facts = {}
    for place = 1, #group, 2 do facts[group[place]] = group[place + 1] end
    local place = facts['last-delivered-id']
    if facts['pending'] > 0 then place = redis.call('XPENDING', KEYS[1], facts['name'])[2] end
    if not oldest or is_before(place, oldest) then oldest = place end
end
if oldest then return redis.call('XTRIM', KEYS[1], 'MINID', oldest) end
return redis.call('XTRIM', KEYS[1], 'MAXLEN', ARGV[1])
"""


class RedisStreams:
    """`prefix` begins every key. One server, or a pair behind one address; not a Redis Cluster."""

    def __init__(self, url: str, *, prefix: str) -> None:
        self._url, self._prefix = url, prefix

    async def ask(self) -> None:
        async with self._opened() as client:
            await client.ping()

    async def open(self, subscriptions: Collection[Subscription], shift: Shift) -> RedisLine:
        client = self._client()
        try:
            await self.declare(client, subscriptions)
            line = RedisLine(client, self, await _described(client))
            shift.begin(line.tidy(subscriptions, shift))
            return line
        except BaseException:
            await quietly(client.aclose())
            raise

    async def listen(self, ear: Ear, shift: Shift) -> None:
        async with self._opened() as client:
            await self.declare(client, [ear.subscription])
            ear.is_ready.set()
            await Copy(client, self, ear, shift).work()

    async def declare(self, client: Client, subscriptions: Collection[Subscription]) -> None:
        """A group on every stream that a subscription may have to read."""
        for one in subscriptions:
            for stream in self.streams(one):
                try:
                    await client.xgroup_create(stream, one.name, id="0", mkstream=True)
                except ResponseError as there:
                    if not str(there).startswith("BUSYGROUP"):
                        raise

    # -- names ------------------------------------------------------------------------------------

    def key(self, *words: object) -> str:
        return ":".join(map(str, (self._prefix, *words)))

    def stream(self, producer: str, number: int) -> str:
        return self.key("events", producer, number)

    def streams(self, subscription: Subscription | None = None, lanes: Iterable[int] = range(LANES)) -> list[str]:
        return [self.stream(producer, number) for producer in producers(subscription) for number in lanes]

    # -- connections ------------------------------------------------------------------------------

    def _client(self) -> Client:
        return Client.from_url(
            self._url,
            protocol=2,
            socket_timeout=_SILENCE,
            socket_connect_timeout=_SILENCE,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Client]:
        client = self._client()
        try:
            yield client
        finally:
            await quietly(client.aclose())


class RedisLine:
    """A connection by which events leave; while it is open, streams are kept short."""

    def __init__(self, client: Client, names: RedisStreams, described: str) -> None:
        self._client, self._names, self._described = client, names, described
        self._closed = asyncio.Event()

    async def publish(self, envelopes: Sequence[Envelope], taken: set[str]) -> None:
        """All in one transaction. A stream that refuses one event of a key refuses the later ones as well."""
        async with self._in_use() as client, client.pipeline(transaction=True) as batch:
            for envelope in envelopes:
                batch.xadd(self._names.stream(envelope.producer, lane(envelope.key)), _fields(envelope))
            answers = await batch.execute(raise_on_error=False)
        for envelope, answer in zip(envelopes, answers, strict=True):
            if not isinstance(answer, Exception):
                taken.add(envelope.event_id)

    async def look(self) -> str:
        async with self._in_use() as client:
            await client.ping()
        return self._described

    async def close(self) -> None:
        self._closed.set()
        await self._client.aclose()

    async def tidy(self, subscriptions: Collection[Subscription], shift: Shift) -> None:
        """Groups that somebody deleted come back, and what nobody needs goes."""
        async with self._in_use() as client:
            trim = client.register_script(_TRIM)
            while not shift.is_over:
                await self._names.declare(client, subscriptions)
                for stream in self._names.streams():
                    await trim(keys=[stream], args=[_UNREAD])
                await shift.rest(_TIDY_EVERY)

    @asynccontextmanager
    async def _in_use(self) -> AsyncIterator[Client]:
        """The client connects anew by itself, so who still used it when it was closed closes it again."""
        if self._closed.is_set():
            raise ConnectionError("the line is closed")
        try:
            yield self._client
        finally:
            if self._closed.is_set():
                await quietly(self._client.aclose())


class Copy:
    """This copy of a service: the lanes it holds, and what it reads from them."""

    def __init__(self, client: Client, names: RedisStreams, ear: Ear, shift: Shift) -> None:
        self._client, self._names, self._ear, self._shift = client, names, ear, shift
        self._me = uuid.uuid4().hex
        self._group = ear.subscription.name
        self._copies = names.key("copies", self._group)
        self._leases = [names.key("lane", self._group, number) for number in range(LANES)]
        self._hold, self._release = client.register_script(_HOLD), client.register_script(_RELEASE)
        self._lanes: dict[int, tuple[Shift, asyncio.Task[None]]] = {}

    async def work(self) -> None:
        """Until the shift ends, or a lane fails; raises why."""
        try:
            while not self._shift.is_over:
                await self._share_lanes()
                await self._shift.rest(_BEAT)
        finally:
            failed = await self._end(list(self._lanes))
            with suppress(RedisError, OSError):
                await self._give_back(range(LANES))
                await self._client.zrem(self._copies, self._me)
        for wrong in failed:
            raise wrong

    async def _share_lanes(self) -> None:
        answer = await self._hold(keys=[self._copies, *self._leases], args=[self._me, int(_LEASE * 1000)])
        share, mine = answer[0], answer[1:]
        await self._end([number for number in self._lanes if number not in mine])
        for number in mine[:share]:
            if number not in self._lanes:
                self._begin(number)
        for number in mine[share:]:
            await self._end([number])
            await self._give_back([number])

    def _begin(self, number: int) -> None:
        shift = Shift(self._shift)
        self._lanes[number] = shift, self._shift.begin(self._read(number, shift))

    async def _end(self, numbers: Collection[int]) -> list[BaseException]:
        """Finish what is handled in these lanes; why some of them had failed."""
        ending = [self._lanes.pop(number) for number in numbers if number in self._lanes]
        for shift, _ in ending:
            shift.end()
        return [wrong for _, task in ending if (wrong := await _ended(task))]

    async def _give_back(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            await self._release(keys=[self._leases[number]], args=[self._me])

    # -- one lane ---------------------------------------------------------------------------------

    async def _read(self, number: int, shift: Shift) -> None:
        streams = self._names.streams(self._ear.subscription, [number])
        places: dict[Any, Any] = {stream: await self._place(stream) for stream in streams}
        while not shift.is_over:
            found: Any = await self._client.xread(places, count=_CHUNK, block=_BLOCK)
            for name, entries in found:
                await self._handle(name.decode(), entries, places, shift)

    async def _handle(
        self, stream: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]], places: dict[Any, Any], shift: Shift
    ) -> None:
        """What was dealt with stays behind us, also where the next one cannot be."""
        before = places[stream]
        try:
            for place, fields in entries:
                headers = {name.decode("utf-8", "replace"): value for name, value in fields.items()}
                arrived = Arrived(headers, headers.pop(_DATA, b""), partial(self._park, fields))
                if not await self._ear.take(arrived, shift):
                    break
                places[stream] = place
        finally:
            if places[stream] != before:
                await self._client.xgroup_setid(stream, self._group, places[stream])

    async def _place(self, stream: str) -> bytes:
        for group in await self._client.xinfo_groups(stream):
            if group["name"] == self._group.encode():
                return bytes(group["last-delivered-id"])
        raise LookupError(f"{stream} has no group {self._group}")

    async def _park(self, fields: Mapping[bytes, bytes], reason: str) -> None:
        short = {name: value[: wire.LARGEST] for name, value in fields.items()} | {b"reason": reason.encode()}
        await self._client.xadd(self._names.key("parked"), short, maxlen=_PARKED)  # type: ignore[arg-type]


async def _ended(task: asyncio.Task[None]) -> BaseException | None:
    await asyncio.wait({task})
    return None if task.cancelled() else task.exception()


def _fields(envelope: Envelope) -> dict[Any, Any]:
    said = wire.headers(envelope, _ATTRIBUTES)
    return {**said, "content-type": wire.CONTENT_TYPE, _DATA: bytes(envelope.data)}


async def _described(client: Client) -> str:
    """A word on this Redis. Says once what it may lose."""
    facts = await client.info()
    if not facts.get("aof_enabled"):
        log.warning("this Redis keeps events in memory only: without its append-only file a crash loses them")
    if facts.get("maxmemory_policy", "noeviction").startswith("allkeys"):
        log.warning("this Redis throws away events when it is full: set maxmemory-policy to noeviction")
    return f"Redis {facts.get('redis_version', '')}"
