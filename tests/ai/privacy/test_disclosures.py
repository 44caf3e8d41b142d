"""What was sent where: a line for each person whose words went, and an export of all that is kept of one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doran.ai.models import AiJob, AiResponse, Disclosure, Source
from doran.ai.privacy import disclosures, keeping
from doran.ai.providers import About
from doran.contracts.errors import Problem
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock
from tests.ai.neighbours import Chat, Place
from tests.ai.privacy.conftest import Words, allows, in_one, job_of
from tests.cast import Person
from tests.wire import refuses

FAR = About("먼 곳", "models.example.com", model="large", is_outside=True)


async def noted(job: AiJob, words: Words, *, about: About = FAR, **more: Any) -> None:
    counted = {"characters": 10, "masked": 0, **more}
    await asyncio.to_thread(disclosures.note, job, about, words, **counted)


async def seen(person: Person, query: str = "") -> Any:
    return await person.gets(f"/api/ai/disclosures/{query}")


async def test_each_learns_of_their_own_words(
    chat: Chat, minji: Person, junho: Person, sora: Person, talk: Place
) -> None:
    said = [
        chat.says(talk, minji.id, "일곱 시?"),
        chat.says(talk, junho.id, "여덟 시"),
        chat.says(talk, junho.id, "응"),
    ]
    job = await job_of(minji, conversation_id=talk.id)
    await noted(job, Words(talk.id, talk.people, tuple(said)), masked=2)
    (mine,), (his,) = [(await seen(one))["results"] for one in (minji, junho)]
    assert (mine["messages"], mine["characters"], his["messages"], his["characters"]) == (1, 5, 2, 5)
    for line in (mine, his):
        told = {name: line[name] for name in ("asked_by", "provider", "host", "model", "is_outside", "masked", "kind")}
        assert told == {
            "asked_by": minji.id, "provider": "먼 곳", "host": "models.example.com", "model": "large",
            "is_outside": True, "masked": 2, "kind": "summarize",
        }  # fmt: skip
    assert (await seen(sora))["results"] == []


async def test_a_question_without_messages_is_the_askers(minji: Person) -> None:
    await noted(await job_of(minji, kind="rewrite", input="고쳐 줘"), Words(), characters=4)
    (line,) = (await seen(minji))["results"]
    assert (line["messages"], line["characters"]) == (0, 4)


async def test_the_assistant_is_nobody_to_tell(chat: Chat, minji: Person) -> None:
    talk = chat.starts(minji.id, ASSISTANT_ID)
    said = (chat.says(talk, minji.id, "안녕"), chat.says(talk, ASSISTANT_ID, "안녕하세요"))
    await noted(await job_of(minji, kind="reply"), Words(talk.id, talk.people, said))
    assert await asyncio.to_thread(lambda: set(Disclosure.objects.values_list("user_id", flat=True))) == {minji.id}


async def test_no_words_stand_in_it(chat: Chat, minji: Person, junho: Person, talk: Place) -> None:
    said = chat.says(talk, junho.id, "둘만 아는 말")
    await noted(await job_of(minji), Words(talk.id, talk.people, (said,)))
    rows = await asyncio.to_thread(lambda: list(Disclosure.objects.values()))
    assert "둘만" not in str(rows)


async def test_the_list_goes_on(minji: Person) -> None:
    job = await job_of(minji)
    for _ in range(5):
        await noted(job, Words())
    first = await seen(minji, "?page_size=3")
    rest = await seen(minji, "?" + first["next"].partition("?")[2])
    ids = [line["id"] for line in (*first["results"], *rest["results"])]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), rest["next"]) == (5, None)


@pytest.mark.parametrize("before", ["nonsense", "00000000-0000-0000-0000-000000000000", "his"])
async def test_a_place_that_is_not_in_my_list_is_refused(minji: Person, junho: Person, before: str) -> None:
    await noted(await job_of(junho), Words())
    if before == "his":
        before = (await seen(junho))["results"][0]["id"]
    answer = await minji.asks("GET", f"/api/ai/disclosures/?before={before}")
    refuses(answer, 422, "validation_failed", "before")


async def test_what_an_answer_rests_on_is_written_down_before_the_words_go(
    chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    said = chat.says(talk, junho.id, "여덟 시")
    job = await job_of(minji, conversation_id=talk.id)
    for _ in range(2):  # another provider is asked, or it is another attempt
        await noted(job, Words(talk.id, talk.people, (said,)))
    rows = await asyncio.to_thread(lambda: list(Source.objects.values_list("message_id", "sender_id")))
    assert rows == [(said.id, junho.id)]


async def test_words_of_a_deleted_message_do_not_go(chat: Chat, minji: Person, junho: Person, talk: Place) -> None:
    said = [chat.says(talk, junho.id, words) for words in ("여덟 시", "아니다")]
    await asyncio.to_thread(in_one, keeping.forget_message, said[1].id)
    with pytest.raises(Problem, match="not_found"):
        await noted(await job_of(minji), Words(talk.id, talk.people, tuple(said)))
    assert (await seen(junho))["results"] == []
    assert await asyncio.to_thread(Source.objects.count) == 0


async def test_an_export_holds_all_that_is_kept_of_me_and_nothing_of_others(
    chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    await allows(minji, talk.id, "on_demand")
    mine, his = await job_of(minji, input="내 질문"), await job_of(junho, input="그의 질문")
    for job in (mine, his):
        await asyncio.to_thread(answered, job, f"{job.input}에 대한 답")
        await noted(job, Words())
    told = await minji.gets("/api/ai/export/")
    assert (told["user_id"], [one["scope"] for one in told["consents"]]) == (minji.id, ["on_demand"])
    assert [(job["id"], job["input"], job["result"]["text"]) for job in told["jobs"]] == [
        (str(mine.id), "내 질문", "내 질문에 대한 답")
    ]
    assert len(told["disclosures"]) == 1
    assert "그의 질문" not in str(told)


def answered(job: AiJob, text: str) -> None:
    AiResponse.objects.create(id=clock.new_id(), job=job, data=f'{{"text": "{text}"}}', created_at=clock.now())
