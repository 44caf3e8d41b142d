"""ai reads the real chat as it reads the one that stands in for it elsewhere (tests/ai/neighbours.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from doran.ai import reading
from doran.ai.privacy import consents
from doran.contracts.errors import Problem
from doran.contracts.frames import ConversationView, MessageView
from doran.kernel import siblings
from doran.kernel.siblings import asking
from tests.ai.neighbours import Chat
from tests.cast import Person
from tests.wire import refuses


@contextmanager
def instead(chat: Chat) -> Iterator[None]:
    """Until the block ends it is this one that ai asks."""
    real = asking._local["chat"]
    siblings.register_local("chat", chat)
    try:
        yield
    finally:
        siblings.register_local("chat", real)


def answers(talk: str, user_id: str, at: int) -> list[Any]:
    seen = reading.conversation(talk, user_id)
    return [
        *(sorted((seen.participant1_id, seen.participant2_id)), [told(one) for one in seen.messages]),
        *([told(one) for one in reading.newest(talk, user_id, **asked)] for asked in ASKED),
        [told(one) for one in reading.around(talk, user_id, at, before=2, after=1)],
        *(walked(talk, user_id, since) for since in (0, 3)),
        reading.changes(talk, user_id, 10_000).reset,
    ]


ASKED: list[dict[str, int]] = [{"most": 3}, {"most": 500}, {"most": 500, "since_seq": 120}]


def walked(talk: str, user_id: str, since: int) -> list[Any]:
    found: list[Any] = []
    while True:
        page = reading.changes(talk, user_id, since)
        found += [told(one) for one in page.results]
        if not page.has_more:
            return found
        since = page.next_since


def told(one: MessageView) -> tuple[Any, ...]:
    return one.seq, one.change_seq, one.content, one.is_deleted, one.edited_at is not None


async def test_the_real_one_and_its_stand_in_say_the_same(minji: Person, junho: Person, talk: str) -> None:
    played = Chat()
    place = played.starts(minji.id, junho.id)
    for number in range(130):
        words = f"{number} 번째 말"
        await minji.sends(talk, words)
        played.says(place, minji.id, words)
    real = [await minji.gets(f"/api/chat/conversations/{talk}/messages/?after_seq={seq}&page_size=1") for seq in range(125, 129)]  # fmt: skip
    said = [page["results"][0] for page in real]
    await minji.edits(said[0], "다시 말하면")
    played.edits(place, place.messages[125], "다시 말하면")
    await minji.deletes(said[1])
    played.deletes(place, place.messages[126])
    await junho.deletes(said[2], scope="me")
    place.hidden.add((junho.id, place.messages[127].id))
    for reader in (minji, junho):
        seen = await asyncio.to_thread(answers, talk, reader.id, 127)
        with instead(played):
            assert await asyncio.to_thread(answers, place.id, reader.id, 127) == seen


async def test_rights_are_chats_to_say(minji: Person, sora: Person, talk: str) -> None:
    seen: ConversationView = await asyncio.to_thread(reading.conversation, talk, minji.id)
    assert seen.id == talk
    with pytest.raises(Problem, match="not_found"):
        await asyncio.to_thread(reading.conversation, talk, sora.id)
    assert (await asyncio.to_thread(reading.person, sora.id)).display_name == "sora"


async def test_two_people_allow_and_take_back(minji: Person, junho: Person, sora: Person, talk: str) -> None:
    path = f"/api/ai/consents/{talk}/"
    refuses(await sora.asks("PUT", path, {"scope": "history"}), 404, "not_found")
    for one in (minji, junho):
        assert (await one.asks("PUT", path, {"scope": "history"})).status == 200
    assert (await minji.gets(path))["agreed"] == "history"
    assert await asyncio.to_thread(consents.agreed, talk) == "history"
    assert (await junho.asks("PUT", path, {"scope": "off"})).json["agreed"] == "off"
