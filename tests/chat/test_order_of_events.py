"""Whoever says something of a conversation holds its row: so the order of its events is that of its commits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.db import connections, transaction

from doran.chat.delivery import say_undelivered
from doran.chat.models import Conversation, Outbox
from doran.contracts import events
from tests.cast import Person
from tests.chat.conftest import Play
from tests.stage import eventually

Act = Callable[[Play, Person, Person, Any], Awaitable[Any]]


async def undelivered(play: Play, minji: Person, junho: Person, sent: Any) -> None:
    assert play.house.chat is not None
    run = play.house.chat.writer.run
    await asyncio.to_thread(run, lambda: say_undelivered(sent["conversation_id"], junho.id))


ACTS: dict[str, Act] = {
    "send": lambda play, minji, junho, sent: minji.sends(sent["conversation_id"], "또"),
    "answer": lambda play, minji, junho, sent: junho.sends(sent["conversation_id"], "응"),
    "edit": lambda play, minji, junho, sent: minji.edits(sent, "고친 말"),
    "delete": lambda play, minji, junho, sent: minji.deletes(sent),
    "read": lambda play, minji, junho, sent: junho.marks(sent),
    "delivered": lambda play, minji, junho, sent: junho.marks(sent, "delivered"),
    "undelivered": undelivered,
}


@pytest.mark.settings(undelivered_seconds=3600)
@pytest.mark.parametrize("name", ACTS)
async def test_who_comes_second_says_it_second(name: str, play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    await eventually(lambda: play.rows("outbox") == [])
    held, leave = threading.Event(), threading.Event()

    def another_process() -> None:
        with transaction.atomic(using="chat"):
            Conversation.objects.using("chat").select_for_update().get(id=talk)
            Outbox.add(events.MessageRead(talk, "somebody", 1, "first", "now"))
            held.set()
            leave.wait(20)
        connections["chat"].close()

    other = asyncio.create_task(asyncio.to_thread(another_process))
    await asyncio.to_thread(held.wait)
    before = len(play.told)
    second = asyncio.create_task(asyncio.wait_for(ACTS[name](play, minji, junho, sent), 30))
    _, waiting = await asyncio.wait([second], timeout=0.3)
    assert waiting, "it said something although somebody else held the row"
    leave.set()
    await asyncio.gather(other, second)
    assert play.house.chat is not None
    assert await asyncio.to_thread(play.house.chat.relay.drain)
    said = [one.event() for one in play.told[before:] if one.key == talk]
    assert len(said) >= 2
    assert getattr(said[0], "message_id", "") == "first"
