"""민지 writes, 준호 reads: sending by REST and by socket, once and only once, and what is refused."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from doran.contracts import events
from doran.kernel import clock
from tests.cast import Person
from tests.chat.conftest import Deployment, Play
from tests.stage import eventually
from tests.wire import refuses


async def test_a_message_reaches_both_people_by_both_doors(minji: Person, junho: Person) -> None:
    talk = await minji.starts(junho)
    hers, his = await minji.opens(talk), await junho.opens()

    hers.says(type="chat_message", content="안녕하세요!", client_message_id="m-1", ref=7)
    ack = await hers.hears("ack")
    assert (ack["ref"], ack["message"]["seq"], ack["message"]["content"]) == (7, 1, "안녕하세요!")
    assert (await his.hears("chat_message"))["message"] == ack["message"]

    answer = await junho.sends(talk, "네, 반가워요")
    assert (await hers.hears("chat_message"))["message"] == answer
    assert answer["seq"] == 2


async def test_what_is_sent_is_shown_whole(play: Play, minji: Person, talk: str) -> None:
    answer = await minji.tries_to_send(talk, "안녕하세요!", client_message_id="m-1", sender_id=minji.id)
    assert answer.status == 201
    sent = answer.json
    assert sent | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "", "conversation_id": talk, "seq": 1, "change_seq": 1, "sender_id": minji.id,
        "content": "안녕하세요!", "message_type": "text", "created_at": "", "updated_at": "", "edited_at": None,
        "is_deleted": False, "reply_to": None, "client_message_id": "m-1",
    }  # fmt: skip
    assert sent["created_at"].endswith("Z")
    seen = await minji.sees(talk)
    assert (seen["messages"], seen["last_message"], seen["last_seq"]) == ([sent], sent, 1)
    assert seen["updated_at"] == sent["created_at"]


async def test_the_sending_socket_hears_the_ack_and_no_echo(minji: Person, junho: Person, talk: str) -> None:
    hers, her_phone, her_list, his = (
        await minji.opens(talk), await minji.opens(talk), await minji.opens(), await junho.opens(talk),
    )  # fmt: skip
    await hers.hears("conversation_history")
    hers.says(type="chat_message", content="하나", ref="a")
    message = (await hers.hears())["message"]
    assert [frame["type"] for frame in await hers.hears_nothing_before_pong()] == []
    for screen in (her_phone, her_list, his):
        assert (await screen.hears("chat_message"))["message"] == message


async def test_everybody_sees_one_order_without_holes(minji: Person, junho: Person, talk: str) -> None:
    his, hers = await junho.opens(talk), await minji.opens(talk)
    for number in range(20):
        hers.says(type="chat_message", content=f"{number}")
        his.says(type="chat_message", content=f"{number}")
    heard = [await her_or_his(his) for _ in range(40)]
    acks_and_shown = sorted(heard)
    assert acks_and_shown == list(range(1, 41))
    page = await minji.gets(f"/api/chat/conversations/{talk}/messages/?page_size=100")
    assert [one["seq"] for one in page["results"]] == list(range(40, 0, -1))
    for person in (minji, junho):
        own = [one["content"] for one in page["results"][::-1] if one["sender_id"] == person.id]
        assert own == [f"{number}" for number in range(20)]


async def her_or_his(socket: Any) -> int:
    """The seq of the next message shown or acknowledged."""
    while "message" not in (frame := await socket.hears()):
        pass
    return int(frame["message"]["seq"])


# -- once -----------------------------------------------------------------------------------------------


async def test_the_same_id_is_the_same_message(play: Play, minji: Person, junho: Person, talk: str) -> None:
    his = await junho.opens(talk)
    first = await minji.tries_to_send(talk, "한 번", client_message_id="m-1")
    again = await minji.tries_to_send(talk, "한 번", client_message_id="m-1")
    by_header = await minji.tries_to_send(talk, "한 번", headers={"Idempotency-Key": "m-1"})
    quoted = await minji.tries_to_send(talk, "한 번", headers={"Idempotency-Key": '"m-1"'}, client_message_id="m-1")
    assert [one.status for one in (first, again, by_header, quoted)] == [201, 200, 200, 200]
    assert first.json == again.json == by_header.json == quoted.json
    socket = await minji.opens(talk)
    socket.says(type="chat_message", content="한 번", client_message_id="m-1")
    assert (await socket.hears("ack"))["message"] == first.json
    assert len(play.rows("message")) == 1
    shown = [one for one in await his.hears_nothing_before_pong() if one["type"] == "chat_message"]
    assert len(shown) == 1
    await eventually(lambda: play.said("message.created"))
    assert len(play.said("message.created")) == 1


@pytest.mark.judged
@pytest.mark.settings(send_burst=1000)
async def test_fifty_tasks_with_one_id_make_one_message(play: Play, minji: Person, junho: Person, talk: str) -> None:
    socket = await minji.opens(talk)

    async def by_socket(number: int) -> Any:
        socket.says(type="chat_message", content="한 번", client_message_id="m-1", ref=number)
        return (await socket.hears("ack"))["message"]

    async def by_rest(_number: int) -> Any:
        return (await minji.tries_to_send(talk, "한 번", client_message_id="m-1")).json

    answers = await asyncio.gather(*(way(number) for number in range(25) for way in (by_socket, by_rest)))
    assert len({answer["id"] for answer in answers}) == 1
    assert [row["seq"] for row in play.rows("message")] == [1]


async def test_ids_are_the_senders_own(play: Play, minji: Person, junho: Person, sora: Person, talk: str) -> None:
    other = await minji.starts(sora)
    sent = [
        await minji.sends(talk, "하나", client_message_id="m-1"), await junho.sends(talk, "둘", client_message_id="m-1"),
        await minji.sends(other, "셋", client_message_id="m-1"),
    ]  # fmt: skip
    assert len({one["id"] for one in sent}) == 3


@pytest.mark.parametrize("other", [{"content": "둘"}, {"reply": True}])
async def test_the_same_id_with_another_body_is_a_conflict(
    play: Play, minji: Person, talk: str, other: dict[str, Any]
) -> None:
    answered = await minji.sends(talk, "먼저")
    await minji.sends(talk, "하나", client_message_id="m-1")
    before = play.stored()
    body = {"content": "하나", **other}
    if body.pop("reply", False):
        body["reply_to"] = answered["id"]
    refuses(await minji.tries_to_send(talk, **body, client_message_id="m-1"), 409, "idempotency_conflict")
    socket = await minji.opens(talk)
    socket.says(type="chat_message", client_message_id="m-1", ref=1, **body)
    refused = await socket.hears("error")
    assert (refused["code"], refused["ref"], refused["client_message_id"]) == ("idempotency_conflict", 1, "m-1")
    assert play.stored() == before


async def test_a_repetition_answers_with_the_message_as_it_now_stands(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await minji.sends(talk, "처음", client_message_id="m-1")
    assert (await minji.edits(sent, "나중")).status == 200
    again = await minji.tries_to_send(talk, "처음", client_message_id="m-1")
    assert (again.status, again.json["content"], again.json["id"]) == (200, "나중", sent["id"])
    refuses(await minji.tries_to_send(talk, "나중", client_message_id="m-1"), 409, "idempotency_conflict")

    assert (await minji.deletes(sent)).status == 200
    again = await minji.tries_to_send(talk, "처음", client_message_id="m-1")
    assert (again.status, again.json["content"], again.json["is_deleted"]) == (200, "", True)
    assert len(play.rows("message")) == 1


async def test_a_repetition_does_not_bring_back_what_i_deleted_for_myself(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await minji.sends(talk, "처음", client_message_id="m-1")
    assert (await minji.deletes(sent, scope="me")).status == 200
    again = await minji.tries_to_send(talk, "처음", client_message_id="m-1")
    assert (again.status, again.json) == (200, (await minji.sees(talk))["messages"][0])
    assert (again.json["content"], again.json["is_deleted"]) == ("", True)
    assert (await junho.sees(talk))["messages"][0]["content"] == "처음"


async def test_a_repetition_is_answered_also_when_nothing_new_could_be_sent(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await minji.sends(talk, "처음", client_message_id="m-1")
    await play.blocks(junho, minji)
    again = await minji.tries_to_send(talk, "처음", client_message_id="m-1")
    assert (again.status, again.json["id"]) == (200, sent["id"])
    refuses(await minji.tries_to_send(talk, "다른", client_message_id="m-1"), 409, "idempotency_conflict")


async def test_the_same_id_is_the_same_message_after_a_restart(deployment: Deployment) -> None:
    async with deployment.day() as play:
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        sent = await minji.sends(talk, "처음", client_message_id="m-1")
    async with deployment.day() as play:
        minji = play.again(minji)
        again = await minji.tries_to_send(talk, "처음", client_message_id="m-1")
        assert (again.status, again.json) == (200, sent)
        refuses(await minji.tries_to_send(talk, "다른", client_message_id="m-1"), 409, "idempotency_conflict")
        assert (await minji.sends(talk, "다음"))["seq"] == 2


async def test_two_names_for_one_id_must_not_disagree(play: Play, minji: Person, talk: str) -> None:
    before = play.stored()
    answer = await minji.tries_to_send(talk, headers={"Idempotency-Key": "a"}, client_message_id="b")
    refuses(answer, 422, "validation_failed", "client_message_id")
    assert play.stored() == before


# -- answers ---------------------------------------------------------------------------------------------


async def test_an_answer_names_a_message_of_the_same_conversation(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    asked = await minji.sends(talk, "언제?")
    answer = await junho.sends(talk, "내일", reply_to=asked["id"])
    assert answer["reply_to"] == asked["id"]
    assert (await minji.sees(talk))["messages"][-1]["reply_to"] == asked["id"]

    elsewhere = await minji.sends(await minji.starts(sora), "비밀")
    before = play.stored()
    for wrong in (elsewhere["id"], str(uuid.uuid4()), "nothing", ""):
        refuses(await junho.tries_to_send(talk, reply_to=wrong), 422, "validation_failed", "reply_to")
    assert play.stored() == before


@pytest.mark.parametrize("scope", ["everyone", "me"])
async def test_a_message_that_is_deleted_while_it_is_answered_can_be_answered(
    minji: Person, junho: Person, talk: str, scope: str
) -> None:
    """준호 was writing, or offline: his words arrive, as an answer to a tombstone."""
    asked = await minji.sends(talk, "언제?")
    await (minji if scope == "everyone" else junho).deletes(asked, scope=scope)
    answer = await junho.sends(talk, "내일", reply_to=asked["id"], client_message_id="a-1")
    again = await junho.tries_to_send(talk, "내일", reply_to=asked["id"], client_message_id="a-1")
    assert (again.status, again.json) == (200, answer)
    seen = (await junho.sees(talk))["messages"]
    assert [(one["content"], one["reply_to"]) for one in seen] == [("", None), ("내일", asked["id"])]


async def test_a_message_that_is_deleted_while_its_answer_is_on_its_way(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    """Both stand in one commit, whichever comes first."""
    asked = await minji.sends(talk, "언제?")
    hers, his = await minji.opens(talk), await junho.opens(talk)
    async with play.held_up():
        hers.says(type="delete_message", message_id=asked["id"])
        his.says(type="chat_message", content="내일", reply_to=asked["id"], ref=1)
        await his.hears_nothing_before_pong()
    assert (await his.hears("ack"))["message"]["reply_to"] == asked["id"]
    await hers.hears("message_deleted")
    seen = (await minji.sees(talk))["messages"]
    assert [(one["is_deleted"], one["reply_to"]) for one in seen] == [(True, None), (False, asked["id"])]


async def test_the_answer_to_a_message_that_goes_away_stays(minji: Person, junho: Person, talk: str) -> None:
    asked = await minji.sends(talk, "언제?")
    answer = await junho.sends(talk, "내일", reply_to=asked["id"])
    await minji.deletes(asked)
    assert (await junho.sees(talk))["messages"] == [
        {**asked, "content": "", "is_deleted": True, "change_seq": 3, "updated_at": (await minji.sees(talk))["messages"][0]["updated_at"]},
        answer,
    ]  # fmt: skip


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["content"]),
        ({"content": 1}, ["content"]),
        ({"content": None}, ["content"]),
        ({"content": "x", "message_type": "banana"}, ["message_type"]),
        ({"content": "x", "message_type": "image"}, ["message_type"]),
        ({"content": "x", "client_message_id": ""}, ["client_message_id"]),
        ({"content": "x", "client_message_id": "x" * 65}, ["client_message_id"]),
        ({"content": "x", "client_message_id": "é"}, ["client_message_id"]),
        ({"content": "x", "client_message_id": "a\nb"}, ["client_message_id"]),
        ({"content": "x", "client_message_id": 7}, ["client_message_id"]),
        ({"content": "x", "is_deleted": True}, ["is_deleted"]),
        ({"content": "x", "seq": 1}, ["seq"]),
    ],
)
async def test_a_wrong_body_is_named_and_changes_nothing(
    play: Play, minji: Person, talk: str, body: dict[str, Any], fields: list[str]
) -> None:
    before = play.stored()
    answer = await minji.asks("POST", f"/api/chat/conversations/{talk}/messages/send/", body)
    refuses(answer, 422, "validation_failed", *fields)
    socket = await minji.opens(talk)
    socket.says(type="chat_message", ref="r", **body)
    refused = await socket.hears("error")
    assert (refused["ref"], refused["code"]) in (("r", "invalid_frame"), ("r", "validation_failed"))
    assert play.stored() == before


async def test_nobody_sends_in_anothers_name(play: Play, minji: Person, junho: Person, talk: str) -> None:
    before = play.stored()
    refuses(await minji.tries_to_send(talk, sender_id=junho.id), 403, "sender_mismatch")
    socket = await minji.opens(talk)
    socket.says(type="chat_message", content="거짓", sender_id=junho.id, ref=1, client_message_id="m")
    refused = await socket.hears("error")
    assert (refused["code"], refused["ref"]) == ("sender_mismatch", 1)
    assert play.stored() == before
    socket.says(type="chat_message", content="참", sender_id=minji.id)
    assert (await socket.hears("ack"))["message"]["sender_id"] == minji.id


@pytest.mark.parametrize("how", ["I block", "they block", "they left", "they are gone"])
async def test_nothing_is_sent_to_who_cannot_be_reached_and_nobody_is_told_why(
    play: Play, minji: Person, junho: Person, talk: str, how: str
) -> None:
    now = clock.rfc3339(clock.now())
    await minji.sends(talk, "안녕")
    await play.happens({
        "I block": events.UserBlocked(minji.id, junho.id, now), "they block": events.UserBlocked(junho.id, minji.id, now),
        "they left": events.UserDeactivated(junho.id, False, now), "they are gone": events.UserErased(junho.id, now),
    }[how])  # fmt: skip
    before = play.stored()
    for person in (minji, junho):
        refused = refuses(await person.tries_to_send(talk), 403, "recipient_unavailable")
        assert refused["detail"] == "Nothing can be sent here for now; history stays readable."
        socket = await person.opens(talk)
        socket.says(type="chat_message", content="x", ref=1)
        assert (await socket.hears("error"))["code"] == "recipient_unavailable"
        seen = await person.sees(talk)
        assert (seen["is_active"], [one["content"] for one in seen["messages"]]) == (False, ["안녕"])
    assert play.stored() == before


async def test_when_the_last_block_is_lifted_they_talk_again(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    his = await junho.opens()
    await play.blocks(minji, junho)
    await play.blocks(junho, minji)
    assert (await his.hears("conversation_updated"))["conversation"]["is_active"] is False
    await play.unblocks(minji, junho)
    refuses(await minji.tries_to_send(talk), 403, "recipient_unavailable")
    await play.unblocks(junho, minji)
    assert (await his.hears("conversation_updated"))["conversation"]["is_active"] is True
    assert (await minji.sends(talk, "다시"))["seq"] == 1
