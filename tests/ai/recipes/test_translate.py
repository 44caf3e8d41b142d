"""translate: the first engine that can, once for each version of a message, and honest where it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from doran.ai.models import Conversation, Forgotten, Translation
from doran.ai.providers import About, Trouble, links
from doran.ai.shop import shop
from doran.ai.translation.desk import Desk
from doran.ai.translation.engine import Engine, Translated, Wish
from doran.contracts.errors import Problem
from doran.kernel import clock
from tests.ai.recipes.conftest import JUNHO, MINJI, Play, said


class Scripted:
    """An engine that says what it is told to."""

    def __init__(
        self, name: str, says: Callable[[str], str] | Exception, *, knows: str = "en ko ja", outside: bool = True
    ) -> None:
        self.about, self.says, self.knows = About(name, f"{name}.example", model=name, is_outside=outside), says, knows
        self.wishes: list[Wish] = []

    def can(self, wish: Wish) -> bool:
        return wish.target in self.knows.split()

    async def translate(self, text: str, wish: Wish) -> Translated:
        self.wishes.append(wish)
        if isinstance(self.says, Exception):
            raise self.says
        return Translated(self.says(text), "ko")

    async def close(self) -> None:
        pass


@pytest.fixture
def mine(play: Play) -> Callable[..., None]:
    play.messages = [said(1, JUNHO, "7:30에 https://naver.me/a 봐 👍")]

    def use(*engines: Engine, patience: float = 30) -> None:
        shop().translators = tuple(Desk(one, patience=patience) for one in engines)

    return use


async def rows() -> list[Translation]:
    return await asyncio.to_thread(lambda: list(Translation.objects.all()))


async def test_an_engine_translates_and_nothing_is_lost(play: Play, mine: Any) -> None:
    first = Scripted("papago", lambda text: f"Look at ⟦1⟧ at ⟦0⟧ ⟦2⟧ {text.count('봐')}")
    mine(first)
    answer = await play.asks("translate", message_id="m1", options={"target": "en", "honorific": True})
    assert (answer.text, answer.source, answer.target, answer.engine) == (
        "Look at https://naver.me/a at 7:30 👍 1", "ko", "en", "papago",
    )  # fmt: skip
    assert first.wishes == [Wish("en", is_honorific=True)]
    assert play.model.asked == []


async def test_a_message_is_translated_once_for_each_version_language_and_manner(play: Play, mine: Any) -> None:
    first = Scripted("papago", lambda text: f"EN {text}")
    mine(first)
    for options in ({"target": "en"}, {"target": "en"}, {"target": "ja"}, {"target": "en", "honorific": True}):
        await play.asks("translate", message_id="m1", options=options)
    assert len(first.wishes) == 3
    play.messages = [said(1, JUNHO, "8:30으로 바꾸자", change_seq=5)]
    assert (await play.asks("translate", message_id="m1", options={"target": "en"})).text == "EN 8:30으로 바꾸자"
    assert len(first.wishes) == 4
    assert sorted((one.message_version, one.target, one.engine) for one in await rows()) == [
        (1, "en", "papago"), (1, "en", "papago:honorific"), (1, "ja", "papago"), (5, "en", "papago"),
    ]  # fmt: skip


async def test_what_was_translated_is_there_without_any_engine(play: Play, mine: Any) -> None:
    mine(Scripted("papago", lambda text: f"EN {text}"))
    before = await play.asks("translate", message_id="m1", options={"target": "en"})
    mine(Scripted("papago", Trouble("provider_unavailable")))
    play.model.refuses = Trouble("provider_unavailable")
    assert await play.asks("translate", message_id="m1", options={"target": "en"}) == before


async def test_the_next_engine_takes_over_and_a_model_comes_last(play: Play, mine: Any) -> None:
    mine(
        Scripted("one", Trouble("provider_unavailable")), Scripted("two", lambda _: "lost everything"),
        Scripted("three", lambda text: text, knows="de"), Scripted("four", lambda _: " \u200b"),
    )  # fmt: skip
    play.model.says = "See ⟦1⟧ at ⟦0⟧ ⟦2⟧"
    answer = await play.asks("translate", message_id="m1", options={"target": "en", "honorific": True})
    assert (answer.text, answer.engine) == ("See https://naver.me/a at 7:30 👍", "model")
    assert "영어" in play.model.asked[0].system
    assert "높임말" in play.model.asked[0].system


async def test_where_all_fail_nothing_is_made_up_and_nothing_kept(play: Play, mine: Any) -> None:
    mine(Scripted("one", Trouble("provider_unavailable")))
    play.model.says = "See you there"
    with pytest.raises(Trouble, match="invalid_answer"):
        await play.asks("translate", message_id="m1", options={"target": "en"})
    play.model.says, play.model.finish = "See ⟦1⟧ at ⟦0⟧ ⟦2⟧", "length"
    with pytest.raises(Trouble, match="cut_off"):
        await play.asks("translate", message_id="m1", options={"target": "en"})
    assert await rows() == []


async def test_without_any_engine_it_says_so(play: Play, mine: Any) -> None:
    play.model.about = About("none", "")
    with pytest.raises(Trouble, match="no_provider"):
        await play.asks("translate", message_id="m1", options={"target": "en"})


async def test_a_missing_consent_is_told_unless_somebody_inside_can(play: Play, mine: Any) -> None:
    mine(Scripted("far", str), Scripted("near", str, outside=False))
    play.model.refuses = Problem("consent_needed")
    assert (await play.asks("translate", message_id="m1", options={"target": "en"})).engine == "near"
    mine(Scripted("far", str), Scripted("near", Trouble("provider_unavailable"), outside=False))
    with pytest.raises(Problem, match="consent_needed"):
        await play.asks("translate", input="안녕", options={"target": "en"})


async def test_an_own_text_is_translated_and_not_kept(play: Play, mine: Any) -> None:
    mine(Scripted("papago", str.upper))
    assert (await play.asks("translate", input="ok see you", options={"target": "ko"})).text == "OK SEE YOU"
    assert play.model.subjects[0].people == (MINJI,)
    assert await rows() == []


async def test_what_has_no_words_needs_no_engine(play: Play, mine: Any) -> None:
    play.model.about = About("none", "")
    answer = await play.asks("translate", input="👍 https://x.example 12:30")
    assert (answer.text, answer.engine) == ("👍 https://x.example 12:30", "")


async def test_a_translation_links_nowhere_that_the_text_did_not(play: Play, mine: Any) -> None:
    mine(Scripted("papago", lambda text: f"![x](https://evil.example/?q=1) {text} https://evil.example/2"))
    answer = await play.asks("translate", message_id="m1", options={"target": "en"})
    assert answer.text == "x 7:30에 https://naver.me/a 봐 👍 evil.example"


async def test_nothing_is_kept_of_a_message_that_was_deleted_meanwhile(play: Play, mine: Any) -> None:
    mine(Scripted("papago", str))
    await asyncio.to_thread(Forgotten.objects.create, message_id="m1", at=clock.now())
    assert (await play.asks("translate", message_id="m1", options={"target": "en"})).engine == "papago"
    assert await rows() == []
    assert await asyncio.to_thread(Conversation.objects.count) == 1


async def test_an_engine_that_hangs_is_not_waited_for(play: Play, mine: Any) -> None:
    class Hanging(Scripted):
        async def translate(self, text: str, wish: Wish) -> Translated:
            self.wishes.append(wish)
            await asyncio.Event().wait()
            raise AssertionError("it hung for ever")

    hanging = Hanging("libre", str)
    mine(hanging, patience=0.05)
    play.model.says = "See ⟦1⟧ at ⟦0⟧ ⟦2⟧"
    assert (await play.asks("translate", message_id="m1", options={"target": "en"})).engine == "model"
    assert len(hanging.wishes) == links.TRIES_WITH_OTHERS


async def test_what_is_in_the_language_already_needs_no_engine(play: Play, mine: Any) -> None:
    engine = Scripted("papago", str.upper)
    mine(engine)
    answer = await play.asks("translate", message_id="m1", options={"target": "ko"})
    assert (answer.text, answer.source, answer.engine) == ("7:30에 https://naver.me/a 봐 👍", "ko", "")
    assert engine.wishes == []
