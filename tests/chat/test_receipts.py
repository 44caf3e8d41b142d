"""How far the other's devices are: marks that cover all before them and never go back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doran.chat import timelines
from tests.cast import Person
from tests.chat.conftest import Play
from tests.stage import eventually
from tests.wire import Socket, refuses


async def told(minji: Person, talk: str, count: int) -> list[Any]:
    """That many messages of 민지, oldest first."""
    return [await minji.sends(talk, f"{number}") for number in range(1, count + 1)]


async def test_a_mark_covers_its_message_and_all_before(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await told(minji, talk, 4)
    hers, his = await minji.opens(talk), await junho.opens(talk)
    receipt = await junho.marks(sent[2])
    assert receipt | {"timestamp": ""} == {
        "conversation_id": talk, "user_id": junho.id, "status": "read", "up_to_seq": 3, "timestamp": "",
        "unread_count": 1,
    }  # fmt: skip
    for screen in (hers, his):
        shown = await screen.hears("message_read")
        assert (shown["user_id"], shown["up_to_seq"], shown["message_id"]) == (junho.id, 3, sent[2]["id"])
    assert (await minji.sees(talk))["peer"] == {"user_id": junho.id, "last_delivered_seq": 3, "last_read_seq": 3}
    seen = await junho.sees(talk)
    assert (seen["me"]["last_read_seq"], seen["me"]["last_delivered_seq"], seen["unread_count"]) == (3, 3, 1)
    (row,) = play.rows("deliveryreceipt")
    assert (row["status"], row["user_id"]) == ("read", junho.id)
    await eventually(lambda: play.said("message.read"))
    assert play.said("message.read")[0] | {"timestamp": ""} == {
        "conversation_id": talk, "user_id": junho.id, "up_to_seq": 3, "message_id": sent[2]["id"], "timestamp": "",
    }  # fmt: skip


async def test_delivered_is_not_read(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await told(minji, talk, 2)
    hers = await minji.opens(talk)
    receipt = await junho.marks(sent[1], "delivered")
    assert (receipt["status"], receipt["up_to_seq"], receipt["unread_count"]) == ("delivered", 2, 2)
    assert (await hers.hears("message_delivered"))["up_to_seq"] == 2
    assert (await minji.sees(talk))["peer"] == {"user_id": junho.id, "last_delivered_seq": 2, "last_read_seq": 0}
    await eventually(lambda: play.said("message.delivered"))
    assert play.said("message.read") == []


async def test_marks_never_go_back(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await told(minji, talk, 3)
    await junho.marks(sent[2])
    await eventually(lambda: play.said("message.read"))
    hers, before = await minji.opens(talk), play.stored()
    for message in sent:
        for status in ("read", "delivered"):
            receipt = await junho.marks(message, status)
            assert (receipt["up_to_seq"], receipt["unread_count"]) == (3, 0)
    assert play.stored() == before
    assert [one["type"] for one in await hers.hears_nothing_before_pong()] == ["conversation_history"]


async def test_a_receipt_rises_from_delivered_to_read_and_stays(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    (sent,) = await told(minji, talk, 1)
    for status, stored in (("delivered", "delivered"), ("read", "read"), ("delivered", "read")):
        await junho.marks(sent, status)
        (row,) = play.rows("deliveryreceipt")
        assert row["status"] == stored


async def test_two_devices_race_and_the_furthest_wins(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await told(minji, talk, 12)
    claims = [(message, status) for message in sent for status in ("read", "delivered")]
    await asyncio.gather(*(junho.marks(message, status) for message, status in claims[::-1] + claims))
    seen = await junho.sees(talk)
    assert (seen["me"]["last_read_seq"], seen["me"]["last_delivered_seq"], seen["unread_count"]) == (12, 12, 0)


async def test_a_send_moves_its_authors_own_marks(play: Play, minji: Person, junho: Person, talk: str) -> None:
    await told(minji, talk, 2)
    hers = await minji.opens(talk)
    sent = await junho.sends(talk, "봤어")
    shown = await hers.hears("message_read")
    assert (shown["user_id"], shown["up_to_seq"], shown["message_id"]) == (junho.id, 3, sent["id"])
    seen = await junho.sees(talk)
    assert (seen["unread_count"], seen["me"]["last_read_seq"]) == (0, 3)
    assert (await minji.sees(talk))["peer"]["last_read_seq"] == 3
    assert (await minji.sees(talk))["unread_count"] == 1
    (row,) = play.rows("deliveryreceipt")
    assert (row["status"], row["user_id"], str(row["message_id"]).replace("-", "")) == (
        "read", junho.id, sent["id"].replace("-", ""),
    )  # fmt: skip
    await eventually(lambda: play.said("message.read"))
    assert play.said("message.read") == [
        {"conversation_id": talk, "user_id": junho.id, "up_to_seq": 3, "message_id": sent["id"],
         "timestamp": sent["created_at"]},
    ]  # fmt: skip


async def test_who_had_read_everything_says_so_only_once(play: Play, minji: Person, junho: Person, talk: str) -> None:
    (first,) = await told(minji, talk, 1)
    await junho.marks(first)
    hers = await minji.opens(talk)
    for words in ("봤어", "정말로"):
        await junho.sends(talk, words)
    frames = await hers.hears_nothing_before_pong()
    assert [one["type"] for one in frames] == ["conversation_history", "chat_message", "chat_message"]
    await eventually(lambda: play.rows("outbox") == [])
    assert len(play.said("message.read")) == len(play.rows("deliveryreceipt")) == 1


async def test_receiving_alone_moves_nothing(play: Play, minji: Person, junho: Person, talk: str) -> None:
    his = await junho.opens(talk)
    await told(minji, talk, 1)
    await his.hears("chat_message")
    await junho.sees(talk)
    await junho.syncs()
    await junho.opens(talk)
    marks = [(row["last_delivered_seq"], row["last_read_seq"]) for row in play.rows("member", f"user_id='{junho.id}'")]
    assert marks == [(0, 0)]


async def test_marking_ones_own_message_changes_nothing(play: Play, minji: Person, talk: str) -> None:
    (sent,) = await told(minji, talk, 1)
    before = play.stored()
    assert (await minji.marks(sent))["up_to_seq"] == 1
    assert play.stored() == before


async def test_a_post_without_a_body_is_enough(minji: Person, junho: Person, talk: str) -> None:
    (sent,) = await told(minji, talk, 1)
    answer = await junho.asks("POST", f"/api/chat/messages/{sent['id']}/read/")
    assert (answer.status, answer.json["unread_count"]) == (200, 0)


async def test_nobody_marks_for_another(play: Play, minji: Person, junho: Person, talk: str) -> None:
    (sent,) = await told(minji, talk, 1)
    before = play.stored()
    for status in ("read", "delivered"):
        path = f"/api/chat/messages/{sent['id']}/{status}/"
        refuses(await minji.asks("POST", path, {"user_id": junho.id}), 403, "sender_mismatch")
    socket = await minji.opens(talk)
    for kind in ("mark_as_read", "mark_as_delivered"):
        socket.says(type=kind, up_to_seq=1, user_id=junho.id, ref=kind)
        refused = await socket.hears("error")
        assert (refused["code"], refused["ref"]) == ("sender_mismatch", kind)
    assert play.stored() == before
    own = await junho.asks("POST", f"/api/chat/messages/{sent['id']}/read/", {"user_id": junho.id})
    assert own.status == 200


# -- by socket -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("everything", [False, True])
async def test_a_socket_marks_by_message_or_by_seq(minji: Person, junho: Person, talk: str, everything: bool) -> None:
    sent = await told(minji, talk, 3)
    hers = await minji.opens(talk)
    his = await junho.opens(None if everything else talk)
    named = {"conversation_id": talk} if everything else {}
    his.says(type="mark_as_delivered", message_id=sent[0]["id"], ref=1)
    assert (await his.hears("done"))["ref"] == 1
    his.says(type="mark_as_read", up_to_seq=2, ref=2, **named)
    assert (await his.hears("done"))["ref"] == 2
    assert (await hers.hears("message_delivered"))["up_to_seq"] == 1
    assert (await hers.hears("message_read"))["up_to_seq"] == 2
    his.says(type="mark_as_read", up_to_seq=3, **named)
    assert (await hers.hears("message_read"))["up_to_seq"] == 3


async def test_a_claim_beyond_the_last_message_is_refused(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await told(minji, talk, 2)
    other = await junho.starts(await play.person("소라"))
    before = play.stored()
    his, his_list = await junho.opens(talk), await junho.opens()
    for wrong in ({"up_to_seq": 3}, {"up_to_seq": -1}, {"up_to_seq": 2**70}, {}):
        assert await refused(his, type="mark_as_read", **wrong) == "validation_failed"
        assert await refused(his_list, type="mark_as_read", conversation_id=talk, **wrong) == "validation_failed"
    assert await refused(his_list, type="mark_as_read", up_to_seq=1) == "validation_failed"
    elsewhere = {"conversation_id": other, "message_id": sent[0]["id"]}
    assert await refused(his_list, type="mark_as_read", **elsewhere) == "validation_failed"
    assert await refused(his, type="mark_as_read", conversation_id=other, up_to_seq=1) == "not_found"
    assert play.stored() == before


async def refused(socket: Socket, **frame: Any) -> str:
    """The code with which this frame is refused."""
    socket.says(ref="no", **frame)
    error = await socket.hears("error")
    assert error["ref"] == "no"
    return str(error["code"])


# -- what the other may know ---------------------------------------------------------------------------


async def test_marks_do_not_pass_while_one_blocks_the_other(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await told(minji, talk, 3)
    await junho.marks(sent[0])
    await play.blocks(junho, minji)
    hers, his = await minji.opens(talk), await junho.opens(talk)
    await hers.hears("conversation_history")
    before = await minji.sees(talk)
    assert (await junho.marks(sent[2]))["unread_count"] == 0
    assert (await his.hears("message_read"))["up_to_seq"] == 3
    assert await hers.hears_nothing_before_pong() == []
    assert await minji.sees(talk) == before
    assert before["peer"]["last_read_seq"] == 1
    await eventually(lambda: play.said("message.read"))
    assert [one["up_to_seq"] for one in play.said("message.read")] == [1]
    assert len(play.rows("deliveryreceipt")) == 1


async def test_marks_made_behind_a_block_reach_my_own_device_that_was_away(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await told(minji, talk, 2)
    await play.blocks(junho, minji)
    away = await junho.syncs()
    known = {one["id"]: one["change_seq"] for one in away["conversations"]}
    await junho.marks(sent[1])
    back = await junho.syncs(epoch=away["epoch"], known=known, state_since=away["state_seq"])
    assert [one["me"]["last_read_seq"] for one in back["conversations"]] == [2]


async def test_reading_ends_marked_unread_and_only_i_know(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await told(minji, talk, 3)
    await junho.marks(sent[2])
    await junho.changes(talk, marked_unread=True)
    away = await junho.syncs()
    hers, his = await minji.opens(), await junho.opens()
    before = await minji.sees(talk)
    assert (await junho.marks(sent[0]))["up_to_seq"] == 3
    assert (await his.hears("conversation_updated"))["conversation"]["me"]["marked_unread"] is False
    assert await hers.hears_nothing_before_pong() == []
    assert await minji.sees(talk) == before
    known = {talk: away["conversations"][0]["change_seq"]}
    back = await junho.syncs(epoch=away["epoch"], known=known, state_since=away["state_seq"])
    assert [one["me"]["marked_unread"] for one in back["conversations"]] == [False]


async def test_being_delivered_leaves_marked_unread(minji: Person, junho: Person, talk: str) -> None:
    sent = await told(minji, talk, 1)
    await junho.changes(talk, marked_unread=True)
    await junho.marks(sent[0], "delivered")
    assert (await junho.sees(talk))["me"]["marked_unread"] is True
    await junho.sends(talk, "나도 썼다")
    assert (await junho.sees(talk))["me"]["marked_unread"] is False


async def test_an_unread_count_is_never_negative(
    monkeypatch: pytest.MonkeyPatch, minji: Person, junho: Person, talk: str
) -> None:
    """A send commits between the read of the conversation and the read of its members."""
    find, loop = timelines.lost_ranges, asyncio.get_running_loop()

    def paused(*what: Any) -> Any:
        monkeypatch.setattr(timelines, "lost_ranges", find)
        asyncio.run_coroutine_threadsafe(junho.sends(talk, "방금"), loop).result(5)
        return find(*what)

    monkeypatch.setattr(timelines, "lost_ranges", paused)
    assert (await junho.sees(talk))["unread_count"] == 0
