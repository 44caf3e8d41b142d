"""How much one person may do; and that others do not suffer from it."""

from __future__ import annotations

import asyncio

import pytest

from doran.chat.shop import shop
from doran.kernel.limits.memory import MemoryLimiter
from tests.cast import Person
from tests.chat.conftest import Play
from tests.stage import eventually
from tests.wire import refuses


async def test_who_sends_too_much_waits(play: Play, minji: Person, junho: Person, talk: str) -> None:
    shop().sends = MemoryLimiter("sends_per_second", 1, burst=5, ticks=lambda: 0.0)
    for number in range(5):
        await minji.sends(talk, f"{number}", client_message_id=f"m-{number}")
    refused = await minji.tries_to_send(talk, "여섯", client_message_id="m-6")
    refuses(refused, 429, "too_many_requests")
    socket = await minji.opens(talk)
    socket.says(type="chat_message", content="일곱", client_message_id="m-7", ref=7)
    error = await socket.hears("error")
    assert (error["code"], error["ref"], error["client_message_id"]) == ("too_many_requests", 7, "m-7")
    assert 0 < error["retry_after_ms"] <= 2000
    assert len(play.rows("message")) == 5
    await junho.sends(talk, "나는 괜찮아")
    socket.says(type="ping")
    await socket.hears("pong")


@pytest.mark.settings(writer_queue=3)
async def test_a_full_queue_says_so_and_loses_nothing(play: Play, minji: Person, talk: str) -> None:
    """What was refused can be sent again with its id; what was acknowledged is there."""
    socket = await minji.opens(talk)
    for number in range(50):
        socket.says(type="chat_message", content=f"{number}", client_message_id=f"m-{number}", ref=number)
    heard = [frame for frame in [await socket.hears() for _ in range(51)] if frame["type"] != "conversation_history"]
    acked = [frame for frame in heard if frame["type"] == "ack"]
    refused = [frame for frame in heard if frame["type"] == "error"]
    assert len(acked) + len(refused) == 50
    assert {frame["code"] for frame in refused} <= {"unavailable"}
    assert len(play.rows("message")) == len(acked)
    for frame in refused:
        assert frame["retry_after_ms"] > 0
        await minji.sends(talk, f"{frame['ref']}", client_message_id=frame["client_message_id"])
    assert sorted(row["client_message_id"] for row in play.rows("message")) == sorted(f"m-{n}" for n in range(50))


async def test_a_flood_in_one_conversation_leaves_others_in_peace(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    other = await sora.starts(junho)
    flood, quiet = await minji.opens(talk), await sora.opens(other)
    for number in range(250):
        flood.says(type="chat_message", content=f"{number}")
    quiet.says(type="chat_message", content="저기요", ref="quiet")
    assert (await quiet.hears("ack"))["message"]["seq"] == 1
    await eventually(lambda: len(play.rows("message")) == 251)


@pytest.mark.settings(requests_per_second=1)
async def test_too_many_calls_are_refused_to_their_caller_alone(minji: Person, junho: Person) -> None:
    answers = await asyncio.gather(*(minji.asks("GET", "/api/chat/users/me/conversations/") for _ in range(12)))
    refused = [one for one in answers if one.status == 429]
    assert 1 <= len(refused) <= 8
    assert {one.status for one in answers} == {200, 429}
    refuses(refused[0], 429, "too_many_requests")
    await junho.gets("/api/chat/users/me/conversations/")
