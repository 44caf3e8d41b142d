"""Each kind of job: what the model is given to read, and what of its answer counts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from doran.ai import prompts
from doran.ai.kinds import KINDS
from doran.ai.providers import Trouble, Turn
from doran.ai.recipes.moderate import CATEGORIES
from doran.contracts.errors import Problem
from doran.contracts.frames import Citation, Verdict
from doran.contracts.people import ASSISTANT_ID
from tests.ai.recipes.conftest import JUNHO, MINJI, TALK, Play, said

CHAT = [said(1, MINJI, "저녁 먹었어?"), said(2, JUNHO, "아직"), said(3, JUNHO, "7시에 강남역에서 볼래?")]


async def fails(code: str, asked: Any) -> None:
    with pytest.raises((Trouble, Problem)) as trouble:
        await asked
    assert trouble.value.code == code


# -- reply -------------------------------------------------------------------------------------------


async def test_the_assistant_answers_who_wrote_last(play: Play) -> None:
    play.with_assistant = True
    play.messages = [
        said(1, ASSISTANT_ID, "안녕하세요!"), said(2, MINJI, "안녕"), said(3, MINJI, "뭐 해?"), said(4, ASSISTANT_ID, "기다려요."),
        said(5, MINJI, "점심 뭐 먹지?"), said(6, ASSISTANT_ID, "또 왔어요."),
    ]  # fmt: skip
    play.model.says = "**비빔밥** 어때요? [맛집](https://evil.example/?q=점심)"
    answer = await play.asks("reply", conversation_id=TALK)
    assert answer.text == "비빔밥 어때요? 맛집"
    assert play.model.asked[0].turns == (
        Turn("user", "안녕\n뭐 해?"), Turn("assistant", "기다려요."), Turn("user", "점심 뭐 먹지?"),
    )  # fmt: skip
    assert "Doran" in play.model.asked[0].system
    assert "점심" not in play.model.asked[0].system
    assert [one.id for one in play.model.subjects[0].messages] == ["m2", "m3", "m4", "m5"]


async def test_what_was_asked_is_answered_however_much_was_said_since(play: Play) -> None:
    play.with_assistant = True
    play.messages = [said(1, MINJI, "우산 챙길까?"), *(said(seq, ASSISTANT_ID, f"소식 {seq}") for seq in range(2, 90))]
    for about in ({"message_id": "m1"}, {}):
        await play.asks("reply", conversation_id=TALK, **about)
        assert play.model.asked[-1].turns[-1] == Turn("user", "우산 챙길까?")


async def test_a_question_asked_while_another_was_answered_is_the_one_that_waits(play: Play) -> None:
    play.with_assistant = True
    play.messages = [
        said(1, MINJI, "점심 뭐 먹지?"), said(2, MINJI, "아 그리고 비 와?"), said(3, ASSISTANT_ID, "비빔밥요.", reply_to="m1"),
    ]  # fmt: skip
    await play.asks("reply", conversation_id=TALK, message_id="m2")
    assert play.model.asked[0].turns == (
        Turn("user", "점심 뭐 먹지?"), Turn("assistant", "비빔밥요."), Turn("user", "아 그리고 비 와?"),
    )  # fmt: skip


async def test_an_earlier_question_asked_again_is_the_one_that_is_answered(play: Play) -> None:
    play.with_assistant = True
    play.messages = [said(1, MINJI, "비 와?"), said(2, MINJI, "점심 뭐 먹지?"), said(3, ASSISTANT_ID, "비빔밥요.")]
    await play.asks("reply", conversation_id=TALK, message_id="m1")
    assert play.model.asked[0].turns[-1] == Turn("user", "비 와?")


async def test_a_question_that_was_deleted_is_not_answered_nor_is_the_one_before_it_again(play: Play) -> None:
    play.with_assistant = True
    play.messages = [said(1, MINJI, "안녕"), said(2, ASSISTANT_ID, "안녕하세요!"), said(3, MINJI, "", is_deleted=True)]
    await fails("not_found", play.asks("reply", conversation_id=TALK, message_id="m3"))
    assert play.model.asked == []
    play.messages.append(said(4, MINJI, "그게 아니라"))
    await play.asks("reply", conversation_id=TALK, message_id="m3")
    assert play.model.asked[0].turns[-1] == Turn("user", "그게 아니라")


async def test_the_assistant_speaks_in_no_other_conversation(play: Play) -> None:
    play.messages = CHAT
    await fails("not_found", play.asks("reply", conversation_id=TALK))
    assert play.model.asked == []


async def test_where_nothing_was_asked_nothing_is_answered(play: Play) -> None:
    play.with_assistant = True
    play.messages = [said(1, ASSISTANT_ID, "안녕하세요!")]
    await fails("not_found", play.asks("reply", conversation_id=TALK))


async def test_an_answer_is_never_longer_than_a_message(play: Play) -> None:
    play.with_assistant = True
    play.messages = [said(1, MINJI, "길게 말해 줘")]
    play.model.says = "한 문장이에요. " * 1000
    answer = await play.asks("reply", conversation_id=TALK)
    assert len(answer.text or "") <= 4000
    assert (answer.text or "").endswith("이에요.…")


@pytest.mark.parametrize(
    ("says", "finish", "code"),
    [("네", "length", "cut_off"), (" \u200b", "stop", "invalid_answer"), ("", "refusal", "provider_refused")],
)
async def test_half_an_answer_is_none(play: Play, says: str, finish: Any, code: str) -> None:
    play.with_assistant = True
    play.messages = [said(1, MINJI, "안녕")]
    play.model.says, play.model.finish = says, finish
    await fails(code, play.asks("reply", conversation_id=TALK))


WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "reply": ("네, 맞아요.", {"conversation_id": TALK}),
    "smart_replies": ('{"replies": ["응", "아니", "왜?"]}', {"conversation_id": TALK}),
    "summarize": ('{"summary": "저녁 이야기.", "cited": [1]}', {"conversation_id": TALK, "options": {"since_seq": 0}}),
    "translate": ("Not yet", {"input": "아직", "options": {"target": "en"}}),
    "rewrite": ("저녁 드셨어요?", {"input": "저녁 먹었어?", "options": {"style": "polite"}}),
    "moderate": ('{"categories": []}', {"message_id": "m3"}),
}
"""Of each kind that a model does alone, an answer that would do. `ask` has its own stories (tests/ai/retrieval)."""


def test_all_kinds_that_a_model_answers_are_here() -> None:
    assert {*WHOLE, "ask"} == {kind.name for kind in KINDS.values() if "complete" in kind.by}


@pytest.mark.parametrize("kind", WHOLE)
async def test_what_was_cut_or_refused_is_no_answer_however_whole_it_looks(play: Play, kind: str) -> None:
    play.messages = CHAT
    if kind == "reply":
        play.with_assistant, play.messages = True, CHAT[:1]
    play.model.says, facts = WHOLE[kind]
    await play.asks(kind, **facts)
    for finish, code in (("length", "cut_off"), ("refusal", "provider_refused")):
        play.model.finish = finish  # type: ignore[assignment]
        await fails(code, play.asks(kind, **facts))


# -- smart replies -----------------------------------------------------------------------------------


async def test_three_different_replies_are_offered(play: Play) -> None:
    play.messages = CHAT
    play.model.says = json.dumps(
        {"replies": ["좋아!", "좋아!", " 미안,\n오늘은 어려워 ", "몇 번 출구?", "https://evil.example/?q=1"]}
    )
    answer = await play.asks("smart_replies", conversation_id=TALK)
    assert answer.replies == ("좋아!", "미안, 오늘은 어려워", "몇 번 출구?")
    assert (play.model.asked[0].schema or {})["properties"]["replies"]["minItems"] == 3
    assert '"n": 3, "from": "B"' in play.model.read
    assert JUNHO not in play.model.read


@pytest.mark.parametrize(
    "says",
    [
        "좋아!",
        '{"replies": ["좋아!", "응"]}',
        '{"replies": ["좋아!", "", "응"]}',
        '{"answers": []}',
        '{"replies": [1,2,3]}',
        "{" * 100_000,
    ],
)
async def test_what_is_not_three_replies_is_a_failure(play: Play, says: str) -> None:
    play.messages, play.model.says = CHAT, says
    await fails("invalid_answer", play.asks("smart_replies", conversation_id=TALK))


async def test_json_may_come_in_a_code_block(play: Play) -> None:
    play.messages = CHAT
    play.model.says = '물론이죠:\n```json\n{"replies": ["응", "아니", "왜?"]}\n```'
    assert (await play.asks("smart_replies", conversation_id=TALK)).replies == ("응", "아니", "왜?")
    assert len(play.model.asked) == 1


@pytest.mark.parametrize(
    "says",
    [
        'Let me think: {"replies": ["a"]} is too short, {so} I write\n{"replies": ["응", "아니", "왜?"]}',
        'First {"n": 1, "from": "B"}. Then:\n\n{"replies": ["응", "아니", "왜?"]} That is all {maybe}.',
        '{"replies": ["응", "아니", "왜?"], "note": "three"}',
        '{"replies": ["응", "아니",\n "왜?\n"]}',
    ],
)
async def test_json_is_found_in_what_a_model_says_around_it(play: Play, says: str) -> None:
    play.messages, play.model.says = CHAT, says
    assert (await play.asks("smart_replies", conversation_id=TALK)).replies == ("응", "아니", "왜?")
    assert len(play.model.asked) == 1


FORMS: dict[str, dict[str, Any]] = {
    "smart_replies": {"conversation_id": TALK},
    "summarize": {"conversation_id": TALK, "options": {"since_seq": 0}},
    "moderate": {"message_id": "m3"},
}


@pytest.mark.parametrize("kind", FORMS)
async def test_a_model_that_forgot_the_form_is_reminded_once(play: Play, kind: str) -> None:
    play.messages = CHAT
    play.model.next = ["저녁 이야기를 했어요."]
    play.model.says = WHOLE[kind][0]
    await play.asks(kind, **FORMS[kind])
    first, second = play.model.asked
    assert second.turns == first.turns
    assert second.system.startswith(first.system)
    assert json.dumps(first.schema, ensure_ascii=False, separators=(",", ":")) in second.system
    assert play.model.silent == [False, True]
    play.model.says = "저녁 이야기를 했어요."
    await fails("invalid_answer", play.asks(kind, **FORMS[kind]))
    assert len(play.model.asked) == 4


async def test_without_words_there_is_nothing_to_reply_to(play: Play) -> None:
    await fails("not_found", play.asks("smart_replies", conversation_id=TALK))
    assert play.model.asked == []


# -- summarize ---------------------------------------------------------------------------------------


async def test_a_summary_covers_what_was_not_read_and_cites_only_that(play: Play) -> None:
    play.messages, play.last_read = CHAT, 1
    play.model.says = json.dumps({"summary": "상대가 7시에 강남역에서 보자고 했어요.", "cited": [2, 9, 2, -1]})
    answer = await play.asks("summarize", conversation_id=TALK)
    assert answer.text == "상대가 7시에 강남역에서 보자고 했어요."
    assert answer.citations == (Citation("m3", TALK, 3),)
    assert play.model.words == ["summary"]
    assert "저녁" not in play.model.read
    assert play.model.subjects[0].people == (JUNHO,)


@pytest.mark.parametrize(
    "says",
    ["저녁 이야기.", '{"summary": 3}', '{"summary": "x", "cited": ["m1"]}', '{"cited": [1]}', '{"summary": " \u200b"}'],
)
async def test_a_summary_of_another_form_is_none(play: Play, says: str) -> None:
    play.messages, play.model.says = CHAT, says
    await fails("invalid_answer", play.asks("summarize", conversation_id=TALK, options={"since_seq": 0}))


async def test_a_summary_may_begin_earlier(play: Play) -> None:
    play.messages, play.last_read = CHAT, 3
    play.model.says = json.dumps({"summary": "저녁 이야기.", "cited": [1]})
    answer = await play.asks("summarize", conversation_id=TALK, options={"since_seq": 0})
    assert [one.message_id for one in answer.citations] == ["m1"]


async def test_nothing_new_is_said_without_asking_anybody(play: Play) -> None:
    play.messages, play.last_read = CHAT, 3
    assert (await play.asks("summarize", conversation_id=TALK)).text == "새 메시지가 없어요."
    assert (
        await play.asks("summarize", conversation_id=TALK, options={"locale": "en"})
    ).text == "There is nothing new."
    assert play.model.asked == []


async def test_a_long_talk_is_read_from_its_end(play: Play) -> None:
    play.messages = [said(seq, JUNHO, f"{seq}번째 " + "가" * 200) for seq in range(1, 200)]
    play.model.says = json.dumps({"summary": "길다.", "cited": [1]})
    answer = await play.asks("summarize", conversation_id=TALK)
    assert 10 < len(play.model.subjects[0].messages) < 40
    assert play.model.subjects[0].messages[-1].seq == 199
    assert answer.citations[0].message_id == play.model.subjects[0].messages[0].id


async def test_a_message_that_no_model_can_read_is_too_long(play: Play) -> None:
    play.messages = [said(1, JUNHO, "가" * 20_000)]
    for kind, more in (("summarize", {}), ("smart_replies", {})):
        await fails("too_long", play.asks(kind, conversation_id=TALK, **more))
    await fails("too_long", play.asks("moderate", message_id="m1"))
    assert play.model.asked == []


# -- rewrite -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["polite", "casual", "shorter", "spelling"])
@pytest.mark.parametrize("locale", ["ko", "en"])
async def test_own_words_in_another_manner(play: Play, style: str, locale: str) -> None:
    play.model.says = '"내일 봬요 ⟦0⟧ https://evil.example/x"'
    answer = await play.asks("rewrite", input="낼 봐 https://naver.me/abc", options={"style": style, "locale": locale})
    assert answer.text == "내일 봬요 https://naver.me/abc evil.example"
    asked = play.model.asked[0]
    assert (
        asked.system
        == prompts.fill(await asyncio.to_thread(prompts.active, f"rewrite.{style}", locale), fence=_mark(play)).system
    )
    assert "낼 봐" not in asked.system
    assert play.model.subjects[0].people == (MINJI,)
    assert play.model.subjects[0].conversation_id is None


OWN = [
    "봐 https://naver.me/abc?x=1&y=(2) 여기", "`rm -rf /tmp` 하지 마", "이거 돌려 봐\n```\n<a href=x>\n  x = 1\n```", "<b>꼭</b> 와",
    "[여기](https://a.example/x_(y)) 봐", "![그림](https://a.example/x.png) 예쁘지", "메일은 minji@example.com", "@junho.kim 어디야",
    "${이름} 님 {{시간}}에 봐", "example.com/docs에서 봤어", "<img src=x onerror=alert(1)> 이게 뭐야", "A &amp; B <!-- x --> 맞지",
    "``a ` b`` 그리고 ~~~\nx\n~~~ 돌려", "<code>a **b** [c](d)</code> 맞아", "https://xn--bj0bj06e.kr/한글/길 가 봐", "코드 <think>x</think> 넣어",
]  # fmt: skip
STYLES = ["polite", "casual", "shorter", "spelling"]


@pytest.mark.parametrize("text", OWN)
@pytest.mark.parametrize("style", STYLES)
async def test_what_is_no_word_of_theirs_comes_back_byte_for_byte(play: Play, text: str, style: str) -> None:
    play.model.echo = lambda words: f"네, {words} 요"
    answer = await play.asks("rewrite", input=text, options={"style": style})
    assert answer.text == f"네, {text} 요"
    answer = await play.asks("translate", input=text, options={"target": "en"})
    assert answer.text == f"네, {text} 요"


@pytest.mark.parametrize("text", OWN)
@pytest.mark.parametrize(
    "spoils", [lambda words: "네, 그래요", lambda words: words.replace("⟦0⟧", "[0]"), lambda words: f"{words} ⟦9⟧"]
)
async def test_where_any_of_it_is_lost_the_result_is_refused(play: Play, text: str, spoils: Any) -> None:
    play.model.echo = spoils
    for style in STYLES:
        await fails("invalid_answer", play.asks("rewrite", input=text, options={"style": style}))
    await fails("invalid_answer", play.asks("translate", input=text, options={"target": "en"}))


async def test_what_has_no_words_is_not_rewritten(play: Play) -> None:
    answer = await play.asks("rewrite", input="https://naver.me/abc", options={"style": "polite"})
    assert (answer.text, play.model.asked) == ("https://naver.me/abc", [])


async def test_a_shorter_text_may_leave_a_number_out_and_no_other_may(play: Play) -> None:
    play.model.says = "내일 봬요"
    assert (await play.asks("rewrite", input="내일 3:30에 25명 봐", options={"style": "shorter"})).text == "내일 봬요"
    for style in ("polite", "casual", "spelling"):
        await fails("invalid_answer", play.asks("rewrite", input="내일 3:30에 25명 봐", options={"style": style}))


def _mark(play: Play) -> str:
    return play.model.read.split("\n")[0].removeprefix("<<<")


async def test_what_cannot_be_sent_is_not_offered(play: Play) -> None:
    play.model.says = "가" * 4001
    await fails("invalid_answer", play.asks("rewrite", input="가", options={"style": "polite"}))


# -- moderate ----------------------------------------------------------------------------------------


async def test_a_message_is_judged_by_our_table(play: Play) -> None:
    play.messages = CHAT
    play.model.says = '{"categories": ["spam", "scam", "spam"]}'
    assert (await play.asks("moderate", message_id="m3")).verdict == Verdict(True, ("scam", "spam"))
    play.model.says = '{"categories": []}'
    assert (await play.asks("moderate", input="안녕")).verdict == Verdict(False)
    assert play.model.subjects[1].people == (MINJI,)


async def test_a_verdict_of_another_table_is_none(play: Play) -> None:
    for says in ('{"categories": ["boring"]}', '{"categories": "spam"}', "spam", '{"categories": ["spam"'):
        play.model.says = says
        await fails("invalid_answer", play.asks("moderate", input="안녕"))


async def test_prompts_know_the_same_table() -> None:
    from doran.ai.prompts import planting

    schemas = [json.loads(seed.schema) for seed in planting.seeds() if seed.key == "moderate"]
    assert {tuple(one["properties"]["categories"]["items"]["enum"]) for one in schemas} == {CATEGORIES}


async def test_a_deleted_or_foreign_message_is_not_found(play: Play) -> None:
    play.messages = [said(1, JUNHO, "", is_deleted=True)]
    for kind in ("moderate", "translate"):
        await fails("not_found", play.asks(kind, message_id="m1"))
        await fails("not_found", play.asks(kind, message_id="m7"))
    assert play.model.asked == []
