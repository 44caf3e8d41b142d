"""What the assistant says becomes an ordinary message of it: once, in order, and only where it may speak."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doran.chat import content
from doran.contracts import events
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, faults
from tests.cast import Person
from tests.chat.conftest import Play
from tests.stage import eventually


@pytest.fixture
async def assistant(play: Play) -> Person:
    """As core tells of it. A token in its name is one that nobody could have: core gives none."""
    now = clock.rfc3339(clock.now())
    await play.happens(events.UserCreated(ASSISTANT_ID, "assistant", "도란", now, kind="bot"))
    return play.stranger(ASSISTANT_ID)


@pytest.fixture
async def chat(minji: Person, assistant: Person) -> str:
    """The id of 민지's conversation with the assistant."""
    return await minji.starts(assistant)


def answer(conversation_id: str, text: str = "여섯 시요.", **more: Any) -> events.AiMessageGenerated:
    facts = {"response_id": str(clock.new_id()), "job_id": str(clock.new_id()), "sender_id": ASSISTANT_ID, **more}
    return events.AiMessageGenerated(
        conversation_id=conversation_id, content=text, created_at=clock.rfc3339(clock.now()), **facts
    )


def said(play: Play, conversation_id: str) -> list[tuple[int, str, str]]:
    where = f"conversation_id = '{conversation_id.replace('-', '')}'"
    rows = play.rows("message", where)
    return sorted((row["seq"], row["sender_id"], row["content"]) for row in rows)


async def test_an_answer_is_a_message_on_both_sides_of_its_conversation(
    play: Play, minji: Person, junho: Person, chat: str
) -> None:
    asked = await minji.sends(chat, "몇 시에 만나?")
    hers, his = await minji.opens(), await junho.opens()
    told = answer(chat, reply_to=asked["id"])
    await play.happens(told)
    shown = (await hers.hears("chat_message"))["message"]
    assert (shown["sender_id"], shown["content"], shown["seq"]) == (ASSISTANT_ID, "여섯 시요.", 2)
    assert (shown["client_message_id"], shown["reply_to"]) == (f"ai:{told.response_id}", None)
    assert await his.hears_nothing_before_pong() == []
    assert (await minji.sees(chat))["unread_count"] == 1
    await eventually(lambda: len(play.said("message.created")) == 2)
    assert play.said("message.created")[1]["recipient_id"] == minji.id


async def test_an_answer_that_comes_twice_is_said_once(play: Play, minji: Person, chat: str) -> None:
    told = answer(chat)
    for event_id in ("", "", str(clock.new_id())):
        await play.happens(told, event_id=event_id)
    assert said(play, chat) == [(1, ASSISTANT_ID, "여섯 시요.")]
    await play.happens(answer(chat, "다른 말", response_id=told.response_id))
    assert said(play, chat) == [(1, ASSISTANT_ID, "여섯 시요.")]
    assert play.rows("deadletter") == []


async def test_an_answer_and_its_mark_are_stored_together(
    play: Play, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one batch, one answer is taken back after it was written; the other takes its place, and it comes again."""
    failing = [True]

    def fail(point: str) -> None:
        if point == "inbox.before_commit" and failing:
            failing.pop()
            raise RuntimeError("a fault")

    monkeypatch.setattr(faults, "hit", fail)
    async with play.held_up() as waiting:
        both = [asyncio.create_task(play.happens(answer(chat, text))) for text in ("하나", "둘")]
        await eventually(lambda: waiting() == 2)
    await asyncio.gather(*both)
    assert [seq for seq, *_ in said(play, chat)] == [1, 2]
    assert (failing, play.rows("deadletter")) == ([], [])


async def test_answers_and_messages_share_one_order(play: Play, minji: Person, chat: str) -> None:
    screen = await minji.opens(chat)
    await screen.hears("conversation_history")
    async with play.held_up() as waiting:
        tasks = [asyncio.create_task(play.happens(answer(chat, f"답 {n}"))) for n in range(3)]
        tasks += [asyncio.create_task(minji.sends(chat, f"말 {n}")) for n in range(3)]
        await eventually(lambda: waiting() == 6)
    await asyncio.gather(*tasks)
    rows = said(play, chat)
    assert [seq for seq, *_ in rows] == [1, 2, 3, 4, 5, 6]
    shown = [(await screen.hears("chat_message"))["message"] for _ in range(6)]
    assert [(one["seq"], one["content"]) for one in shown] == [(seq, text) for seq, _, text in rows]


@pytest.mark.settings(chat_copies="many")
async def test_an_answer_is_shown_where_many_processes_show_a_conversation(
    play: Play, minji: Person, chat: str
) -> None:
    screen = await minji.opens(chat)
    await screen.hears("conversation_history")
    for text in ("하나", "둘"):
        await play.happens(answer(chat, text))
        assert (await screen.hears("chat_message"))["message"]["content"] == text


# -- what is not said ------------------------------------------------------------------------------


async def test_nothing_is_said_in_the_name_of_a_person(
    play: Play, minji: Person, junho: Person, talk: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = play.stored()
    await play.happens(answer(talk, "돈 좀 보내 줘", sender_id=junho.id))
    assert play.stored() == before
    assert "돈 좀" not in caplog.text


@pytest.mark.parametrize("where", ["elsewhere", str(clock.new_id()), "talk"])
async def test_nothing_is_said_where_the_assistant_does_not_belong(
    play: Play, assistant: Person, talk: str, where: str
) -> None:
    before = play.stored()
    await play.happens(answer(talk if where == "talk" else where))
    assert play.stored() == before


async def test_who_blocks_the_assistant_does_not_find_its_answers_later(
    play: Play, minji: Person, assistant: Person, chat: str
) -> None:
    await play.blocks(minji, assistant)
    late, event_id = answer(chat), str(clock.new_id())
    await play.happens(late, event_id=event_id)
    refused = await minji.tries_to_send(chat)
    assert (refused.status, refused.code) == (403, "recipient_unavailable")
    await play.unblocks(minji, assistant)
    await play.happens(late, event_id=event_id)
    assert (said(play, chat), play.rows("deadletter")) == ([], [])


async def test_nothing_is_said_to_who_is_gone(play: Play, minji: Person, chat: str) -> None:
    await play.happens(events.UserErased(minji.id, clock.rfc3339(clock.now())))
    await play.happens(answer(chat))
    assert (said(play, chat), play.rows("deadletter")) == ([], [])


async def test_an_answer_names_its_question_where_somebody_wrote_on(play: Play, minji: Person, chat: str) -> None:
    asked = await minji.sends(chat, "몇 시에 만나?")
    await minji.sends(chat, "아 그리고 어디서?")
    await play.happens(answer(chat, reply_to=asked["id"]))
    assert [row["seq"] for row in play.rows("message", "reply_to IS NOT NULL")] == [3]


async def test_the_question_may_be_deleted_meanwhile(play: Play, minji: Person, chat: str) -> None:
    asked = await minji.sends(chat, "몇 시에 만나?")
    assert (await minji.deletes(asked)).status == 200
    for reply_to in (asked["id"], "nonsense"):
        await play.happens(answer(chat, reply_to=reply_to))
    assert [row["reply_to"] for row in play.rows("message") if row["sender_id"] == ASSISTANT_ID] == [None, None]


@pytest.mark.parametrize("text", ["", " \n ", "\u200b", "\x00\x1b"])
async def test_nothing_to_see_is_nothing_said(play: Play, chat: str, text: str) -> None:
    await play.happens(answer(chat, text))
    assert (said(play, chat), play.rows("deadletter")) == ([], [])


@pytest.mark.settings(content_limit=20)
async def test_a_long_answer_is_cut_after_a_sentence(play: Play, chat: str) -> None:
    await play.happens(answer(chat, "첫째 문장이에요. 둘째예요. 셋째는 너무 길어요."))
    assert [text for *_, text in said(play, chat)] == ["첫째 문장이에요. 둘째예요. …"]


@given(st.text(), st.integers(8, 40))
@example("\u1100\u1161" * 40, 20)
@example("한" * 100, 10)
@example("a\r\nb\x1b[31m red", 40)
def test_what_is_fitted_could_have_been_sent(text: str, limit: int) -> None:
    fitted = content.fitted(text, limit=limit)
    if any(sign.isalnum() for sign in fitted):
        assert content.checked(fitted, limit=limit) == fitted


# -- bots ------------------------------------------------------------------------------------------


async def test_two_bots_never_talk(play: Play, assistant: Person) -> None:
    other = await play.person("다른 봇")
    await play.happens(events.UserCreated(other.id, "other", "다른 봇", clock.rfc3339(clock.now()), kind="bot"))
    before = play.stored()
    for one, two in ((assistant, other), (other, assistant)):
        refused = await one.asks("POST", "/api/chat/conversations/", {"participant_id": two.id})
        assert (refused.status, refused.code) == (404, "recipient_unavailable")
    assert play.stored() == before


@pytest.mark.settings(undelivered_seconds=0.05)
async def test_nobody_pushes_to_the_assistant_but_its_answers_are_pushed(play: Play, minji: Person, chat: str) -> None:
    await minji.sends(chat, "몇 시에 만나?")
    assert play.house.chat is not None
    await asyncio.to_thread(play.house.chat.unheard.remember)
    await play.happens(answer(chat))
    await eventually(lambda: play.said("message.undelivered"))
    assert {(one["recipient_id"], one["sender_id"]) for one in play.said("message.undelivered")} == {
        (minji.id, ASSISTANT_ID)
    }
