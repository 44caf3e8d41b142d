"""Reading chat: only as the person it is read for, oldest first, without what has no words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from doran.ai import reading
from doran.contracts.errors import Problem
from doran.kernel import siblings
from tests.ai.neighbours import Chat, Place
from tests.cast import Person


async def asked(question: Callable[..., Any], *args: Any, **more: Any) -> Any:
    return await asyncio.to_thread(question, *args, **more)


def words(found: list[Any]) -> list[str]:
    return [one.content for one in found]


async def test_the_newest_come_oldest_first(chat: Chat, minji: Person, junho: Person, talk: Place) -> None:
    said = [chat.says(talk, minji.id, str(number)) for number in range(250)]
    for one in said[100:240]:
        chat.deletes(talk, one)
    assert words(await asked(reading.newest, talk.id, junho.id, most=12)) == [
        "98", "99", *(str(number) for number in range(240, 250))
    ]  # fmt: skip
    assert words(await asked(reading.newest, talk.id, junho.id, most=300, since_seq=248)) == ["248", "249"]
    assert len(await asked(reading.newest, talk.id, junho.id, most=300)) == 110


async def test_an_empty_conversation_has_nothing_to_read(minji: Person, talk: Place) -> None:
    assert await asked(reading.newest, talk.id, minji.id, most=10) == []


@pytest.mark.parametrize(("seq", "wanted"), [(1, "012"), (2, "0123"), (6, "3567"), (8, "567")])
async def test_around_are_the_neighbours(chat: Chat, minji: Person, talk: Place, seq: int, wanted: str) -> None:
    said = [chat.says(talk, minji.id, str(number)) for number in range(8)]
    chat.deletes(talk, said[4])
    assert "".join(words(await asked(reading.around, talk.id, minji.id, seq, before=2, after=2))) == wanted


async def test_what_i_hid_is_not_read_for_me(chat: Chat, minji: Person, junho: Person, talk: Place) -> None:
    said = chat.says(talk, junho.id, "부끄러운 말")
    talk.hidden.add((minji.id, said.id))
    assert words(await asked(reading.newest, talk.id, minji.id, most=5)) == []
    assert words(await asked(reading.newest, talk.id, junho.id, most=5)) == ["부끄러운 말"]
    assert (await asked(reading.message, said.id, minji.id)).is_deleted


async def test_nothing_is_read_for_the_outsider(chat: Chat, minji: Person, sora: Person, talk: Place) -> None:
    said = chat.says(talk, minji.id, "우리끼리")
    for question in (
        lambda: reading.conversation(talk.id, sora.id),
        lambda: reading.newest(talk.id, sora.id, most=5),
        lambda: reading.message(said.id, sora.id),
        lambda: reading.around(talk.id, sora.id, 1, before=2, after=2),
        lambda: reading.changes(talk.id, sora.id, 0),
        lambda: reading.conversation("../users/me", sora.id),
        lambda: reading.message("..", sora.id),
    ):
        with pytest.raises(Problem, match="not_found"):
            await asked(question)
    assert {reader for _, reader in chat.asked} == {sora.id}


@pytest.mark.parametrize("answer", [(200, b"{}"), (200, b"[]"), (403, b"{}"), (503, b"{}"), (500, b"{}")])
async def test_a_chat_that_is_away_or_lies_is_unavailable(
    minji: Person, talk: Place, answer: tuple[int, bytes]
) -> None:
    siblings.register_local("chat", lambda question: answer)
    with pytest.raises(Problem, match="unavailable"):
        await asked(reading.message, "m", minji.id)


async def test_somebodys_name_is_cores_to_say(chat: Chat, minji: Person) -> None:
    assert await asked(reading.person, minji.id) == (minji.id, "human")
    siblings.register_local("core", None)
    assert await asked(reading.person, minji.id) == ("", "human")
