"""Events between real services in one process: core speaks, chat hears through its own writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import Any

import pytest
from django.db import transaction

from doran.contracts import events
from doran.kernel import clock, redaction, telemetry
from doran.kernel.inbox import Replayed
from doran.server.wiring import House
from tests.stage import staged

NOW = "2026-11-23T12:00:00.000000Z"


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with staged(services=("core", "chat", "ai")) as one:
        yield one


async def core_says(house: House, *said: events.Event) -> None:
    """Core changes something; returns when everybody has heard of it."""

    def change() -> None:
        from doran.core.models import Outbox

        with transaction.atomic(using="core"):
            for event in said:
                Outbox.add(event)

    await asyncio.to_thread(change)
    for relay in house.relays:
        assert await asyncio.to_thread(relay.drain)


async def asked(question: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(question)


def born(name: str, user_id: str) -> events.UserCreated:
    return events.UserCreated(user_id=user_id, username=name, display_name=name, created_at=NOW)


def known(user_id: str) -> str | None:
    from doran.chat.models import Person

    person = Person.objects.filter(user_id=user_id).first()
    return person and person.display_name


async def test_chat_knows_whom_core_has_made(house: House) -> None:
    await core_says(house, born("민지", "minji"), born("준호", "junho"))
    assert await asked(lambda: (known("minji"), known("junho"), known("sora"))) == ("민지", "준호", None)


async def test_an_event_chat_cannot_digest_waits_and_harms_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = house.chat
    assert chat is not None
    learn = chat.consumer.handlers["user.created"]
    sick = {"minji"}

    def learn_or_fall_ill(event: events.UserCreated) -> None:
        learn(event)
        if event.user_id in sick:
            raise ValueError(event.display_name)

    ear = chat.consumer
    monkeypatch.setitem(ear.handlers, "user.created", learn_or_fall_ill)  # type: ignore[arg-type]
    object.__setattr__(ear, "pauses", (0.0,))
    renamed = events.UserUpdated("minji", "minji", "민지 2", None, "", "ko", NOW)
    await core_says(house, born("민지", "minji"), renamed, born("준호", "junho"))

    assert await asked(lambda: (known("minji"), known("junho"))) == (None, "준호")
    letters = await asked(ear.letters.listed)
    assert [(letter.event_type, letter.key) for letter in letters] == [
        ("user.created", "minji"),
        ("user.updated", "minji"),
    ]
    assert letters[0].reason.startswith("ValueError at ")
    assert b'doran_dead_letters{service="chat"} 2.0' in (await asked(telemetry.render))[0]

    sick.clear()
    assert await asked(ear.replay) == Replayed(handled=2, stuck=0)
    assert await asked(lambda: known("minji")) == "민지 2"
    assert await asked(ear.letters.listed) == []


async def test_chat_deletes_what_was_published_through_its_own_writer(house: House) -> None:
    from doran.chat.models import Outbox

    chat = house.chat
    assert chat is not None
    made = events.ConversationCreated("c1", "minji", "junho", clock.rfc3339(clock.now()))
    await asked(lambda: chat.writer.run(lambda: Outbox.add(made)))
    assert await asked(chat.relay.drain)
    assert await asked(Outbox.objects.count) == 0
    assert b'doran_outbox_unpublished{service="chat"} 0.0' in (await asked(telemetry.render))[0]


def test_whoever_speaks_knows_who_listens_to_what() -> None:
    """A broker keeps events for a service that has never run only if the table of the contract names them."""
    for service, heard in events.LISTENERS.items():
        handled = import_module(f"doran.{service}.subscribers").SUBSCRIPTIONS.keys()
        assert heard == handled | redaction.concerning(handled), f"contracts/events.py, LISTENERS: {service}"
