"""My own side of a conversation: mine alone to change and to see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cast import Person
from tests.chat.conftest import Play
from tests.wire import refuses

EACH = [
    {"muted_until": "2030-01-02T03:04:05.000000Z"}, {"archived": True}, {"marked_unread": True}, {"draft": "쓰다 만"},
    {"hidden_before_seq": 2},
]  # fmt: skip


@pytest.mark.parametrize("state", EACH)
async def test_it_is_kept_shown_to_my_screens_and_to_nobody_else(
    play: Play, minji: Person, junho: Person, talk: str, state: dict[str, Any]
) -> None:
    for number in range(3):
        await junho.sends(talk, f"{number}")
    hers, his, his_talk = await minji.opens(), await junho.opens(), await junho.opens(talk)
    await his_talk.hears("conversation_history")
    before, away = await junho.sees(talk), await minji.syncs()

    answer = await minji.changes(talk, **state)
    assert {name: answer["me"][name] for name in state} == state
    assert (await minji.sees(talk))["me"] == answer["me"]
    assert (await hers.hears("conversation_updated"))["conversation"]["me"] == answer["me"]

    assert await junho.sees(talk) == before
    assert (before["change_seq"], answer["change_seq"]) == (3, 3)
    assert await his.hears_nothing_before_pong() == []
    assert await his_talk.hears_nothing_before_pong() == []
    back = await minji.syncs(epoch=away["epoch"], known={talk: 3}, state_since=away["state_seq"])
    assert [one["me"] for one in back["conversations"]] == [answer["me"]]
    assert (await junho.syncs(epoch=away["epoch"], known={talk: 3}))["conversations"] == []


async def test_what_is_taken_back_is_gone(minji: Person, talk: str) -> None:
    await minji.changes(talk, muted_until="2030-01-01T00:00:00Z", archived=True, pinned=True, draft="x")
    back = await minji.changes(talk, muted_until=None, archived=False, pinned=False, draft="")
    assert (back["me"]["muted_until"], back["me"]["archived"], back["me"]["pinned_at"], back["me"]["draft"]) == (
        None, False, None, "",
    )  # fmt: skip


async def test_a_pin_keeps_its_first_moment(minji: Person, talk: str) -> None:
    first = (await minji.changes(talk, pinned=True))["me"]["pinned_at"]
    assert first.endswith("Z")
    assert (await minji.changes(talk, pinned=True))["me"]["pinned_at"] == first


async def test_times_are_understood_in_every_zone(minji: Person, talk: str) -> None:
    answer = await minji.changes(talk, muted_until="2030-01-01T09:00:00+09:00")
    assert answer["me"]["muted_until"] == "2030-01-01T00:00:00.000000Z"


async def test_changing_nothing_is_nothing(play: Play, minji: Person, talk: str) -> None:
    await minji.changes(talk, archived=True, draft="x")
    before, hers = play.stored(), await minji.opens()
    await minji.changes(talk)
    await minji.changes(talk, archived=True, draft="x", pinned=False)
    assert play.stored() == before
    assert await hers.hears_nothing_before_pong() == []


@pytest.mark.parametrize(
    ("state", "field"),
    [
        ({"muted_until": "tomorrow"}, "muted_until"), ({"muted_until": 7}, "muted_until"),
        ({"muted_until": "2030-01-01T00:00:00"}, "muted_until"),
        ({"muted_until": "0001-01-01T00:00:00+14:00"}, "muted_until"),
        ({"muted_until": "9999-12-31T23:59:59-14:00"}, "muted_until"),
        ({"muted_until": "0999-01-01T00:00:00Z"}, "muted_until"),
        ({"archived": "yes"}, "archived"), ({"archived": None}, "archived"), ({"pinned": 1}, "pinned"),
        ({"pinned_at": "2030-01-01T00:00:00Z"}, "pinned_at"), ({"marked_unread": 0}, "marked_unread"),
        ({"draft": None}, "draft"), ({"draft": "a\0b"}, "draft"), ({"draft": "x" * 20_001}, "draft"),
        ({"hidden_before_seq": -1}, "hidden_before_seq"), ({"hidden_before_seq": 3}, "hidden_before_seq"),
        ({"hidden_before_seq": 2**70}, "hidden_before_seq"), ({"hidden_before_seq": 1.5}, "hidden_before_seq"),
        ({"last_read_seq": 1}, "last_read_seq"), ({"user_id": "x"}, "user_id"), ({"is_active": False}, "is_active"),
    ],
)  # fmt: skip
async def test_a_wrong_value_is_named_and_nothing_of_the_body_is_done(
    play: Play, minji: Person, talk: str, state: dict[str, Any], field: str
) -> None:
    await minji.sends(talk, "하나")
    before = play.stored()
    body = {"archived": True, **state}
    answer = await minji.asks("PATCH", f"/api/chat/conversations/{talk}/", body)
    refuses(answer, 422, "validation_failed", field)
    assert play.stored() == before


async def test_a_cleared_history_is_gone_for_me_and_only_grows(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = [await junho.sends(talk, f"{number}") for number in range(1, 4)]
    assert (await minji.changes(talk, hidden_before_seq=3))["unread_count"] == 1
    assert [one["seq"] for one in (await minji.sees(talk))["messages"]] == [3]
    for path in (f"/api/chat/messages/{sent[0]['id']}/read/", f"/api/chat/messages/{sent[1]['id']}/delivered/"):
        refuses(await minji.asks("POST", path, {}), 404, "not_found")
    assert (await minji.changes(talk, hidden_before_seq=1))["me"]["hidden_before_seq"] == 3
    assert len((await junho.sees(talk))["messages"]) == 3

    cleared = await minji.changes(talk, hidden_before_seq=4)
    assert (cleared["last_message"], cleared["messages"], cleared["unread_count"]) == (None, [], 0)
    history = await (await minji.opens(talk)).hears("conversation_history")
    assert (history["messages"], history["has_more"], history["last_seq"]) == ([], False, 3)
    await junho.sends(talk, "넷")
    seen = await minji.sees(talk)
    assert ([one["seq"] for one in seen["messages"]], seen["unread_count"]) == ([4], 1)


async def test_my_side_stays_mine_behind_a_block(play: Play, minji: Person, junho: Person, talk: str) -> None:
    await play.blocks(junho, minji)
    assert (await minji.changes(talk, archived=True))["me"]["archived"] is True
