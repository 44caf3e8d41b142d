"""Taking words back: who may, how long, and that what is deleted is nowhere any more."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from tests.cast import Person
from tests.chat.conftest import Play
from tests.stage import eventually
from tests.wire import refuses

SECRET = "비밀번호는 사과나무"


async def test_an_edit_is_seen_by_both(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await minji.sends(talk, "오타")
    screens = [await minji.opens(talk), await junho.opens(talk), await junho.opens()]
    edited = (await minji.edits(sent, "맞춤")).json
    assert edited == {
        **sent, "content": "맞춤", "change_seq": 2, "edited_at": edited["edited_at"], "updated_at": edited["updated_at"],
    }  # fmt: skip
    assert edited["edited_at"] > sent["created_at"]
    for screen in screens:
        assert (await screen.hears("message_updated")) == {
            "type": "message_updated", "conversation_id": talk, "message": edited,
        }  # fmt: skip
    seen = await junho.sees(talk)
    assert (seen["messages"], seen["last_message"], seen["change_seq"]) == ([edited], edited, 2)
    await eventually(lambda: play.said("message.updated"))
    (event,) = play.said("message.updated")
    assert (event["message_id"], event["content"], event["change_seq"]) == (sent["id"], "맞춤", 2)


async def test_an_edit_by_socket(minji: Person, junho: Person, talk: str) -> None:
    sent = await minji.sends(talk, "오타")
    hers, his = await minji.opens(talk), await junho.opens()
    hers.says(type="edit_message", message_id=sent["id"], content="맞춤", ref=3)
    assert (await hers.hears("done"))["ref"] == 3
    assert (await his.hears("message_updated"))["message"]["content"] == "맞춤"


async def test_an_edit_that_changes_nothing_is_nothing(play: Play, minji: Person, talk: str) -> None:
    sent = await minji.sends(talk, "그대로")
    before = play.stored()
    assert (await minji.edits(sent, "그대로")).json == sent
    assert play.stored() == before


async def test_what_may_not_be_edited(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent, gone = await minji.sends(talk, "하나"), await minji.sends(talk, "둘")
    await minji.deletes(gone)
    before = play.stored()
    refuses(await junho.edits(sent, "남의 말"), 403, "not_author")
    refuses(await minji.edits(gone, "다시"), 422, "message_deleted")
    refuses(await minji.edits({"id": str(uuid.uuid4())}, "없는 것"), 404, "not_found")
    refuses(await minji.edits(sent, "\u3164"), 422, "validation_failed", "content")
    refuses(await minji.edits(sent, "x" * 4001), 422, "validation_failed", "content")
    await play.blocks(junho, minji)
    refuses(await minji.edits(sent, "막힌 말"), 403, "recipient_unavailable")
    assert play.stored()["message"] == before["message"]


@pytest.mark.settings(edit_seconds=0.0, delete_seconds=0.0)
async def test_after_the_window_it_is_too_late(play: Play, minji: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    before = play.stored()
    refuses(await minji.edits(sent, "둘"), 403, "too_late")
    refuses(await minji.deletes(sent), 403, "too_late")
    socket = await minji.opens(talk)
    for frame in ({"type": "edit_message", "content": "둘"}, {"type": "delete_message"}):
        socket.says(frame, message_id=sent["id"], ref="x")
        assert (await socket.hears("error"))["code"] == "too_late"
    assert play.stored() == before
    assert (await minji.deletes(sent, scope="me")).status == 200


# -- for everyone --------------------------------------------------------------------------------------


async def test_deleted_words_are_nowhere(
    play: Play, minji: Person, junho: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in rows, events that still wait, lists, previews, changes, histories, repetitions or frames."""
    chat = play.house.chat
    assert chat is not None
    await asyncio.to_thread(chat.relay.stop)  # so that its events are still there when it is deleted
    sent = await minji.sends(talk, SECRET, client_message_id="m")
    await minji.edits(sent, SECRET + "!")
    his = await junho.opens()
    deleted = (await minji.deletes(sent)).json
    assert (deleted["content"], deleted["is_deleted"], deleted["seq"]) == ("", True, 1)
    assert (await his.hears("message_deleted"))["message"] == deleted

    assert SECRET not in json.dumps({"all": [play.stored(), play.rows("outbox")]}, default=str, ensure_ascii=False)
    for person in (minji, junho):
        history = await (await person.opens(talk)).hears("conversation_history")
        seen = [
            await person.sees(talk), await person.gets("/api/chat/users/me/conversations/"), await person.syncs(),
            await person.gets(f"/api/chat/conversations/{talk}/messages/"), history,
            await person.gets(f"/api/chat/conversations/{talk}/changes/?since=0"),
        ]  # fmt: skip
        assert SECRET not in json.dumps(seen, ensure_ascii=False)
        assert seen[0]["last_message"] == seen[0]["messages"][0] == deleted
    assert SECRET not in (await minji.tries_to_send(talk, SECRET, client_message_id="m")).body.decode()
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in play.house.config.data.glob("*.log"))


async def test_an_event_of_deleted_words_leaves_without_them(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await minji.sends(talk, "하나")
    await minji.deletes(sent)
    await eventually(lambda: play.said("message.deleted"))
    assert [one.event_type for one in play.told if one.key == talk] == [
        "conversation.created", "message.created", "message.deleted",
    ]  # fmt: skip
    (event,) = play.said("message.deleted")
    assert (event["message_id"], event["seq"], event["change_seq"]) == (sent["id"], 1, 2)


async def test_deleting_twice_is_deleting_once(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    first = (await minji.deletes(sent)).json
    before, his = play.stored(), await junho.opens()
    assert (await minji.deletes(sent)).json == first
    assert play.stored() == before
    assert await his.hears_nothing_before_pong() == []


async def test_only_its_author_deletes_for_everyone(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    before = play.stored()
    refuses(await junho.deletes(sent), 403, "not_author")
    refuses(await junho.deletes(sent, scope="nobody"), 422, "validation_failed", "for")
    assert play.stored() == before


async def test_a_blocked_author_may_still_take_words_back(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sent = await minji.sends(talk, SECRET)
    await play.blocks(junho, minji)
    assert (await minji.deletes(sent)).status == 200
    assert (await junho.sees(talk))["messages"][0]["content"] == ""


# -- for me --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_socket", [False, True])
async def test_deleted_for_me_is_gone_for_me_alone(
    play: Play, minji: Person, junho: Person, talk: str, by_socket: bool
) -> None:
    sent = await minji.sends(talk, SECRET)
    hers, his, his_list = await minji.opens(talk), await junho.opens(talk), await junho.opens()
    before = await minji.sees(talk)
    if by_socket:
        his_list.says(type="delete_message", message_id=sent["id"], ref=1, **{"for": "me"})
        assert (await his_list.hears("done"))["ref"] == 1
    else:
        assert (await junho.deletes(sent, scope="me")).json == {
            **sent,
            "content": "",
            "is_deleted": True,
            "hidden": True,
        }
    heard = (await his.hears("message_deleted"))["message"]
    assert (heard["content"], heard["hidden"]) == ("", True)
    await hers.hears("conversation_history")
    assert await hers.hears_nothing_before_pong() == []
    assert await minji.sees(talk) == before

    for seen in (
        await junho.sees(talk), (await junho.gets("/api/chat/users/me/conversations/"))["results"][0],
        await junho.gets(f"/api/chat/conversations/{talk}/messages/"),
        await junho.gets(f"/api/chat/conversations/{talk}/changes/?since=0"), await junho.syncs(),
        await (await junho.opens(talk)).hears("conversation_history"),
    ):  # fmt: skip
        assert SECRET not in json.dumps(seen, ensure_ascii=False)
    assert play.said("message.deleted") == []


async def test_only_who_deleted_for_themselves_is_told_that_it_is_hidden(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    """A tombstone of one's own is not to be shown, one of both is; at every door, also to a device that was away."""
    first, second = await minji.sends(talk, "하나"), await minji.sends(talk, "둘")
    before = await junho.syncs()
    await junho.deletes(second, scope="me")
    since = {"epoch": before["epoch"], "known": {talk: 2}, "state_since": before["state_seq"]}
    caught_up = (await junho.syncs(**since))["conversations"][0]["changes"]["results"]
    listed = (await junho.gets("/api/chat/users/me/conversations/"))["results"][0]["last_message"]
    page = (await junho.gets(f"/api/chat/conversations/{talk}/messages/"))["results"][0]
    history = (await (await junho.opens(talk)).hears("conversation_history"))["messages"][-1]
    seen = await junho.gets(f"/api/chat/messages/{second['id']}/")
    for one in (*caught_up, listed, page, history, seen, (await junho.sees(talk))["last_message"]):
        assert (one["seq"], one["is_deleted"], one["hidden"]) == (2, True, True)
    assert "hidden" not in (await minji.sees(talk))["last_message"]

    await minji.deletes(second)
    await minji.deletes(first)
    his, hers = await junho.sees(talk), await minji.sees(talk)
    assert [one.get("hidden", False) for one in his["messages"]] == [False, True]
    assert [one.get("hidden", False) for one in hers["messages"]] == [False, False]


async def test_doing_it_twice_is_doing_it_once(play: Play, junho: Person, minji: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    await junho.deletes(sent, scope="me")
    before = play.stored()
    assert (await junho.deletes(sent, scope="me")).status == 200
    assert play.stored() == before


async def test_an_edit_does_not_bring_back_what_i_deleted_for_myself(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await minji.sends(talk, "하나")
    await junho.deletes(sent, scope="me")
    hers, his = await minji.opens(talk), await junho.opens(talk)
    await minji.edits(sent, SECRET)
    assert (await hers.hears("message_updated"))["message"]["content"] == SECRET
    shown = await his.hears_nothing_before_pong()
    assert SECRET not in json.dumps(shown, ensure_ascii=False)
    changed: list[Any] = (await junho.gets(f"/api/chat/conversations/{talk}/changes/?since=1"))["results"]
    assert [(one["content"], one["is_deleted"]) for one in changed] == [("", True)]


async def test_an_edit_does_not_bring_back_a_history_i_cleared(minji: Person, junho: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    await junho.changes(talk, hidden_before_seq=2)
    his = await junho.opens()
    await minji.edits(sent, SECRET)
    assert await his.hears_nothing_before_pong() == []


async def test_what_i_deleted_for_myself_i_cannot_edit(play: Play, minji: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    await minji.deletes(sent, scope="me")
    before = play.stored()
    refuses(await minji.edits(sent, "둘"), 422, "message_deleted")
    assert play.stored() == before
    assert (await minji.deletes(sent)).json["is_deleted"] is True


async def test_sixty_changes_while_nothing_is_committed_hold_up_neither_pings_nor_each_other(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    """As while the database is locked: the socket goes on reading, and every one is answered."""
    sent = [await minji.sends(talk, f"{number}") for number in range(30)]
    hers = await minji.opens(talk)
    await hers.hears("conversation_history")
    async with play.held_up() as waiting:
        for number, message in enumerate(sent):
            hers.says(type="edit_message", message_id=message["id"], content=f"{number}!", ref=number)
            hers.says(type="delete_message", message_id=message["id"], **{"for": "me"}, ref=100 + number)
        assert await hers.hears_nothing_before_pong() == []
        await eventually(lambda: waiting() == 60)
    answers = [(await hers.hears("done"))["ref"] for _ in range(60)]
    assert answers == [ref for number in range(30) for ref in (number, 100 + number)]
    seen = await junho.gets(f"/api/chat/conversations/{talk}/messages/?page_size=30")
    assert [one["content"] for one in seen["results"]] == [f"{number}!" for number in reversed(range(30))]


async def test_changes_that_nothing_waits_for_are_refused_one_by_one(play: Play, minji: Person, talk: str) -> None:
    """Where too much waits already, each frame has its refusal, and the socket stays."""
    message = await minji.sends(talk, "하나")
    hers = await minji.opens(talk)
    await hers.hears("conversation_history")
    assert play.house.chat is not None
    play.house.chat.writer.limit = 0
    hers.says(type="edit_message", message_id=message["id"], content="둘", ref=1)
    hers.says(type="delete_message", message_id=message["id"], ref=2)
    found = [await hers.hears("error") for _ in range(2)]
    assert [(one["ref"], one["code"]) for one in found] == [(1, "unavailable"), (2, "unavailable")]
    assert (await minji.sees(talk))["messages"][0]["content"] == "하나"
