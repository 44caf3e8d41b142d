"""What the writer keeps of the counter rows is never older than the rows: others write too, and commits fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import IntegrityError, connections
from django.db.models import F, Model

from doran.chat import statements
from doran.chat.models import Conversation, Message
from tests.cast import Person


async def elsewhere(**changes: Any) -> None:
    """Somebody else writes, over a connection of their own."""

    def write() -> None:
        try:
            Conversation.objects.using("chat").update(**changes)
        finally:
            connections["chat"].close()

    await asyncio.to_thread(write)


async def test_what_another_process_closed_is_closed_at_once(minji: Person, talk: str) -> None:
    await minji.sends(talk, "하나")
    await elsewhere(is_active=False)
    refused = await minji.tries_to_send(talk, "둘")
    assert (refused.status, refused.json["code"]) == (403, "recipient_unavailable")
    assert (await minji.sees(talk))["last_seq"] == 1


async def test_numbers_go_on_from_what_another_process_wrote(minji: Person, talk: str) -> None:
    await minji.sends(talk, "하나")
    await elsewhere(change_seq=F("change_seq") + 41)
    assert (await minji.sends(talk, "둘"))["change_seq"] == 43


async def test_a_commit_that_failed_leaves_no_number_behind(
    monkeypatch: pytest.MonkeyPatch, minji: Person, junho: Person, talk: str
) -> None:
    await minji.sends(talk, "하나")
    insert, fails = statements.insert_many, iter([True, True, False])

    def sometimes(model: type[Model], *what: object) -> None:
        if model is Message and next(fails, False):  # other threads store other things meanwhile
            raise IntegrityError("for once")
        insert(model, *what)  # type: ignore[arg-type]

    monkeypatch.setattr("doran.chat.storing.sql.insert_many", sometimes)
    refused = await minji.tries_to_send(talk, "둘")
    assert refused.status == 503
    assert (await minji.sends(talk, "셋"))["seq"] == 2
    assert (await junho.sees(talk))["unread_count"] == 2


async def test_marks_and_sends_of_one_person_agree(minji: Person, junho: Person, talk: str) -> None:
    """준호 reads, answers and reads again; what he marked himself and what his answer marked is one state."""
    for number in range(3):
        await minji.sends(talk, f"질문 {number}")
        mine = await junho.sends(talk, f"답 {number}")
        answer = await junho.asks("POST", f"/api/chat/messages/{mine['id']}/read/")
        assert (answer.json["up_to_seq"], answer.json["unread_count"]) == (mine["seq"], 0)
        assert (await minji.sees(talk))["peer"]["last_read_seq"] == mine["seq"]
