"""ai alone, beside a chat that answers as chat does: 민지 and 준호 talk, 소라 is the outsider."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from doran.ai.models import AiJob
from doran.contracts import events
from doran.contracts.frames import MessageView
from doran.kernel import clock
from doran.server.wiring import House
from tests.ai.conftest import person
from tests.ai.neighbours import Chat, Place, beside, envelope
from tests.cast import Person


@pytest.fixture
def chat(house: House) -> Iterator[Chat]:
    with beside() as chat:
        yield chat


@pytest.fixture
def junho(house: House) -> Person:
    return person(house, "준호")


@pytest.fixture
def talk(chat: Chat, minji: Person, junho: Person) -> Place:
    """The conversation that 민지 began with 준호."""
    return chat.starts(minji.id, junho.id)


async def allows(one: Person, conversation_id: str, scope: str) -> Any:
    answer = await one.asks("PUT", f"/api/ai/consents/{conversation_id}/", {"scope": scope})
    assert answer.status == 200, answer.body
    return answer.json


async def happens(house: House, event: events.Event) -> Any:
    """Somebody says something; returns when ai has dealt with it."""
    ear = next(one for one in house.consumers if one.subscription == "ai")
    return await asyncio.to_thread(ear.handle, envelope(event))


@dataclass(frozen=True)
class Words:
    """Whose words are in what is asked, as the gate says it."""

    conversation_id: str | None = None
    people: tuple[str, ...] = ()
    messages: tuple[MessageView, ...] = ()


async def job_of(one: Person, **facts: Any) -> AiJob:
    """A job of somebody's, as it stands while somebody is at work on it."""
    now, later = clock.now(), clock.now() + timedelta(hours=1)
    given: dict[str, Any] = {"kind": "summarize", "state": "running", "asked_digest": b"", **facts}
    job = AiJob(
        id=clock.new_id(), user_id=one.id, due_at=now, deadline_at=later, held_until=later, claim="somebody",
        created_at=now, updated_at=now, **given,
    )  # fmt: skip
    await asyncio.to_thread(job.save, force_insert=True)
    return job


def in_one(change: Any, *args: Any) -> Any:
    """The change in one transaction, as a subscriber makes it."""
    with transaction.atomic(using="ai"):
        return change(*args)
