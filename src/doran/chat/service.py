"""Chat as the server plugs it in: what must run, in which order it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import permutations
from typing import Any

import msgspec
from django.db import transaction
from django.db.models import Max

from doran.chat import announcing, conversations, counters, opening, receipts, storing, timelines
from doran.chat.delivery import Delivering, Unheard
from doran.chat.models import Conversation, DeadLetter, EndedSession, Inbox, LastCommit, Outbox
from doran.chat.patience import Patience
from doran.chat.reading import Readers
from doran.chat.receipts import Claim
from doran.chat.screens import Screens
from doran.chat.sharing import Alone, Sharing, Together
from doran.chat.shop import Shop, identity, open_shop, shop
from doran.chat.socket import Frames
from doran.chat.statements import keep_pages_for_writing
from doran.chat.storing import Draft
from doran.chat.subscribers import SUBSCRIPTIONS
from doran.chat.typing import TypingSigns
from doran.chat.writer import DATABASE, Job, Outcome, Reply, Writer
from doran.contracts.errors import Problem
from doran.kernel import auth, clock, telemetry
from doran.kernel.auth import Principal
from doran.kernel.bus import Bus
from doran.kernel.config import Config
from doran.kernel.inbox import Consumer
from doran.kernel.limits import Limiter, limiter
from doran.kernel.outbox import Relay
from doran.realtime.connection import RESTARTING, Connection, Gateway, History
from doran.realtime.fanout import Batch, Step
from doran.realtime.hub import Delivery, Hub
from doran.realtime.transport import asgi

log = logging.getLogger(__name__)

SESSION = "session"
SWEEP_SECONDS = 1.0
_ROOM_SOON = 0.01  # seconds after which a full queue may have room
COME_BACKS_PER_SECOND = 500
VERIFIERS = 2  # threads for signatures, which never wait behind reads


class ChatService:
    """Everything of chat that lives as long as the process. Made and started on the event loop."""

    def __init__(
        self,
        config: Config,
        *,
        bus: Bus,
        is_one_of_many: bool,
        core_knows: Callable[[str], bool],
        outlived: Callable[[], None] = lambda: None,
    ) -> None:
        """`outlived` is called when the store gets another timeline while this process serves the one before."""
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._core_knows = core_knows
        self._outlived = outlived
        self.hub = Hub(sockets_per_person=config.sockets_per_person)
        self.sharing = self._sharing()
        self.presence = self.sharing.presence
        self.readers = Readers(config.readers, seconds=config.database_patience)
        self._verifiers = Readers(VERIFIERS, seconds=config.database_patience)
        self._signs = TypingSigns(self.hub, self.sharing.hints, seconds=config.typing_seconds)
        self._screens = Screens(self.hub, self.sharing.hints)
        self.sharing.hints.listen(SESSION, self._hear_of_session)
        self.writer = Writer(
            stores={Draft: storing.store, Claim: receipts.store},
            tell=self._tell,
            loop=self._loop,
            begin=keep_pages_for_writing,
            forget=counters.forget,
            after_commit=lambda: self.relay.wake(),
            patience=Patience(config.database_patience),
            account=self.sharing.account,
            batch=config.batch,
            limit=config.writer_queue,
        )
        self.unheard = Unheard(writer=self.writer, readers=self.readers, seconds=config.undelivered_seconds)
        self._delivering = Delivering(self.sharing.fanout, self._signs, self.unheard)
        apart = partial(self.writer.run, apart=True)
        self.relay = Relay(Outbox, bus, run_in_transaction=apart, shared=is_one_of_many, linger=0.05)
        self.consumer = Consumer("chat", SUBSCRIPTIONS, Inbox, DeadLetter, run_in_transaction=self._heard)
        self.gateway: Gateway | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self._unwatch: list[Callable[[], None]] = []
        self._settling: asyncio.Future[None] | None = None

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        mine = await self.readers(partial(identity, secret=secrets.token_bytes(32)))
        open_shop(
            Shop(
                config=self._config,
                writer=self.writer,
                shares=self.sharing.shares,
                epoch=mine.epoch,
                digest_key=bytes(mine.digest_key),
                sends=self._sends(),
                core_knows=self._core_knows,
                show=self._show,
                part=self._part,
                end_session=self._end_session,
                follow=self._follow,
                screens=self._screens,
            )
        )
        self._screens.begin((await self.readers(announcing.last))[0])
        await self.sharing.start(mine.epoch)
        self.gateway = self._gateway(mine.epoch)
        clock.begin_stamps()
        clock.follow(await self.readers(_last_activity))
        self.writer.start()
        self.unheard.start()
        await self._hear_of_ended_sessions()
        self._sweeping = asyncio.ensure_future(self._sweep())
        telemetry.watch_writer_queue(lambda: self.writer.waiting)
        self._unwatch = [telemetry.watch_memory(kind, count) for kind, count in self._kept().items()]

    def _kept(self) -> dict[str, Callable[[], int]]:
        """What may grow with users and conversations while the process lives."""
        return {
            "recipients waited for": lambda: len(self.unheard),
            "typing signs": lambda: len(self._signs),
            "reads waiting": lambda: self.readers.waiting,
            "people last seen": lambda: self.presence.remembered,
            "ids of conversations": lambda: conversations.parse_id.cache_info().currsize,
        }

    def _sharing(self) -> Sharing:
        if not self._config.many_chats:
            return Alone(self.hub)
        return Together(self._config, self.hub, shown=self._shown_here, missed=lambda: self.unheard.remember())

    def _sends(self) -> Limiter:
        config = self._config
        return limiter("sends_per_second", config.sends_per_second, burst=config.send_burst, exact=False)

    def _gateway(self, epoch: str) -> Gateway:
        frames = Frames(readers=self.readers, signs=self._signs, presence=self.presence)
        return Gateway(
            config=self._config,
            hub=self.hub,
            presence=self.presence,
            verify=self._verify,
            handlers=frames.handlers(),
            open_conversation=self._open_conversation,
            epoch=lambda: epoch,
            settled=self._settled,
        )

    async def drain(self) -> None:
        """Tell every socket to come back, not all at one moment, and let what was accepted be answered."""
        if self.gateway is None:
            return
        self.gateway.is_draining = True
        until = time.monotonic() + self._config.drain_seconds
        window = min(self._config.drain_seconds / 2, len(self.hub) / COME_BACKS_PER_SECOND)
        for connection in self.hub:
            self._loop.call_later(window * random.random(), connection.end, RESTARTING)  # noqa: S311
        while len(self.hub) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settled(), max(0.0, until - time.monotonic()))

    async def _settled(self) -> None:
        """Return when all that the writer has taken is answered. Who asks at the same moment waits together."""
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._settle())
        await asyncio.shield(self._settling)

    async def _settle(self) -> None:
        self._settling = None
        answered: asyncio.Future[Outcome] = self._loop.create_future()
        while not self._takes(Job(Outcome, answered.set_result)):
            if not self.writer.waiting:
                return  # it has stopped, and nothing is left
            await asyncio.sleep(_ROOM_SOON)
        await answered

    def _takes(self, job: Job) -> bool:
        try:
            self.writer.submit(job)
        except Problem:
            return False
        return True

    async def stop(self) -> None:
        for end in self._unwatch:
            end()
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait([self._sweeping])
        await self.unheard.stop()
        await asyncio.to_thread(self.writer.stop)
        await self.sharing.stop()
        open_shop(None)
        await asyncio.to_thread(self.readers.close)
        await asyncio.to_thread(self._verifiers.close)

    # -- sockets ---------------------------------------------------------------------------------

    def socket(
        self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send, *, conversation_id: str | None
    ) -> Coroutine[Any, Any, None]:
        """The life of one socket, to be awaited."""
        assert self.gateway is not None
        return asgi.serve(scope, receive, send, gateway=self.gateway, conversation_id=conversation_id)

    async def _open_conversation(self, connection: Connection) -> History:
        assert connection.conversation_id is not None
        return await self.readers(partial(opening.history, connection.conversation_id, connection.user_id))

    async def _verify(self, token: str) -> Principal:
        """A token seen before is known at once; a new one costs a signature, or a fetch of keys."""
        known = auth.remembered(token)
        return await self._verifiers(partial(auth.verify, token)) if known is None else known

    def _tell(self, told: list[tuple[Reply, Outcome]], batch: Batch | None, committed_at: float) -> None:
        self._delivering.tell(told, batch, committed_at)

    def _shown_here(self, step: Step) -> None:
        """What follows for this process from a commit of any."""
        for author in step.authors:
            self._signs.end(step.conversation_id, author)
        if step.is_shut:
            self._parted(step.conversation_id, step.people)

    def _heard(self, change: Callable[[], Any]) -> Any:
        """The change of an event, made by the writer."""
        return self.writer.run(lambda: self._showing(change))

    def _showing(self, change: Callable[[], Any]) -> Outcome:
        """What is shown of it comes in order with all that commits together."""
        self._to_show: list[Delivery] = []
        return Outcome(change(), deliveries=self._to_show)

    def _show(self, deliveries: Sequence[Delivery]) -> None:
        transaction.on_commit(partial(self._to_show.extend, deliveries), using=DATABASE)

    def _follow(self, *message: str) -> None:
        """What comes of a message that an event brought: conversation, author, recipient."""
        is_alone = not self.sharing.shares
        self._loop.call_soon_threadsafe(partial(self._delivering.follow, *message, is_alone=is_alone))

    def _part(self, conversation_id: str, both: Sequence[str]) -> None:
        self._loop.call_soon_threadsafe(self._parted, conversation_id, both)

    def _parted(self, conversation_id: str, both: Sequence[str]) -> None:
        for user_id, other in permutations(both, 2):
            self._signs.end(conversation_id, user_id)
            self.presence.hide(user_id, from_user_id=other)

    def _end_session(self, user_id: str, session_id: str | None) -> None:
        if session_id is not None:
            auth.ended.add(session_id)
        self._loop.call_soon_threadsafe(self._session_ended, user_id, session_id)

    def _session_ended(self, user_id: str, session_id: str | None) -> None:
        self.hub.end_session(user_id, session_id)
        self.sharing.hints.say(SESSION, msgspec.msgpack.encode((user_id, session_id)))

    def _hear_of_session(self, body: bytes) -> None:
        """Another process heard that it ended; whoever does not hear it here finds it stored."""
        user_id, session_id = msgspec.msgpack.decode(body, type=tuple[str, str | None])
        if session_id is not None:
            auth.ended.add(session_id)
        self.hub.end_session(user_id, session_id)

    # -- what time does --------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Sockets whose token expired or whose session ended are closed, whoever forgot to say so."""
        away = telemetry.Outage(log, "the sweep over sockets failed; it is tried again", "sockets are swept again")
        looked = time.monotonic()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                if time.monotonic() - looked >= self._config.revoked_poll_seconds:
                    looked = time.monotonic()
                    await self._hear_of_ended_sessions()
                    if self.sharing.shares:
                        clock.follow(await self.readers(_last_commit))
                    self._screens.announce(*await self.readers(announcing.last))
                    await self._look_at_timeline()
                self._close_outdated()
            except Exception as wrong:
                away.goes_on(wrong)
            else:
                away.is_over()

    def _close_outdated(self) -> None:
        now = time.time()
        for connection in self.hub:
            ended = connection.session_id is not None and auth.ended.has(connection.session_id)
            if ended or connection.expires_at <= now:
                connection.end(4401)

    async def _look_at_timeline(self) -> None:
        """Two timelines must not be served at once; `doran restored` cannot see a process that stood still."""
        if await self.readers(timelines.epoch) != shop().epoch:
            log.error("the store was put back while this process ran: it ends")
            self._outlived()

    async def _hear_of_ended_sessions(self) -> None:
        for session_id in await self.readers(_lately_ended):
            if not auth.ended.has(session_id):
                auth.ended.add(session_id)


def _last_activity() -> datetime | None:
    """Return when anything was last sent here, by whatever clock: what comes next is later."""
    return Conversation.objects.using(DATABASE).aggregate(last=Max("updated_at"))["last"]  # type: ignore[no-any-return]


def _last_commit() -> datetime | None:
    """Return the latest moment of any process's clock: all of them follow the one that is most ahead."""
    return LastCommit.objects.using(DATABASE).aggregate(last=Max("at"))["last"]  # type: ignore[no-any-return]


def _lately_ended() -> list[str]:
    """Sessions of which an access token may still look valid."""
    after = clock.now() - timedelta(seconds=auth.LONGEST_SECONDS + 2 * auth.ended.leeway)
    rows = EndedSession.objects.using(DATABASE).filter(ended_at__gt=after)
    return list(rows.values_list("session_id", flat=True))
