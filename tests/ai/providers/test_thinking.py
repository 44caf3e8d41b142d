"""What a model only thinks is never part of its answer: in whatever marks, however the stream is cut."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doran.ai.providers import End, Retracted, Text, Usage, thinking
from doran.ai.providers.thinking import Habit, Thoughts
from tests.ai.providers.conftest import QUESTION, chained, heard
from tests.servers.model import Answer, ModelServer

WIRES = pytest.mark.parametrize("wire", ["openai", "anthropic"])
SECRET = "그가 뭘 원하는지 잘 모르겠다"
ANSWER = "일곱 시에 만나요."
THOUGHTS = {
    "think": f"<think>{SECRET}</think>{ANSWER}",
    "on lines": f"<think>\n{SECRET}\n\n{SECRET}\n</think>\n\n{ANSWER}",
    "empty": f"<think>\n\n</think>\n\n{ANSWER}",
    "capitals": f"<Thinking>{SECRET}</THINKING> {ANSWER}",
    "thought": f"<thought>{SECRET}</thought>\n{ANSWER}",
    "reasoning": f"<reasoning>{SECRET}</reasoning>\n{ANSWER}",
    "attributes": f'<think budget="512">{SECRET}</think>{ANSWER}',
    "seed": f"<seed:think>{SECRET}</seed:think>{ANSWER}",
    "of a process": f"<thinking_process>\n{SECRET}\n</thinking_process>\n{ANSWER}",
    "named as its field": f"<reasoning_content>{SECRET}</reasoning_content>{ANSWER}",
    "medgemma": f"<unused94>thought\n{SECRET}<unused95>{ANSWER}",
    "magistral": f"[THINK]{SECRET}[/THINK]{ANSWER}",
    "kimi": f"◁think▷{SECRET}◁/think▷{ANSWER}",
    "cohere": f"<|START_THINKING|>{SECRET}<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>",
    "gemma": f"<|channel>thought\n{SECRET}<channel|>{ANSWER}",
    "harmony": f"<|channel|>analysis<|message|>{SECRET}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
    "harmony without an end": f"<|channel|>analysis<|message|>{SECRET}<|channel|>final<|message|>{ANSWER}",
    "harmony without marks": f"analysis{SECRET}assistantfinal{ANSWER}",
    "granite": f"Here is my thought process: {SECRET}\n\nHere is my response: {ANSWER}",
    "framed": f"<think>{SECRET}</think>\n<answer>{ANSWER}</answer>",
    "solution": f"<|begin_of_thought|>{SECRET}<|end_of_thought|><|begin_of_solution|>{ANSWER}<|end_of_solution|>",
    "twice": f"<think>{SECRET}</think><think>{SECRET}</think>{ANSWER}",
    "nested": f"<think>{SECRET} <think>{SECRET}</think> {SECRET}</think>{ANSWER}",
    "no beginning": f"{SECRET}\n</think>\n\n{ANSWER}",
    "no beginning, other marks": f"{SECRET}[/THINK]{ANSWER}",
    "behind the answer": f"{ANSWER}\n<think>{SECRET}</think>",
    "behind it, without an end": f"{ANSWER}\n<think>{SECRET}",
}
WORDS = [
    ANSWER, "a < b 이고 b > c", "<3 좋아요 [1] [확인]", "`<think>` 태그는 생각을 감싸요.", "analysis of it: good", "네 <", "[TH",
    "```\n<think>\nx\n</think>\n```", "이 표시 <think> 가 뭐예요?", "Here is my", "Analysis: 좋아요", "<b>굵게</b> & <|x|>",
    json.dumps({"summary": "</think> 표시를 이야기했어요", "cited": [1]}, ensure_ascii=False),
]  # fmt: skip


def come(pieces: list[str], habit: Habit | None = None, end: str = "stop") -> str:
    """What is passed on in the end."""
    thoughts, said = Thoughts(habit or Habit()), ""
    for given_piece in [*map(thoughts.more, pieces), thoughts.rest(end)]:  # type: ignore[arg-type]
        for piece in given_piece:
            said = "" if isinstance(piece, Retracted) else said + (piece.text if isinstance(piece, Text) else "")
    return said


def cut(text: str, places: list[int]) -> list[str]:
    at = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in zip(at, at[1:], strict=False)]


@pytest.mark.parametrize("name", THOUGHTS)
def test_the_answer_is_what_stands_beside_the_reasoning(name: str) -> None:
    assert thinking.without(THOUGHTS[name]) == ANSWER
    assert come(list(THOUGHTS[name])).strip() == ANSWER


@given(st.sampled_from(sorted(THOUGHTS)), st.lists(st.integers(0, 400), max_size=12))
def test_it_does_not_matter_where_the_stream_is_cut(name: str, places: list[int]) -> None:
    assert come(cut(THOUGHTS[name], places)).strip() == ANSWER


@given(st.sampled_from(WORDS), st.lists(st.integers(0, 400), max_size=12))
def test_words_stay_words(text: str, places: list[int]) -> None:
    assert come(cut(text, places)) == text
    assert thinking.without(text) == text


@given(st.text(alphabet="<>/|[]think`analysis\n ◁▷THINK가", max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_any_text_comes_to_the_same_whole_or_in_pieces(text: str, places: list[int]) -> None:
    assert come(cut(text, places)) == come([text])


@given(st.sampled_from(sorted(THOUGHTS)), st.lists(st.integers(0, 400), max_size=12))
def test_reasoning_without_an_end_is_no_answer(name: str, places: list[int]) -> None:
    """It was cut off in the middle of it; only where no mark begins it, nobody can know."""
    text = THOUGHTS[name]
    if text.startswith((SECRET, ANSWER)) or SECRET not in text:
        return
    begun = text[: text.index(SECRET) + len(SECRET)]
    for end in ("stop", "length"):
        assert SECRET not in come(cut(begun, places), end=end)


@given(
    st.sampled_from(["a ` b <think>{}</think>", "a ` b <think>{}", "` [THINK]{}\n`x`[/THINK]"]),
    st.lists(st.integers(0, 99)),
)
def test_a_backtick_that_nothing_closes_hides_no_mark(text: str, places: list[int]) -> None:
    assert SECRET not in come(cut(text.format(f"{SECRET}\n{SECRET}"), places))


def test_who_begins_without_a_mark_is_known_from_then_on() -> None:
    habit = Habit()
    thoughts = Thoughts(habit)
    assert list(thoughts.more(SECRET)) == [Text(SECRET)]
    assert list(thoughts.more("</think>네")) == [Retracted(), Text("네")]
    thoughts = Thoughts(habit)
    assert list(thoughts.more(SECRET)) == []
    assert list(thoughts.more("</think>네")) == [Text("네")]
    assert come([ANSWER], habit) == ANSWER, "this time it did not think"
    assert come([SECRET], habit, end="length") == "", "or had not come to an end of it"


@WIRES
@pytest.mark.parametrize("name", THOUGHTS)
async def test_no_wire_passes_reasoning_on(model: ModelServer, wire: str, name: str) -> None:
    model.answer = lambda asked: THOUGHTS[name]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    answer = said.text
    if Retracted() in said.pieces:
        at = said.pieces.index(Retracted())
        answer = "".join(one.text for one in said.pieces[at:] if isinstance(one, Text))
    assert answer.strip() == ANSWER
    assert said.pieces[-2:] == [Usage(11, 7), End("stop", "req_1")]


@WIRES
async def test_a_provider_whose_reasoning_begins_unmarked_can_be_told_so(model: ModelServer, wire: str) -> None:
    model.answer = lambda asked: THOUGHTS["no beginning"]
    async with chained(model.toml(wire=wire, more="thinks = true")) as chain:
        said = await heard(chain)
    assert (said.text, Retracted() in said.pieces) == (ANSWER, False)


@WIRES
@pytest.mark.parametrize("name", THOUGHTS)
async def test_a_form_is_found_behind_reasoning(model: ModelServer, wire: str, name: str) -> None:
    form = '{"replies": ["네", "}"]}'
    model.answer = lambda asked: THOUGHTS[name].replace(SECRET, 'perhaps {"replies": []}').replace(ANSWER, form)
    schema = {"type": "object", "properties": {"replies": {"type": "array"}}}
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain, replace(QUESTION, schema=schema))
    pieces = said.pieces[said.pieces.index(Retracted()) :] if Retracted() in said.pieces else said.pieces
    text = "".join(one.text for one in pieces if isinstance(one, Text))
    assert json.loads(text) == json.loads(form)


# -- fields of their own ---------------------------------------------------------------------------------


def event(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


def streamed(*events: bytes) -> Answer:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return Answer(raw=head + b"".join(events))


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": SECRET},
        {"reasoning": SECRET},
        {"reasoning": {"summary": SECRET}},
        {"reasoning_details": [{"type": "reasoning.text", "text": SECRET}]},
        {"thinking": SECRET},
        {"thoughts": SECRET, "content": ""},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": SECRET}]}]},
        {"content": [{"type": "reasoning", "text": SECRET}]},
        {"content": None, "reasoning_content": SECRET},
    ],
)
async def test_reasoning_in_a_field_of_its_own_is_not_read(model: ModelServer, delta: dict[str, object]) -> None:
    parts = {"content": [{"type": "text", "text": ANSWER[3:]}]}
    model.next = [streamed(event(**delta), event(content=ANSWER[:3]), event(**parts), b"data: [DONE]\n\n")]
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert (said.text, said.trouble, said.end and said.end.reason) == (ANSWER, None, "stop")


def block(kind: str, index: int, *deltas: dict[str, object]) -> bytes:
    said = [{"type": "content_block_start", "index": index, "content_block": {"type": kind, "data": SECRET}}]
    said += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    said += [{"type": "content_block_stop", "index": index}]
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in said)


@pytest.mark.parametrize(
    "thought",
    [
        block(
            "thinking", 0, {"type": "thinking_delta", "thinking": SECRET}, {"type": "signature_delta", "signature": "x"}
        ),
        block("redacted_thinking", 0),
        block("thinking", 0, {"type": "text_delta", "text": SECRET}),
        block("text", 0, {"type": "thinking_delta", "text": SECRET}),
    ],
)
@pytest.mark.parametrize(
    "end", [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}]
)
async def test_blocks_of_reasoning_are_not_read(model: ModelServer, thought: bytes, end: dict[str, object]) -> None:
    answer = block("text", 1, {"type": "text_delta", "text": ANSWER})
    model.next = [streamed(thought, answer, b"data: " + json.dumps(end).encode() + b"\n\n")]
    async with chained(model.toml(wire="anthropic")) as chain:
        said = await heard(chain)
    assert (said.text, said.trouble) == (ANSWER, None)


# -- the end of an answer --------------------------------------------------------------------------------


@WIRES
async def test_an_answer_that_says_that_it_is_whole_is_taken(model: ModelServer, wire: str) -> None:
    model.answer = lambda asked: Answer(pieces=["일곱 ", "시요"], end=None)
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert (said.text, said.trouble) == ("일곱 시요", None)
    assert said.end == End("stop", "req_1")
    assert len(model.asked) == 1


@WIRES
async def test_an_answer_that_does_not_say_it_broke_off(model: ModelServer, wire: str) -> None:
    model.answer = lambda asked: Answer(pieces=["일곱 ", "시요"], end=None, has_mark=False)
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert said.trouble is not None
    assert said.trouble.code == "cut_off"


@pytest.mark.parametrize(
    ("reason", "means"), [("stop", "stop"), ("eos", "stop"), ("MAX_TOKENS", "length"), ("length", "length"), ("SAFETY", "refusal")]
)  # fmt: skip
async def test_reasons_of_other_servers_mean_the_same(model: ModelServer, reason: str, means: str) -> None:
    last = b"data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": reason}]}).encode() + b"\n\n"
    model.next = [streamed(event(content="네"), last)]
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert said.end is not None
    assert said.end.reason == means


async def test_an_answer_that_ended_in_an_error_is_none(model: ModelServer) -> None:
    last = b"data: " + json.dumps({"choices": [{"delta": {}, "finish_reason": "error"}]}).encode() + b"\n\n"
    model.next = [streamed(event(content="네"), last)]
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert said.trouble is not None
    assert said.trouble.code == "cut_off"


@WIRES
async def test_where_nothing_came_there_is_no_answer(model: ModelServer, wire: str) -> None:
    model.next = [Answer(pieces=[], end=None)]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert (said.text, len(model.asked)) == ("네.", 2)
