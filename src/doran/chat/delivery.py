"""From a stored message to both people's screens; and who says when nobody was there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor

from django.db.models import F, QuerySet

from doran.chat.models import Conversation, Member, Message, Outbox
from doran.chat.storing import Sent
from doran.chat.typing import TypingSigns
from doran.chat.views import unread_count
from doran.chat.writer import DATABASE, Job, Outcome, Reply, Writer
from doran.contracts import events
from doran.kernel import clock, faults, telemetry
from doran.realtime.fanout.memory import MemoryFanout

log = logging.getLogger(__name__)

Place = tuple[str, str]


class Delivering:
    """What happens on the event loop after each commit: acks first, then everybody's screens."""

    def __init__(self, fanout: MemoryFanout, signs: TypingSigns, unheard: Unheard) -> None:
        self._fanout = fanout
        self._signs = signs
        self._unheard = unheard

    def tell(self, told: list[tuple[Reply, Outcome]], committed_at: float) -> None:
        """The writer calls this once for each commit, in commit order."""
        faults.hit("send.after_commit_before_ack")
        for reply, outcome in told:
            _answer(reply, outcome)
        faults.hit("send.after_ack_before_fanout")
        self._fanout.publish([one for _, outcome in told for one in outcome.deliveries])
        sent = [outcome.result for _, outcome in told if type(outcome.result) is Sent and outcome.result.is_new]
        for message in sent:
            self._signs.end(message.conversation_id, message.sender_id)
            self._unheard.expect(message)
        telemetry.delivered(len(sent), time.perf_counter() - committed_at)


def _answer(reply: Reply, outcome: Outcome) -> None:
    """One broken listener must not keep the others from hearing."""
    try:
        reply(outcome)
    except Exception:
        log.exception("an answer could not be given")


class Unheard:
    """Says `message.undelivered` when no device of the recipient acknowledged in time.

    What waits is kept in memory, one entry for a person in a conversation; after a restart it is
    found again from the marks, so nothing is forgotten.
    """

    def __init__(self, *, writer: Writer, readers: Executor, seconds: float) -> None:
        self._writer = writer
        self._readers = readers
        self._seconds = seconds
        self._due: dict[Place, float] = {}
        self._task: asyncio.Task[None] | None = None

    def expect(self, sent: Sent) -> None:
        place = (sent.conversation_id, sent.recipient_id)
        if place not in self._due:
            self._due[place] = time.monotonic() + self._seconds

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        await self._guarded(self._remember)
        while True:
            await asyncio.sleep(min(1.0, max(0.02, self._seconds / 4)))
            await self._guarded(self._look)

    async def _guarded(self, step: Callable[[], object]) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._readers, step)
        except Exception:
            log.exception("looking for undelivered messages failed; it is tried again")

    def _remember(self) -> None:
        """After a start: everybody who has not heard yet."""
        due = time.monotonic() + self._seconds
        for conversation_id, user_id in _behind().values_list("conversation_id", "user_id").iterator():
            self._due.setdefault((str(conversation_id), user_id), due)

    def _look(self) -> None:
        now = time.monotonic()
        for place in [place for place, due in list(self._due.items()) if due <= now]:
            del self._due[place]
            if _behind().filter(conversation_id=place[0], user_id=place[1]).exists():
                self._writer.submit(Job(lambda place=place: say_undelivered(*place), _ignore))  # type: ignore[misc]


def _behind() -> QuerySet[Member]:
    rows = Member.objects.using(DATABASE).filter(
        last_delivered_seq__lt=F("conversation__last_seq"), undelivered_seq__lt=F("conversation__last_seq")
    )
    return rows


def say_undelivered(conversation_id: str, user_id: str) -> Outcome:
    """Add the event for everything up to now, once. In the writer's transaction."""
    conversation = Conversation.objects.using(DATABASE).select_for_update().get(id=conversation_id)
    me = Member.objects.using(DATABASE).get(conversation=conversation, user_id=user_id)
    last = conversation.last_seq
    if last <= max(me.last_delivered_seq, me.undelivered_seq) or not conversation.is_active:
        return Outcome()
    message = Message.objects.using(DATABASE).get(conversation=conversation, seq=last)
    me.undelivered_seq = last
    me.save(using=DATABASE, update_fields=["undelivered_seq"])
    unread = unread_count(conversation, me)
    now = clock.rfc3339(clock.now())
    Outbox.add(
        events.MessageUndelivered(conversation_id, user_id, message.sender_id, str(message.id), last, unread, now)
    )
    return Outcome()


def _ignore(outcome: Outcome) -> None:
    if outcome.refusal is not None:
        log.warning("message.undelivered could not be said", extra={"code": outcome.refusal.code})
