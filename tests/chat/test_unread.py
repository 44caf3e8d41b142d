"""Unread is what I have not read and could still read: the same number wherever it is told."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connections

from doran.chat import recount
from doran.chat.models import Member
from tests.cast import Person
from tests.chat.conftest import Play
from tests.chat.device import Device


async def everywhere(person: Person, talk: str) -> set[int]:
    """Every number that this person is told for this conversation without claiming anything."""
    listed = await person.gets("/api/chat/users/me/conversations/")
    synced = await person.syncs(known={})
    whole = await person.sees(talk)
    return {one["unread_count"] for one in (*listed["results"], *synced["conversations"], whole) if one["id"] == talk}


async def sent(person: Person, talk: str, count: int) -> list[Any]:
    return [await person.sends(talk, f"{number}") for number in range(1, count + 1)]


async def test_a_deleted_message_is_not_unread(play: Play, minji: Person, junho: Person, talk: str) -> None:
    one, two, three = await sent(minji, talk, 3)
    his = await junho.opens()
    assert await everywhere(junho, talk) == {3}
    await minji.deletes(two)
    assert (await his.hears("message_deleted"))["message"]["id"] == two["id"]
    assert (await his.hears("conversation_updated"))["conversation"]["unread_count"] == 2
    assert await everywhere(junho, talk) == {2}
    assert (await junho.marks(three, "delivered"))["unread_count"] == 2
    before = play.rows("member")
    await minji.deletes(two)
    assert play.rows("member") == before
    assert await everywhere(junho, talk) == {2}
    assert (await junho.marks(one))["unread_count"] == 1
    assert (await junho.marks(two))["unread_count"] == 1
    assert (await junho.marks(three))["unread_count"] == 0
    assert await everywhere(junho, talk) == {0}


async def test_what_i_hid_from_myself_is_not_unread(minji: Person, junho: Person, talk: str) -> None:
    one, two, _ = await sent(minji, talk, 3)
    his = await junho.opens()
    await junho.deletes(one, scope="me")
    assert (await his.hears("conversation_updated"))["conversation"]["unread_count"] == 2
    await minji.deletes(one)
    await junho.deletes(one, scope="me")
    assert await everywhere(junho, talk) == {2}
    await minji.deletes(two)
    await junho.deletes(two, scope="me")
    assert await everywhere(junho, talk) == {1}


async def test_all_that_was_unread_is_deleted(minji: Person, junho: Person, talk: str) -> None:
    for message in await sent(minji, talk, 3):
        await minji.deletes(message)
    assert await everywhere(junho, talk) == {0}
    await minji.sends(talk, "다시")
    assert await everywhere(junho, talk) == {1}


async def test_an_answer_reads_what_was_deleted_too(minji: Person, junho: Person, talk: str) -> None:
    _, two = await sent(minji, talk, 2)
    await minji.deletes(two)
    await junho.sends(talk, "응")
    three, _ = await sent(minji, talk, 2)
    assert await everywhere(junho, talk) == {2}
    await minji.deletes(three)
    assert await everywhere(junho, talk) == {1}


async def test_clearing_passes_what_was_deleted(minji: Person, junho: Person, talk: str) -> None:
    one, two, three, _ = await sent(minji, talk, 4)
    for message in (one, three):
        await minji.deletes(message)
    assert (await junho.changes(talk, hidden_before_seq=two["seq"] + 1))["unread_count"] == 1
    assert (await junho.changes(talk, hidden_before_seq=three["seq"] + 1))["unread_count"] == 1


async def test_what_is_read_may_go_without_a_trace(minji: Person, junho: Person, talk: str) -> None:
    one, two = await sent(minji, talk, 2)
    await junho.marks(one)
    his = await junho.opens(talk)
    await minji.deletes(one)
    frames = await his.hears_nothing_before_pong()
    assert [frame["type"] for frame in frames] == ["conversation_history", "message_deleted"]
    assert await everywhere(junho, talk) == {1}
    assert (await junho.marks(two))["unread_count"] == 0


async def test_a_device_that_was_away_agrees(minji: Person, junho: Person, talk: str) -> None:
    device = Device(junho)
    one, _ = await sent(minji, talk, 2)
    await device.catches_up()
    await minji.deletes(one)
    await device.catches_up()
    assert device.conversations[talk]["unread_count"] == device.view()[talk]["unread_count"] == 1


async def test_what_was_deleted_before_the_upgrade_is_not_unread(minji: Person, junho: Person, talk: str) -> None:
    """The migration fills the numbers; a process of the version before leaves them, and nothing breaks."""
    one, two, three, four = await sent(minji, talk, 4)
    await junho.marks(one)
    for message in (one, two):
        await minji.deletes(message)
    for message in (two, three):
        await junho.deletes(message, scope="me")
    await asyncio.to_thread(_as_before)
    assert await everywhere(junho, talk) == {3}
    await asyncio.to_thread(_migrated)
    assert await everywhere(junho, talk) == {1}
    assert (await minji.sees(talk))["unread_count"] == 0
    assert (await junho.marks(four))["unread_count"] == 0


async def test_what_is_stored_is_recomputed(minji: Person, junho: Person, talk: str) -> None:
    one, two, three, four, five = await sent(minji, talk, 5)
    await junho.marks(one)
    for message in (one, two, three):
        await minji.deletes(message)
    for message in (three, four):
        await junho.deletes(message, scope="me")
    assert await everywhere(junho, talk) == {1}
    looked = (await asyncio.to_thread(_recounted)).looked
    assert looked >= 2
    assert await asyncio.to_thread(_recounted, seconds=5.0) == (looked, 0, True)
    await junho.changes(talk, hidden_before_seq=three["seq"] + 1)
    assert await asyncio.to_thread(_recounted) == (looked, 0, True)
    await junho.marks(five)
    assert await asyncio.to_thread(_recounted) == (looked, 0, True)


@pytest.mark.parametrize("stored", [(0, 0), (1, 1), (7, 1), (2, 0)])
async def test_what_differs_is_counted_and_set_right(
    minji: Person, junho: Person, talk: str, stored: tuple[int, int]
) -> None:
    one, two, three, _ = await sent(minji, talk, 4)
    await junho.marks(one)
    await minji.deletes(two)
    await junho.deletes(three, scope="me")
    await asyncio.to_thread(_stored, *stored)
    assert await everywhere(junho, talk) != {1}
    before = await everywhere(junho, talk)
    looked, differ, _ = await asyncio.to_thread(_recounted)
    assert differ >= 1
    assert await everywhere(junho, talk) == before
    assert await asyncio.to_thread(_recounted, repair=True) == (looked, 0, True)
    assert await everywhere(junho, talk) == {1}
    assert (await minji.sees(talk))["unread_count"] == 0
    assert await asyncio.to_thread(_recounted) == (looked, 0, True)


async def test_pieces_leave_nobody_out_and_end_in_time(
    minji: Person, junho: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recount, "PIECE", 1)
    _, two = await sent(minji, talk, 2)
    await minji.deletes(two)
    await asyncio.to_thread(_stored, 0, 0)
    looked, differ, everybody = await asyncio.to_thread(_recounted)
    assert (looked >= 2, differ, everybody) == (True, 1, True)
    in_time = await asyncio.to_thread(_recounted, seconds=0.0)
    assert (in_time.looked, in_time.all) == (1, False)


def _recounted(*, seconds: float | None = None, repair: bool = False) -> recount.Recounted:
    try:
        return recount.recount(seconds=seconds, repair=repair)
    finally:
        connections["chat"].close()


def _stored(deleted: int, after: int) -> None:
    try:
        Member.objects.using("chat").filter(last_read_seq__lt=2).update(
            unread_deleted=deleted, unread_deleted_after=after
        )
    finally:
        connections["chat"].close()


def _as_before() -> None:
    try:
        Member.objects.using("chat").update(unread_deleted=0, unread_deleted_after=0)
    finally:
        connections["chat"].close()


def _migrated() -> None:
    try:
        with connections["chat"].schema_editor() as editor:
            import_module("doran.chat.migrations.0008_unread").fill(apps, editor)
    finally:
        connections["chat"].close()
