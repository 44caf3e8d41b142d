"""Plain messages are none of ai's business: it hears of no other than its own, and of every deletion."""

from __future__ import annotations

import asyncio

from doran.ai.models import Forgotten, Inbox
from doran.contracts import events
from doran.contracts.people import ASSISTANT_ID
from doran.kernel.inbox import Outcome
from doran.server.wiring import House
from tests.ai.conftest import home
from tests.ai.neighbours import Chat, Place, envelope
from tests.ai.privacy.conftest import allows, happens
from tests.cast import Person
from tests.servers.process import private
from tests.servers.redis import RedisServer


def message(place: Place, sender: str, recipient: str, number: int = 1) -> events.MessageCreated:
    return events.MessageCreated(
        message_id=f"m{number}", conversation_id=place.id, sender_id=sender, recipient_id=recipient, seq=number,
        content="강가에서 보자", message_type="text", created_at="2026-11-28T00:00:00.000000Z",
    )  # fmt: skip


async def marks() -> int:
    return await asyncio.to_thread(Inbox.objects.count)


async def test_what_two_people_say_leaves_no_trace_in_ai(
    house: House,
    minji: Person,
    junho: Person,
    talk: Place,
) -> None:
    for scope in ("off", "on_demand"):
        for one in (minji, junho):
            await allows(one, talk.id, scope)
        assert await happens(house, message(talk, minji.id, junho.id)) is Outcome.UNASKED
    assert await marks() == 0


async def test_what_may_be_searched_is_heard_from_the_moment_both_say_so(
    house: House,
    minji: Person,
    junho: Person,
    talk: Place,
) -> None:
    for one in (minji, junho):
        await allows(one, talk.id, "history")
    assert await happens(house, message(talk, minji.id, junho.id)) is Outcome.HANDLED
    await allows(junho, talk.id, "off")
    assert await happens(house, message(talk, minji.id, junho.id, 2)) is Outcome.UNASKED
    assert await marks() == 1


async def test_what_is_written_to_the_assistant_or_by_it_is_heard(
    house: House,
    chat: Chat,
    minji: Person,
) -> None:
    place = chat.starts(minji.id, ASSISTANT_ID)
    assert await happens(house, message(place, minji.id, ASSISTANT_ID)) is Outcome.HANDLED
    assert await happens(house, message(place, ASSISTANT_ID, minji.id, 2)) is Outcome.HANDLED


async def test_behind_a_broker_plain_messages_pass_and_hold_no_deletion_up() -> None:
    with private(RedisServer) as redis:
        async with home(bus=redis.url) as house:
            talk = Place("talk", ("minji", "junho"))
            gone = events.MessageDeleted("m1", talk.id, "minji", 1, 2, "2026-11-28T00:00:00.000000Z")
            said = [envelope(message(talk, "minji", "junho")), envelope(gone)]
            await asyncio.to_thread(house.bus.publish, said)
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(Forgotten.objects.exists):  # noqa: ASYNC110  another thread hears it
                    await asyncio.sleep(0.01)
            assert await marks() == 1


async def test_every_deletion_is_heard(house: House, minji: Person, talk: Place) -> None:
    deleted = events.MessageDeleted("m1", talk.id, minji.id, 1, 2, "2026-11-28T00:00:00.000000Z")
    assert await happens(house, deleted) is Outcome.HANDLED
