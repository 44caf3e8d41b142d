"""What is written to the assistant becomes jobs: each question answered once, in order, and nobody else's words."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from doran.ai.jobs import asking
from doran.ai.jobs.work import Subject, Work
from doran.ai.models import AiJob, Outbox
from doran.ai.money import switch
from doran.ai.privacy import disclosures
from doran.ai.providers import About
from doran.contracts import events
from doran.contracts.frames import JobResult, MessageView
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock
from doran.server.wiring import House
from tests.ai.conftest import MINT
from tests.ai.kitchen import Kitchen, job, until
from tests.ai.neighbours import Chat, Place, beside, envelope
from tests.cast import Person
from tests.stage import eventually, staged


@pytest.fixture
async def house(kitchen: Kitchen) -> Any:
    async with staged(services=("ai",), own_keys=MINT.published) as house:
        yield house


@pytest.fixture
def chat(house: House) -> Iterator[Chat]:
    with beside() as chat:
        yield chat


@pytest.fixture
def talk(chat: Chat, minji: Person) -> Place:
    """민지's conversation with the assistant."""
    return chat.starts(minji.id, ASSISTANT_ID)


class Room:
    """Chat and ai, with a word that goes from one to the other. `answers` is what ai wants said."""

    def __init__(self, house: House, chat: Chat) -> None:
        self._chat = chat
        self.answers: list[events.Envelope] = []
        house.bus.subscribe("audience", ["ai.message.generated"], self.answers.append)
        [self._ear] = [one for one in house.consumers if one.subscription == "ai"]

    async def says(self, place: Place, sender: str, text: str) -> MessageView:
        said = self._chat.says(place, sender, text)
        await self.hears(self._chat.created(said))
        return said

    async def hears(self, event: events.Event, **more: Any) -> None:
        await asyncio.to_thread(self._ear.handle, msgspec.structs.replace(envelope(event), **more))


@pytest.fixture
def room(house: House, chat: Chat) -> Room:
    return Room(house, chat)


async def jobs(**where: Any) -> list[AiJob]:
    return await asyncio.to_thread(lambda: list(AiJob.objects.filter(**where).order_by("created_at", "id")))


async def only_job(**where: Any) -> AiJob:
    [row] = await jobs(**where)
    return row


async def test_what_is_written_to_it_is_answered(room: Room, kitchen: Kitchen, minji: Person, talk: Place) -> None:
    asked = await room.says(talk, minji.id, "몇 시야?")
    begun = await only_job()
    assert (begun.kind, begun.user_id, begun.conversation_id, begun.message_id) == (
        "reply", minji.id, talk.id, asked.id,
    )  # fmt: skip
    ended = await until(minji, str(begun.id))
    assert ended["state"] == "succeeded"
    assert [work.options for work in kitchen.begun] == ['{"locale":"ko"}']


async def test_the_same_message_heard_again_is_not_answered_again(room: Room, minji: Person, talk: Place) -> None:
    said = talk_says(talk, minji)
    for event_id in ("1", "1", "2"):
        await room.hears(said, event_id=f"00000000-0000-7000-8000-00000000000{event_id}")
    await until(minji, str((await only_job()).id))
    await room.hears(said, event_id="00000000-0000-7000-8000-000000000003")
    assert len(await jobs()) == 1


def talk_says(talk: Place, who: Person, text: str = "몇 시야?") -> events.MessageCreated:
    now = clock.rfc3339(clock.now())
    return events.MessageCreated(str(clock.new_id()), talk.id, who.id, ASSISTANT_ID, 1, text, "text", now)


@pytest.mark.parametrize(
    ("text", "locale"), [("뭐해", "ko"), ("What time is it?", "en"), ("ㅋㅋ ok", "ko"), ("1+1", "ko")]
)
async def test_it_is_put_in_the_language_of_the_question(
    room: Room, kitchen: Kitchen, minji: Person, talk: Place, text: str, locale: str
) -> None:
    heard: list[str] = []

    async def cook(work: Work) -> JobResult:
        heard.append(work.locale)
        return JobResult(text="네.")

    kitchen.cook = cook
    await room.says(talk, minji.id, text)
    await until(minji, str((await only_job()).id))
    assert heard == [locale]


# -- several messages ------------------------------------------------------------------------------


async def test_who_writes_on_before_it_begins_gets_one_answer(
    room: Room, kitchen: Kitchen, house: House, minji: Person, talk: Place
) -> None:
    kitchen.hold()
    for worker in house.workers:
        await asyncio.to_thread(worker.stop)
    said = [await room.says(talk, minji.id, text) for text in ("저기", "내일", "비 와?")]
    waiting = await only_job()
    assert (waiting.state, waiting.message_id) == ("queued", said[-1].id)


async def test_who_writes_while_it_answers_gets_the_next_answer_after_it(
    room: Room, kitchen: Kitchen, minji: Person, talk: Place
) -> None:
    done = threading.Event()

    async def cook(work: Work) -> JobResult:
        await work.aside(done.wait, 10)
        return JobResult(text=f"{len(kitchen.begun)}번째 답")

    kitchen.cook = cook
    await room.says(talk, minji.id, "하나")
    first = await only_job()
    await until(minji, str(first.id), "running")
    await room.says(talk, minji.id, "둘")
    last = await room.says(talk, minji.id, "셋")
    _, second = await jobs()
    assert (second.state, second.message_id) == ("queued", last.id)
    done.set()
    await until(minji, str(first.id))
    assert (await job(minji, str(second.id)))["state"] == "queued", "its turn is when the first answer stands there"
    await room.says(talk, ASSISTANT_ID, "1번째 답")
    assert (await until(minji, str(second.id)))["result"]["text"] == "2번째 답"
    assert len(await jobs()) == 2


async def test_who_asks_as_soon_as_the_answer_stands_there_is_answered_at_once(
    room: Room, minji: Person, talk: Place
) -> None:
    await room.says(talk, minji.id, "하나")
    first = await only_job()
    await until(minji, str(first.id))
    [told] = await eventually(lambda: room.answers)
    await asyncio.to_thread(keep_in_outbox, told)  # the bus has it, and the relay has not let go of it yet
    answer = json.loads(bytes(told.data))["response_id"]
    now = clock.rfc3339(clock.now())
    await room.hears(
        events.MessageCreated(
            str(clock.new_id()),
            talk.id,
            ASSISTANT_ID,
            minji.id,
            2,
            "네.",
            "text",
            now,
            client_message_id=f"ai:{answer}",
        )
    )
    await room.says(talk, minji.id, "둘")
    _, second = await jobs()
    await until(minji, str(second.id))


def keep_in_outbox(told: events.Envelope) -> None:
    Outbox.objects.create(
        event_id=clock.new_id(), event_type=told.event_type, key=told.key, data=bytes(told.data).decode(),
        timestamp=clock.now(), lane=0,
    )  # fmt: skip


async def test_what_an_answer_has_read_already_is_not_answered_again(
    room: Room, kitchen: Kitchen, minji: Person, talk: Place
) -> None:
    done = threading.Event()

    async def cook(work: Work) -> JobResult:
        await work.aside(done.wait, 10)
        await work.aside(rests_on_all, work.job, talk)
        return JobResult(text="둘 다 답이에요")

    kitchen.cook = cook
    await room.says(talk, minji.id, "하나")
    first = await only_job()
    await until(minji, str(first.id), "running")
    late = await room.says(talk, minji.id, "둘")
    done.set()
    await until(minji, str(first.id))
    assert len(await jobs()) == 2
    [told] = await eventually(lambda: room.answers)
    assert json.loads(bytes(told.data))["reply_to"] == late.id
    await room.says(talk, ASSISTANT_ID, "둘 다 답이에요")
    await room.hears(events.MessageCreated(late.id, talk.id, minji.id, ASSISTANT_ID, 2, "둘", "text", late.created_at))
    assert [one.id for one in await jobs()] == [first.id]


def rests_on_all(job: AiJob, talk: Place) -> None:
    about = About("near", "127.0.0.1", is_outside=False)
    disclosures.note(job, about, Subject(talk.id, talk.people, tuple(talk.messages)), characters=1, masked=0)


async def test_an_answer_that_never_comes_holds_nobody_up(
    room: Room, kitchen: Kitchen, minji: Person, talk: Place
) -> None:
    kitchen.hold()
    await room.says(talk, minji.id, "하나")
    first = await only_job()
    await until(minji, str(first.id), "running")
    await room.says(talk, minji.id, "둘")
    answer = await minji.asks("POST", f"/api/ai/jobs/{first.id}/cancel/")
    assert answer.json["state"] == "cancelled"
    _, second = await jobs()
    await until(minji, str(second.id), "running")


# -- what is not answered --------------------------------------------------------------------------


async def test_its_own_words_and_those_of_people_among_themselves_are_not_for_it(
    room: Room, chat: Chat, minji: Person, sora: Person, talk: Place
) -> None:
    among_people = chat.starts(minji.id, sora.id)
    await room.says(among_people, minji.id, "도란아, 소라한테 내 비밀번호 알려 줘")
    await room.says(among_people, sora.id, f"@{ASSISTANT_ID} 뭐야?")
    await room.says(talk, ASSISTANT_ID, "제가 먼저 말할게요. 이 말에 답하세요!")
    now = clock.rfc3339(clock.now())
    await room.hears(
        events.MessageCreated(str(clock.new_id()), talk.id, ASSISTANT_ID, ASSISTANT_ID, 9, "나야", "text", now)
    )
    assert await jobs() == []


async def test_what_nobody_can_answer_fails_before_the_eyes_of_its_asker(
    room: Room, kitchen: Kitchen, chat: Chat, minji: Person, talk: Place
) -> None:
    await asyncio.to_thread(switch.turn, off=True)
    await room.says(talk, minji.id, "몇 시야?")
    failed = await only_job()
    assert (failed.state, failed.failure_code, kitchen.begun) == ("failed", "ai_off", [])
    shown = await eventually(lambda: next((one for one in chat.told if one["frame"]["type"] == "ai.job"), None))
    assert shown["user_ids"] == [minji.id]
    assert (shown["frame"]["job"]["state"], shown["frame"]["job"]["failure_code"]) == ("failed", "ai_off")
    assert room.answers == []


async def test_a_person_cannot_take_the_key_of_a_question_to_silence_it(
    room: Room, kitchen: Kitchen, minji: Person, talk: Place
) -> None:
    said = talk_says(talk, minji)
    taken = asking.Question("rewrite", input="x", options={"style": "polite"}, key=f"message:{said.message_id}")
    await asyncio.to_thread(asking.ask, minji.id, taken)
    await room.hears(said)
    assert [(one.state, one.failure_code) for one in await jobs(kind="reply")] == [("failed", "internal_error")]
