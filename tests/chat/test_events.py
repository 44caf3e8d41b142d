"""What chat says to others, with the change or not at all; and what it hears from core."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from doran.contracts import events
from doran.contracts.errors import Problem
from doran.kernel import clock, faults
from tests.cast import Person
from tests.chat.conftest import Deployment, Play, envelope
from tests.stage import eventually
from tests.wire import refuses


def now() -> str:
    return clock.rfc3339(clock.now())


# -- said ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_socket", [False, True])
async def test_a_sent_message_is_said(play: Play, minji: Person, junho: Person, talk: str, by_socket: bool) -> None:
    if by_socket:
        socket = await minji.opens(talk)
        socket.says(type="chat_message", content="안녕", client_message_id="hello-1")
        sent = (await socket.hears("ack"))["message"]
    else:
        sent = await minji.sends(talk, "안녕", client_message_id="hello-1")
    await eventually(lambda: play.said("message.created"))
    assert play.said("message.created") == [{
        "message_id": sent["id"], "conversation_id": talk, "sender_id": minji.id, "recipient_id": junho.id, "seq": 1,
        "content": "안녕", "message_type": "text", "created_at": sent["created_at"],
        "client_message_id": "hello-1",
    }]  # fmt: skip
    event = next(one for one in play.told if one.event_type == "message.created")
    assert (event.key, event.producer, event.schema_version) == (talk, "chat", 1)
    assert event.timestamp.endswith("Z")


async def test_a_new_conversation_is_said_once(play: Play, minji: Person, junho: Person, talk: str) -> None:
    await junho.starts(minji)
    await minji.sends(talk, "안녕")
    await eventually(lambda: play.said("message.created"))
    assert [{**one, "created_at": ""} for one in play.said("conversation.created")] == [
        {"conversation_id": talk, "participant1_id": minji.id, "participant2_id": junho.id, "created_at": ""},
    ]  # fmt: skip


async def test_a_conversations_events_come_in_the_order_of_its_changes(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    socket = await minji.opens(talk)
    for number in range(30):
        socket.says(type="chat_message", content=f"{number}")
    for _ in range(30):
        last = (await socket.hears("ack"))["message"]
    await junho.marks(last)
    await eventually(lambda: play.said("message.read"))
    assert [one["seq"] for one in play.said("message.created")] == list(range(1, 31))
    assert [one.event_type for one in play.told if one.key == talk][-1] == "message.read"


async def test_event_and_change_stand_or_fall_together(
    play: Play, minji: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the event cannot be written, the message is not there either, and the other way round."""

    def fails(name: str) -> None:
        if name in ("send.after_insert", "send.before_commit", "edit.before_commit", "mark.before_commit"):
            raise Problem("unavailable", retry_after=1)

    sent = await minji.sends(talk, "하나")
    await eventually(lambda: play.said("message.created") and not play.rows("outbox"))
    before, told = play.stored(), len(play.told)
    with monkeypatch.context() as broken:
        broken.setattr(faults, "hit", fails)
        for answer in (
            await minji.tries_to_send(talk, "둘"),
            await minji.edits(sent, "하나!"),
            await minji.deletes(sent),
        ):
            assert answer.status in (500, 503)
    assert (play.stored(), play.rows("outbox"), len(play.told)) == (before, [], told)
    assert (await minji.sends(talk, "둘"))["seq"] == 2


async def test_refusals_say_nothing(play: Play, minji: Person, junho: Person, sora: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    await eventually(lambda: play.said("message.created"))
    told = len(play.told)
    await minji.tries_to_send(talk, "")
    await junho.edits(sent, "남의 것")
    await sora.tries_to_send(talk, "몰래")
    await minji.starts(sora)
    await eventually(lambda: len(play.told) > told)
    assert [one.event_type for one in play.told[told:]] == ["conversation.created"]


async def in_vain(play: Play, whom: Person, talk: str) -> None:
    """Somebody was waited for, and for everybody who is waited for the time is up."""
    assert play.house.chat is not None
    unheard = play.house.chat.unheard
    await eventually(lambda: (talk, whom.id) in unheard._due)
    unheard._due.update(dict.fromkeys(list(unheard._due), 0.0))


@pytest.mark.settings(undelivered_seconds=600)
async def test_what_no_device_took_is_said_once(play: Play, minji: Person, junho: Person, talk: str) -> None:
    await minji.sends(talk, "하나")
    last = await minji.sends(talk, "둘")
    await in_vain(play, junho, talk)
    await eventually(lambda: play.said("message.undelivered"))
    (said,) = play.said("message.undelivered")
    assert said | {"timestamp": ""} == {
        "conversation_id": talk, "recipient_id": junho.id, "sender_id": minji.id, "message_id": last["id"],
        "up_to_seq": 2, "unread_count": 2, "timestamp": "",
    }  # fmt: skip
    assert [row["undelivered_seq"] for row in play.rows("member", f"user_id = '{junho.id}'")] == [2]
    await minji.sends(talk, "셋")
    await in_vain(play, junho, talk)
    await eventually(lambda: len(play.said("message.undelivered")) == 2)
    assert [one["up_to_seq"] for one in play.said("message.undelivered")] == [2, 3]


@pytest.mark.settings(undelivered_seconds=600)
async def test_what_a_device_took_is_not_said(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    taken = await minji.sends(talk, "하나")
    await junho.marks(taken, "delivered")
    other = await minji.starts(sora)
    await minji.sends(other, "이것은 아무도")
    await in_vain(play, sora, other)
    await eventually(lambda: play.said("message.undelivered"))
    assert [one["conversation_id"] for one in play.said("message.undelivered")] == [other]


@pytest.mark.settings(undelivered_seconds=600)
async def test_nobody_is_called_across_a_block(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    await minji.sends(talk, "하나")
    await play.blocks(junho, minji)
    other = await minji.starts(sora)
    await minji.sends(other, "이것은 아무도")
    await in_vain(play, sora, other)
    await eventually(lambda: play.said("message.undelivered"))
    assert [one["conversation_id"] for one in play.said("message.undelivered")] == [other]


@pytest.mark.settings(undelivered_seconds=600)
async def test_nobody_is_called_for_what_was_deleted(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    for message in (await minji.sends(talk, "하나"), await minji.sends(talk, "둘")):
        await minji.deletes(message)
    other = await minji.starts(sora)
    await minji.sends(other, "이것은 아무도")
    await in_vain(play, sora, other)
    await eventually(lambda: play.said("message.undelivered"))
    assert [one["conversation_id"] for one in play.said("message.undelivered")] == [other]
    assert [row["undelivered_seq"] for row in play.rows("member", f"user_id = '{junho.id}'")] == [2]
    await minji.sends(talk, "셋")
    await in_vain(play, junho, talk)
    await eventually(lambda: len(play.said("message.undelivered")) == 2)
    assert play.said("message.undelivered")[1]["unread_count"] == 1


async def test_no_words_and_no_tokens_in_any_log(
    play: Play, minji: Person, junho: Person, talk: str, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    secret = "쉿-아무에게도"
    with caplog.at_level("DEBUG"):
        sent = await minji.sends(talk, secret)
        await minji.edits(sent, secret + "!")
        await junho.edits(sent, secret)
        await minji.tries_to_send(talk, secret + "\0")
        socket = await minji.opens(talk)
        socket.says(type="chat_message", content=secret, message_type="banana")
        socket.says(type="chat_message", content=secret, ref=1)
        await socket.hears("ack")
        await play.happens(events.UserUpdated(minji.id, "m", secret, None, secret, "ko", "no time"))
        await minji.deletes(sent)
    written = "".join(
        [caplog.text, *capfd.readouterr(), *(json.dumps(vars(one), default=str) for one in caplog.records)]
    )
    assert secret not in written
    assert minji.token not in written


# -- heard ---------------------------------------------------------------------------------------------


async def test_hearing_it_twice_is_hearing_it_once(play: Play, minji: Person, junho: Person, talk: str) -> None:
    his = await junho.opens()
    said = [
        events.UserUpdated(minji.id, "minji", "김민지", None, "", "ko", now()),
        events.UserBlocked(minji.id, junho.id, now()), events.UserUnblocked(minji.id, junho.id, now()),
        events.UserDeactivated(minji.id, False, now()), events.UserDeactivated(minji.id, True, now()),
        events.SessionRevoked(minji.id, "s", "logged_out", now()), events.UserErased(minji.id, now()),
    ]  # fmt: skip
    for event in said:
        event_id = str(clock.new_id())
        await play.happens(event, event_id=event_id)
        before = play.stored()
        await his.hears_nothing_before_pong()
        await play.happens(event, event_id=event_id)
        assert play.stored() == before
        assert await his.hears_nothing_before_pong() == []
    (person,) = play.rows("person", f"user_id = '{minji.id}'")
    assert (person["display_name"], person["is_active"], person["is_erased"]) == ("", 0, 1)


async def test_the_same_news_under_another_id_is_harmless(play: Play, minji: Person, junho: Person, talk: str) -> None:
    for _ in range(2):
        await play.blocks(minji, junho)
    assert len(play.rows("block")) == 1
    before = play.stored()["conversation"]
    await play.blocks(minji, junho)
    assert play.stored()["conversation"] == before
    for _ in range(2):
        await play.unblocks(minji, junho)
    assert (await minji.sees(talk))["is_active"] is True


async def test_an_erased_person_stays_erased(play: Play, minji: Person, junho: Person, talk: str) -> None:
    await play.happens(events.UserErased(junho.id, now()))
    await play.happens(events.UserUpdated(junho.id, "junho", "이준호", None, "", "ko", now()))
    await play.happens(events.UserDeactivated(junho.id, True, now()))
    (person,) = play.rows("person", f"user_id = '{junho.id}'")
    assert (person["display_name"], person["is_active"], person["is_erased"]) == ("", 0, 1)
    refuses(await minji.tries_to_send(talk), 403, "recipient_unavailable")


async def test_news_of_people_nobody_heard_of_is_kept(play: Play, minji: Person) -> None:
    someone = str(clock.new_id())
    await play.happens(events.UserBlocked(someone, minji.id, now()))
    await play.happens(events.UserCreated(someone, "s", "누구", now()))
    answer = await minji.asks("POST", "/api/chat/conversations/", {"participant_id": someone})
    refuses(answer, 404, "recipient_unavailable")


async def test_what_cannot_be_understood_waits_and_blocks_only_its_key(
    play: Play, minji: Person, junho: Person
) -> None:
    chat = play.house.chat
    assert chat is not None
    broken = msgspec.structs.replace(
        envelope(events.UserUpdated(minji.id, "m", "김민지", None, "", "ko", now())), data=msgspec.Raw(b'{"user_id":7}')
    )
    await asyncio.to_thread(chat.consumer.handle, broken)
    await play.happens(events.UserUpdated(minji.id, "m", "나중", None, "", "ko", now()))
    await play.happens(events.UserUpdated(junho.id, "j", "이준호", None, "", "ko", now()))
    shown = {row["user_id"]: row["display_name"] for row in play.rows("person")}
    assert (shown[minji.id], shown[junho.id]) == ("민지", "이준호")
    letters = play.rows("deadletter")
    assert [one["key"] for one in letters] == [minji.id, minji.id]
    assert "7" not in letters[0]["reason"]
    await asyncio.to_thread(chat.consumer.letters.discard, [letters[0]["id"]])
    assert (await asyncio.to_thread(chat.consumer.replay)).handled == 1
    assert {row["user_id"]: row["display_name"] for row in play.rows("person")}[minji.id] == "나중"


async def test_what_was_not_said_before_a_restart_is_said_after_it(deployment: Deployment) -> None:
    async with deployment.day() as play:
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        await minji.sends(talk, "자니?")
    assert play.said("message.undelivered") == []
    async with deployment.day(undelivered_seconds=0.05) as play:
        await eventually(lambda: play.said("message.undelivered"))
        assert [one["up_to_seq"] for one in play.said("message.undelivered")] == [1]


async def test_a_stop_loses_no_event(deployment: Deployment) -> None:
    """What was still waiting to be said is said by whoever comes next."""
    async with deployment.day() as play:
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        assert play.house.chat is not None
        await asyncio.to_thread(play.house.chat.relay.stop)
        await minji.sends(talk, "아직 아무도 모른다")
        assert play.said("message.created") == []
    async with deployment.day() as play:
        await eventually(lambda: play.said("message.created"))
        assert [one["content"] for one in play.said("message.created")] == ["아직 아무도 모른다"]
        await eventually(lambda: play.rows("outbox") == [])
