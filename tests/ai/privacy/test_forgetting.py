"""Forgetting: whatever the order of things, nothing of a deleted message is anywhere in ai's database."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import msgspec
import pytest
from django.apps import apps
from django.db import OperationalError, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doran.ai.models import (
    AiJob,
    AiResponse,
    Consent,
    Disclosure,
    EmbeddedUpTo,
    Embedding,
    Forgotten,
    Outbox,
    Source,
    Translation,
)
from doran.ai.money import budgets
from doran.ai.privacy import disclosures, forgetting, keeping
from doran.ai.providers import About
from doran.ai.retrieval import storing
from doran.ai.translation import keeping as translations
from doran.contracts import events
from doran.contracts.errors import Problem
from doran.contracts.frames import JobResult, MessageView
from doran.kernel import clock
from doran.server.wiring import House
from tests import stores
from tests.ai.neighbours import Chat, Place
from tests.ai.privacy.conftest import Words, allows, happens, in_one, job_of
from tests.cast import Person
from tests.stage import eventually

NEAR = About("여기", "127.0.0.1", model="small", is_outside=False)


def everything(house: House) -> str:
    """All that stands in ai's database, as a program beside the house reads it."""
    tables = (*TABLES, "outbox", "deadletter")
    return str([stores.say(house.config.ai_database, f"SELECT * FROM ai_{table}") for table in tables])


TABLES = tuple(
    model._meta.db_table.removeprefix("ai_")
    for model in (AiJob, AiResponse, Source, Disclosure, Consent, Embedding, EmbeddedUpTo, Translation, Forgotten)
)


async def asked(question: Any, *args: Any, **more: Any) -> Any:
    return await asyncio.to_thread(question, *args, **more)


# -- keeping, as the recipes do it -------------------------------------------------------------------


def keep(said: MessageView, kind: Any) -> None:
    """Make something lasting of a message, unless it is gone."""
    with transaction.atomic(using="ai"):
        if keeping.gone(said.conversation_id, {said.id: said.change_seq}):
            return
        facts = {"message_id": said.id, "message_version": said.change_seq, "conversation_id": said.conversation_id}
        if kind is Embedding:
            words = said.content.encode()
            made = {"seq": said.seq, "model": "m", "vector": words, "grams": words}
        else:
            made = {"target": "en", "engine": "e", "source": "ko", "text": said.content}
        kind.objects.filter(message_id=said.id).delete()
        kind.objects.create(id=clock.new_id(), sender_id=said.sender_id, created_at=clock.now(), **facts, **made)


def ask(job: AiJob, said: MessageView) -> bool:
    """Show it to a model; whether that was allowed."""
    try:
        disclosures.note(job, NEAR, Words(said.conversation_id, (), (said,)), characters=1, masked=0)
    except Problem:
        return False
    AiJob.objects.filter(id=job.id, state="running").update(partial=said.content)
    return True


def answer(job: AiJob, said: MessageView) -> None:
    """End it as the worker does: only if nobody was faster, and the row of the job decides who was."""
    with transaction.atomic(using="ai"):
        if not AiJob.objects.filter(id=job.id, state="running").update(state="succeeded", partial=""):
            return
        data = msgspec.json.encode(JobResult(text=said.content)).decode()
        AiResponse.objects.create(id=clock.new_id(), job=job, data=data, created_at=clock.now())
        if job.kind == "reply":
            Outbox.add(
                events.AiMessageGenerated(
                    str(clock.new_id()), str(job.id), said.conversation_id, "bot", said.content, "now"
                )
            )


async def delete(said: MessageView) -> None:
    await asked(in_one, forgetting.on_message_deleted, Chat.deleted(said))


# -- stories -----------------------------------------------------------------------------------------


async def test_a_deletion_reaches_all_that_was_made_of_a_message(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    await allows(minji, talk.id, "history")
    said, other = chat.says(talk, junho.id, "지울 말"), chat.says(talk, junho.id, "남을 말")
    jobs = [await job_of(minji, kind=kind, conversation_id=talk.id) for kind in ("reply", "summarize")]
    unfinished, untouched = await job_of(minji), await job_of(minji)
    for kind in (Embedding, Translation):
        await asked(keep, said, kind)
    for job in (*jobs, unfinished):
        assert await asked(ask, job, said)
    for job in jobs:
        await asked(answer, job, said)
    assert await asked(ask, untouched, other)
    await asked(answer, untouched, other)
    assert "지울 말" in everything(house)

    await delete(said)
    assert "지울 말" not in everything(house)
    assert (await minji.gets(f"/api/ai/jobs/{jobs[1].id}/"))["result"]["forgotten"]
    assert (await minji.gets(f"/api/ai/jobs/{unfinished.id}/"))["failure_code"] == "not_found"
    assert (await minji.gets(f"/api/ai/jobs/{untouched.id}/"))["result"]["text"] == "남을 말"


async def test_who_comes_late_with_words_of_a_deleted_message_keeps_nothing(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    await allows(minji, talk.id, "history")
    said, job = chat.says(talk, junho.id, "지울 말"), await job_of(minji)
    await delete(said)
    for kind in (Embedding, Translation):
        await asked(keep, said, kind)
    assert not await asked(ask, job, said)
    assert "지울 말" not in everything(house)


async def test_an_edit_takes_the_old_words_and_leaves_the_new(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    await allows(minji, talk.id, "history")
    old = chat.says(talk, junho.id, "옛말")
    await asked(keep, old, Translation)
    new = chat.edits(talk, old, "새말")
    await asked(in_one, forgetting.on_message_updated, chat.updated(new))
    await asked(keep, new, Translation)
    await asked(keep, old, Embedding)
    await asked(in_one, forgetting.on_message_updated, chat.updated(new))  # as late as it likes
    assert "옛말" not in everything(house)
    assert "새말" in everything(house)


@pytest.mark.parametrize("active", [True, False])
async def test_who_is_switched_off_allows_nothing_any_more(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place, active: bool
) -> None:
    for one in (minji, junho):
        await allows(one, talk.id, "history")
    await asked(keep, chat.says(talk, junho.id, "기억할 말"), Embedding)
    event = events.UserDeactivated(junho.id, active, clock.rfc3339(clock.now()))
    await asked(in_one, forgetting.on_user_deactivated, event)
    assert ((await minji.gets(f"/api/ai/consents/{talk.id}/"))["theirs"] == "history") is active
    assert (await asked(Embedding.objects.count) == 1) is active


async def test_of_an_erased_person_nothing_stays_that_they_said_asked_or_were_told(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    for one in (minji, junho):
        await allows(one, talk.id, "history")
    said = chat.says(talk, junho.id, "준호의 말")
    hers, his = await job_of(minji), await job_of(junho, input="준호의 질문")
    running = await job_of(minji)
    for kind in (Embedding, Translation):
        await asked(keep, said, kind)
    for job in (hers, his, running):
        await asked(ask, job, said)
    for job in (hers, his):
        await asked(answer, job, said)
    event = events.UserErased(junho.id, clock.rfc3339(clock.now()))
    await asked(in_one, forgetting.on_user_erased, event)
    assert "준호의" not in everything(house)
    for kind in (AiJob, Consent, Disclosure):
        assert await asked(kind.objects.filter(user_id=junho.id).count) == 0
    assert (await minji.gets(f"/api/ai/jobs/{hers.id}/"))["result"]["forgotten"]
    assert (await minji.gets(f"/api/ai/jobs/{running.id}/"))["failure_code"] == "not_found"


def where(house: House, words: str) -> set[str]:
    """Every column of ai's database in which these words stand, whatever it is for."""
    kept = stores.copied(house.config.ai_database)
    return {
        f"{table}.{name}" for table, rows in kept.items() for row in rows for name in row if words in str(row[name])
    }


PEOPLE = ("user_id", "sender_id", "asked_by", "participant1_id", "participant2_id")
NAMING = {"ai_spending.scope"} | {
    f"{model._meta.db_table}.{column.name}"
    for model in apps.get_app_config("ai").get_models()
    for column in model._meta.concrete_fields
    if column.name in PEOPLE
}
"""All columns that name people."""


async def leave_traces(chat: Chat, minji: Person, junho: Person, talk: Place) -> None:
    """준호 is named wherever anybody can be."""
    for one in (minji, junho):
        await allows(one, talk.id, "history")
    await asked(storing.move, talk.id, junho.id, "m", 1)
    begun, his, hers = (
        chat.starts(junho.id, minji.id),
        chat.says(talk, junho.id, "응"),
        chat.says(talk, minji.id, "왜?"),
    )
    await allows(junho, begun.id, "on_demand")
    for kind in (Embedding, Translation):
        await asked(keep, his, kind)
    for one in (minji, junho):
        for said in (his, hers):
            assert await asked(ask, await job_of(one, conversation_id=talk.id), said)
    await asked(budgets.count_job, junho.id)


async def test_no_row_names_an_erased_person(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    await leave_traces(chat, minji, junho, talk)
    assert where(house, junho.id) >= NAMING
    await happens(house, events.UserErased(junho.id, clock.rfc3339(clock.now())))
    await eventually(lambda: not stores.copied(house.config.ai_database)["ai_outbox"])
    assert where(house, junho.id) == set()
    assert where(house, minji.id) >= {"ai_aijob.user_id", "ai_disclosure.user_id", "ai_disclosure.asked_by"}
    lines = (await minji.gets("/api/ai/disclosures/"))["results"]
    assert {line["asked_by"] for line in lines} == {minji.id, ""}
    assert (await minji.gets(f"/api/ai/consents/{talk.id}/"))["theirs"] == "off"


async def test_who_reads_on_names_an_erased_person_no_more(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    """What was read before may go to a provider after it; and chat goes on showing what they said."""
    await allows(minji, talk.id, "on_demand")
    said, job, his = chat.says(talk, junho.id, "응"), await job_of(minji), await job_of(junho, input="왜?")
    await happens(house, events.UserErased(junho.id, clock.rfc3339(clock.now())))
    assert await asked(ask, job, said)
    await asked(translations.keep, said, minji.id, target="en", engine="e", source="ko", text="Yes")
    for late in (said, chat.says(talk, minji.id, "여보세요")):
        assert not await asked(ask, his, late), "the question of somebody who is gone"
    await eventually(lambda: not stores.copied(house.config.ai_database)["ai_outbox"])
    assert where(house, junho.id) == set()
    (line,) = (await minji.gets("/api/ai/disclosures/"))["results"]
    assert (line["messages"], line["characters"]) == (0, 1)


async def test_what_was_forgotten_long_ago_is_forgotten_itself(minji: Person) -> None:
    for message_id, days in (("old", 8), ("new", 6)):
        at = clock.now() - keeping.REMEMBERED_FOR * days / 7
        await asked(Forgotten.objects.create, message_id=message_id, at=at)
    assert await asked(keeping.prune) == 1
    assert await asked(lambda: list(Forgotten.objects.values_list("message_id", flat=True))) == ["new"]


# -- any order ---------------------------------------------------------------------------------------


STEPS = ("read", "embed", "translate", "ask", "ask to reply", "answer", "edit", "hear of the edit")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(STEPS), max_size=14), deleted_at=st.integers(0, 14), heard_at=st.integers(0, 14))
async def test_in_any_order_nothing_of_a_deleted_message_stays(
    house: House, minji: Person, junho: Person, chat: Chat, steps: list[str], deleted_at: int, heard_at: int
) -> None:
    """What is read before the deletion may be written long after ai has heard of it."""
    talk = chat.starts(minji.id, junho.id)
    await allows(minji, talk.id, "history")
    play = Play(chat, talk, chat.says(talk, junho.id, f"비밀 하나 {talk.id}"), minji)
    order = [*steps[:deleted_at], "delete", *steps[deleted_at:]]
    order.insert(max(order.index("delete") + 1, heard_at), "hear of the deletion")
    for step in order:
        await play.does(step)
    left = everything(house)
    assert f"비밀 하나 {talk.id}" not in left
    assert f"비밀 둘 {talk.id}" not in left


class Play:
    """One message, those who are at work with it, and what of it ai has read so far."""

    def __init__(self, chat: Chat, talk: Place, said: MessageView, asker: Person) -> None:
        self.chat, self.talk, self.now, self.asker = chat, talk, said, asker
        self.read = said
        self.jobs: list[AiJob] = []

    async def does(self, step: str) -> None:
        match step:
            case "read":
                if not self.now.is_deleted:
                    self.read = self.now
            case "embed" | "translate":
                await asked(keep, self.read, Embedding if step == "embed" else Translation)
            case "ask" | "ask to reply":
                kind = "reply" if step == "ask to reply" else "summarize"
                job = await job_of(self.asker, kind=kind, conversation_id=self.talk.id)
                if await asked(ask, job, self.read):
                    self.jobs.append(job)
            case "answer":
                for job in self.jobs:
                    await asked(answer, job, self.read)
            case "edit":
                if not self.now.is_deleted:
                    self.now = self.chat.edits(self.talk, self.now, f"비밀 둘 {self.talk.id}")
            case "hear of the edit":
                if self.now.edited_at and not self.now.is_deleted:
                    await asked(in_one, forgetting.on_message_updated, self.chat.updated(self.now))
            case "delete":
                self.now = self.chat.deletes(self.talk, self.now)
            case "hear of the deletion":
                await delete(self.now)


# -- at the same time --------------------------------------------------------------------------------


async def test_a_deletion_in_the_midst_of_the_work_leaves_nothing(
    house: House, chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    """Everybody at once, each on a connection of their own, for each of many messages."""
    await allows(minji, talk.id, "history")
    said = [chat.says(talk, junho.id, f"비밀 {number}") for number in range(24)]
    jobs = [await job_of(minji, kind="reply", conversation_id=talk.id) for _ in said]
    with ThreadPoolExecutor(8) as threads:
        loop = asyncio.get_running_loop()
        steps = [step for pair in zip(said, jobs, strict=True) for step in work(*pair)]
        await asyncio.gather(*(loop.run_in_executor(threads, closing, step) for step in steps))
    left = everything(house)
    assert [one.content for one in said if one.content in left] == []


def work(said: MessageView, job: AiJob) -> list[Any]:
    def at_the_model() -> None:
        if ask(job, said):
            answer(job, said)

    deletion = partial(in_one, forgetting.on_message_deleted, Chat.deleted(said))
    steps = [partial(keep, said, Embedding), partial(keep, said, Translation), at_the_model, deletion]
    random.shuffle(steps)
    return steps


def closing(step: Any) -> None:
    """A step that the database refuses for the others' sake is repeated, as by who does it in earnest."""
    try:
        for _ in range(20):
            try:
                return step()
            except OperationalError:
                time.sleep(random.random() / 50)
        raise AssertionError("it was refused each time")
    finally:
        connections["ai"].close()
