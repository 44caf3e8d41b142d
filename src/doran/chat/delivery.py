"""From a stored message to both people's screens; and who says when nobody was there."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from django.db.models import F, QuerySet

from doran.chat import timelines, unread
from doran.chat.models import Conversation, Member, Message, Outbox
from doran.chat.reading import Readers
from doran.chat.storing import Sent
from doran.chat.typing import TypingSigns
from doran.chat.writer import DATABASE, Job, Outcome, Reply, Writer
from doran.contracts import events
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, faults, telemetry
from doran.realtime.fanout import Batch, Fanout

log = logging.getLogger(__name__)

Place = tuple[str, str]


class Delivering:
    """What happens on the event loop after each commit: acks first, then everybody's screens."""

    def __init__(self, fanout: Fanout, signs: TypingSigns, unheard: Unheard) -> None:
        self._fanout = fanout
        self._signs = signs
        self._unheard = unheard

    def tell(self, told: list[tuple[Reply, Outcome]], batch: Batch | None, committed_at: float) -> None:
        """The writer calls this once for each commit, in commit order."""
        faults.hit("send.after_commit_before_ack")
        for reply, outcome in told:
            _answer(reply, outcome)
        faults.hit("send.after_ack_before_fanout")
        self._fanout.publish([one for _, outcome in told for one in outcome.deliveries], batch)
        sent = [outcome.result for _, outcome in told if type(outcome.result) is Sent and outcome.result.is_new]
        for message in sent:
            self.follow(message.conversation_id, message.sender_id, message.recipient_id, is_alone=batch is None)
        telemetry.delivered(len(sent), time.perf_counter() - committed_at)

    def follow(self, conversation_id: str, author: str, recipient: str, *, is_alone: bool) -> None:
        """What comes of a message that was stored, but for showing it."""
        self._unheard.expect((conversation_id, recipient))
        if is_alone:  # else it ends when the step is shown
            self._signs.end(conversation_id, author)


def _answer(reply: Reply, outcome: Outcome) -> None:
    """One broken listener must not keep the others from hearing."""
    try:
        reply(outcome)
    except Exception:
        log.exception("an answer could not be given")


class Unheard:
    """Says `message.undelivered` when no device of the recipient acknowledged in time.

    The assistant has no devices and is not waited for. What waits is kept in memory, one entry for a person in a conversation; after a restart it is
    found again from the marks, so nothing is forgotten.
    """

    def __init__(self, *, writer: Writer, readers: Readers, seconds: float) -> None:
        self._writer = writer
        self._readers = readers
        self._seconds = seconds
        self._due: dict[Place, float] = {}
        self._blind = telemetry.Outage(log, "looking for undelivered messages failed; it is tried again")
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._due)

    def expect(self, place: Place) -> None:
        """A message for this person has come into this conversation."""
        if place[1] != ASSISTANT_ID and place not in self._due:
            self._due[place] = time.monotonic() + self._seconds

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self) -> None:
        remembers = False
        while True:
            remembers = remembers or await self._guarded(self.remember)
            await asyncio.sleep(min(1.0, max(0.02, self._seconds / 4)))
            await self._guarded(self._look)

    async def _guarded(self, step: Callable[[], object]) -> bool:
        """Take a step; say whether it succeeded."""
        try:
            await self._readers(step)
        except Exception as wrong:
            self._blind.goes_on(wrong)
            return False
        self._blind.is_over()
        return True

    def remember(self) -> None:
        """After a start, of this process or of another that is gone: everybody who has not heard yet. Any thread."""
        due = time.monotonic() + self._seconds
        for conversation_id, user_id in _behind().values_list("conversation_id", "user_id").iterator():
            self._due.setdefault((str(conversation_id), user_id), due)

    def _look(self) -> None:
        now = time.monotonic()
        for place in [place for place, due in list(self._due.items()) if due <= now]:
            del self._due[place]
            try:
                self._say(place)
            except Exception:
                self._expect_again(place)
                raise

    def _say(self, place: Place) -> None:
        if _behind().filter(conversation_id=place[0], user_id=place[1]).exists():
            self._writer.submit(Job(partial(say_undelivered, *place), partial(self._said, place)))

    def _said(self, place: Place, outcome: Outcome) -> None:
        if outcome.refusal is not None:
            log.warning("message.undelivered could not be said", extra={"code": outcome.refusal.code})
            self._expect_again(place)

    def _expect_again(self, place: Place) -> None:
        self._due.setdefault(place, time.monotonic() + self._seconds)


def _behind() -> QuerySet[Member]:
    rows = Member.objects.using(DATABASE).filter(
        last_delivered_seq__lt=F("conversation__last_seq"), undelivered_seq__lt=F("conversation__last_seq")
    )
    return rows.exclude(user_id=ASSISTANT_ID)


def say_undelivered(conversation_id: str, user_id: str) -> Outcome:
    """Add the event for everything up to now, once, unless all of it was deleted. In the writer's transaction."""
    conversation = Conversation.objects.using(DATABASE).select_for_update().get(id=conversation_id)
    me = Member.objects.using(DATABASE).get(conversation=conversation, user_id=user_id)
    last = conversation.last_seq
    if last <= max(me.last_delivered_seq, me.undelivered_seq) or not conversation.is_active:
        return Outcome()
    message = Message.objects.using(DATABASE).get(conversation=conversation, seq=last)
    me.undelivered_seq = last
    me.save(using=DATABASE, update_fields=["undelivered_seq"])
    lost = timelines.lost_of(conversation.id) if conversation.lost_seq else ()
    number = unread.of(me, last, lost)
    if not number:
        return Outcome()
    now = clock.rfc3339(clock.now())
    Outbox.add(
        events.MessageUndelivered(conversation_id, user_id, message.sender_id, str(message.id), last, number, now)
    )
    return Outcome()
