"""What passes and is forgotten: who is writing, who is here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cast import Person
from tests.chat.conftest import Play
from tests.stage import eventually
from tests.wire import Socket


async def frames(socket: Socket, kind: str) -> list[dict[str, Any]]:
    return [frame for frame in await socket.hears_nothing_before_pong() if frame["type"] == kind]


# -- typing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("everything", [False, True])
async def test_typing_is_shown_to_the_other_alone(minji: Person, junho: Person, talk: str, everything: bool) -> None:
    hers, her_list = await minji.opens(None if everything else talk), await minji.opens()
    his, his_list = await junho.opens(talk), await junho.opens()
    named = {"conversation_id": talk} if everything else {}
    hers.says(type="typing", is_typing=True, user_id=minji.id, **named)
    for screen in (his, his_list):
        assert await screen.hears("typing") == {
            "type": "typing", "conversation_id": talk, "user_id": minji.id, "is_typing": True,
        }  # fmt: skip
    hers.says(type="typing", is_typing=False, **named)
    assert (await his.hears("typing"))["is_typing"] is False
    assert await frames(hers, "typing") == await frames(her_list, "typing") == []


@pytest.mark.settings(typing_seconds=0.05)
async def test_typing_ends_by_itself(minji: Person, junho: Person, talk: str) -> None:
    hers, his = await minji.opens(talk), await junho.opens(talk)
    hers.says(type="typing", is_typing=True)
    assert (await his.hears("typing"))["is_typing"] is True
    assert (await his.hears("typing"))["is_typing"] is False
    assert await frames(his, "typing") == []


async def test_typing_ends_with_the_message(minji: Person, junho: Person, talk: str) -> None:
    hers, his = await minji.opens(talk), await junho.opens(talk)
    await his.hears("conversation_history")
    hers.says(type="typing", is_typing=True)
    hers.says(type="chat_message", content="다 썼다")
    await hers.hears("ack")
    heard = [(one["type"], one.get("is_typing")) for one in await his.hears_nothing_before_pong()]
    assert heard == [("typing", True), ("chat_message", None), ("typing", False)]


async def test_typing_does_not_pass_a_block(play: Play, minji: Person, junho: Person, talk: str) -> None:
    await play.blocks(junho, minji)
    screens = [(await minji.opens(talk), await junho.opens(talk)), (await junho.opens(talk), await minji.opens(talk))]
    for mine, others in screens:
        mine.says(type="typing", is_typing=True)
        assert await frames(mine, "error") == []
        assert await frames(others, "typing") == []


async def test_a_block_ends_a_sign_that_is_shown(play: Play, minji: Person, junho: Person, talk: str) -> None:
    hers, his = await minji.opens(talk), await junho.opens(talk)
    hers.says(type="typing", is_typing=True)
    await his.hears("typing")
    await play.blocks(junho, minji)
    assert (await his.hears("typing"))["is_typing"] is False


async def test_typing_is_refused_where_it_makes_no_sense(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    his, outside = await junho.opens(), await sora.opens()
    for socket, frame, code in (
        (outside, {"conversation_id": talk}, "not_found"), (his, {}, "validation_failed"),
        (his, {"conversation_id": talk, "user_id": minji.id}, "sender_mismatch"),
        (his, {"conversation_id": "x"}, "not_found"),
    ):  # fmt: skip
        socket.says(type="typing", is_typing=True, ref="x", **frame)
        assert (await socket.hears("error"))["code"] == code
    assert await frames(await minji.opens(), "typing") == []


# -- presence ------------------------------------------------------------------------------------------


@pytest.fixture
def quick(play: Play) -> Play:
    """Who leaves is gone almost at once."""
    assert play.house.chat is not None
    play.house.chat.presence._grace = 0.05
    return play


async def asks(socket: Socket, *user_ids: str) -> list[dict[str, Any]]:
    """What a socket hears when it asks about these people."""
    socket.says(type="presence", user_ids=list(user_ids), ref="who")
    heard: list[dict[str, Any]] = []
    while (frame := await socket.hears())["type"] != "done":
        heard.append(frame)
    return [frame for frame in heard if frame["type"] == "presence"]


async def test_i_ask_once_and_am_told_from_then_on(quick: Play, minji: Person, junho: Person, talk: str) -> None:
    hers = await minji.opens()
    assert await asks(hers, junho.id) == [
        {"type": "presence", "user_id": junho.id, "online": False, "last_seen_at": None}
    ]
    phone, desk = await junho.opens(), await junho.opens(talk)
    assert (await hers.hears("presence"))["online"] is True
    await phone.leaves()
    assert await frames(hers, "presence") == []
    await desk.leaves()
    gone = await hers.hears("presence")
    assert (gone["online"], gone["last_seen_at"].endswith("Z")) == (False, True)


async def test_a_short_absence_is_not_told(play: Play, minji: Person, junho: Person, talk: str) -> None:
    his = await junho.opens()
    hers = await minji.opens()
    assert (await asks(hers, junho.id))[0]["online"] is True
    await his.leaves()
    await junho.opens()
    assert await frames(hers, "presence") == []


async def test_only_of_people_i_talk_with(quick: Play, minji: Person, junho: Person, sora: Person, talk: str) -> None:
    await sora.opens()
    hers = await minji.opens()
    assert [one["user_id"] for one in await asks(hers, sora.id, junho.id, "nobody", "")] == [junho.id]
    await sora.opens()
    assert await frames(hers, "presence") == []
    assert await asks(await sora.opens(), minji.id, junho.id) == []


@pytest.mark.parametrize("it_is_me_who_blocks", [False, True])
async def test_presence_does_not_pass_a_block(
    quick: Play, minji: Person, junho: Person, talk: str, it_is_me_who_blocks: bool
) -> None:
    his, hers = await junho.opens(), await minji.opens()
    assert (await asks(hers, junho.id))[0]["online"] is True
    await (quick.blocks(minji, junho) if it_is_me_who_blocks else quick.blocks(junho, minji))
    assert await hers.hears("presence") == {
        "type": "presence", "user_id": junho.id, "online": False, "last_seen_at": None,
    }  # fmt: skip
    assert await asks(hers, junho.id) == []
    await his.leaves()
    chat = quick.house.chat
    assert chat is not None
    await eventually(lambda: not chat.presence.of(junho.id).online)
    assert await frames(hers, "presence") == []


async def test_too_many_at_once_are_refused(minji: Person) -> None:
    hers = await minji.opens()
    hers.says(type="presence", user_ids=["x"] * 101, ref=1)
    assert (await hers.hears("error"))["code"] == "validation_failed"


async def test_nothing_of_it_is_stored(play: Play, minji: Person, junho: Person, talk: str) -> None:
    before = play.stored()
    hers, his = await minji.opens(talk), await junho.opens(talk)
    hers.says(type="typing", is_typing=True)
    await his.hears("typing")
    await asks(his, minji.id)
    assert play.stored() == before
