"""Both wires say the same: what is asked arrives whole, and what is answered means what it says."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as some

from doran.ai.providers import End, Text, Trouble, Turn, Usage
from doran.ai.providers import wire as lines
from doran.ai.providers.wire import Unfolding
from tests.ai.providers.conftest import QUESTION, chained, heard
from tests.servers.model import KEY, Answer, ModelServer

WIRES = pytest.mark.parametrize("wire", ["openai", "anthropic"])
SCHEMA = {"type": "object", "properties": {"replies": {"type": "array", "items": {"type": "string"}}}}


@WIRES
async def test_a_question_arrives_and_its_answer_comes_piece_by_piece(model: ModelServer, wire: str) -> None:
    model.next = [Answer(pieces=["일곱 ", "시", "요"], usage=(12, 3))]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(
            chain, replace(QUESTION, turns=(*QUESTION.turns, Turn("assistant", "네?"), Turn("user", "저녁")))
        )
    assert said.pieces[:3] == [Text("일곱 "), Text("시"), Text("요")]
    assert said.pieces[3:] == [Usage(12, 3), End("stop", "req_1")]
    assert model.asked[0].system == "짧게 답한다."
    assert model.asked[0].turns == [("user", "준호가 몇 시에 온대?"), ("assistant", "네?"), ("user", "저녁")]
    assert model.asked[0].body["max_tokens"] == 64


@WIRES
async def test_who_wants_the_same_answer_each_time_says_so(model: ModelServer, wire: str) -> None:
    """Whether it is the same is the model's and the processor's to decide."""
    async with chained(model.toml(wire=wire)) as chain:
        await heard(chain, replace(QUESTION, temperature=0))
    assert model.asked[0].body["temperature"] == 0


@WIRES
async def test_the_key_is_in_a_header_and_nowhere_else(model: ModelServer, wire: str) -> None:
    async with chained(model.toml(wire=wire)) as chain:
        await heard(chain)
        assert KEY not in repr(chain.__dict__)
    asked = model.asked[0]
    assert [name for name, value in asked.headers.items() if KEY in value] == [
        "x-api-key" if wire == "anthropic" else "authorization"
    ]
    assert KEY not in asked.path + json.dumps(asked.body)


@WIRES
@pytest.mark.parametrize(
    ("end", "means"), [("stop", "stop"), ("length", "length"), ("refusal", "refusal"), ("filtered", "refusal")]
)
async def test_how_an_answer_ended_is_told(model: ModelServer, wire: str, end: str, means: str) -> None:
    model.next = [Answer(pieces=["음"], end=end)]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert said.end == End(means, "req_1")  # type: ignore[arg-type]


@WIRES
@pytest.mark.parametrize("usage", [None, (-5, 2), ("many", "few"), (2**70, 1)])
async def test_an_answer_whose_count_cannot_be_true_is_an_answer_without_one(
    model: ModelServer, wire: str, usage: tuple[object, object] | None
) -> None:
    model.next = [Answer(pieces=["네"], usage=usage)]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert (said.text, said.trouble) == ("네", None)
    assert said.usage in (None, Usage(0, 0))


@WIRES
async def test_a_server_that_forgets_where_to_stop_is_stopped(model: ModelServer, wire: str) -> None:
    model.next = [Answer(pieces=["끝없이 " * 100] * 100_000)]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert said.end is not None
    assert said.end.reason == "length"
    assert len(said.text) < 64 * 32 + 1000
    await asyncio.to_thread(model.until, lambda model: model.gone == 1)


@WIRES
async def test_leaving_stops_the_server(model: ModelServer, wire: str) -> None:
    model.next = [Answer(pieces=["가", "나"], hang=1)]
    async with chained(model.toml(wire=wire)) as chain:
        async with aclosing(chain.complete(QUESTION, outside=True, began=lambda about: asyncio.sleep(0))) as pieces:
            assert await anext(pieces) == Text("가")
        await asyncio.to_thread(model.until, lambda model: model.gone == 1)


@WIRES
async def test_cancelling_stops_the_server(model: ModelServer, wire: str) -> None:
    model.next = [Answer(hang=0)]
    async with chained(model.toml(wire=wire)) as chain:
        asking = asyncio.create_task(heard(chain))
        await asyncio.to_thread(model.until, lambda model: model.under_way == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.to_thread(model.until, lambda model: model.gone == 1)
    assert len(model.asked) == 1


@WIRES
async def test_a_whole_answer_is_one_even_if_the_server_never_hangs_up(
    model: ModelServer, wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LINGER_SECONDS", 0.05)
    model.next = [Answer(pieces=["네"], stays=True)]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert (said.text, said.trouble, said.usage) == ("네", None, Usage(11, 7))


async def test_a_whole_answer_is_one_even_if_its_line_breaks_then(model: ModelServer) -> None:
    whole = 'data: {"choices":[{"delta":{"content":"네"},"finish_reason":"stop"}]}\n\n'.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5000\r\n\r\n"
    model.next = [Answer(raw=head + whole)]
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert (said.text, said.trouble) == ("네", None)


# -- the form of an answer -------------------------------------------------------------------------------


async def test_a_schema_goes_to_who_takes_one(model: ModelServer) -> None:
    model.answer = lambda asked: '{"replies": ["네"]}'
    async with chained(model.toml()) as chain:
        said = await heard(chain, replace(QUESTION, schema=SCHEMA))
    assert json.loads(said.text) == {"replies": ["네"]}
    assert model.asked[0].schema == SCHEMA


@pytest.mark.parametrize("words", ["response_format is not supported", "bad request"])
async def test_who_takes_no_schema_is_told_it(model: ModelServer, words: str) -> None:
    refusal = Answer(status=400, body=json.dumps({"error": {"message": words}}).encode())
    talk = '물론이죠!\n```json\n{"replies": ["네"]}\n```\n도움이 되었길'
    model.next = [refusal, talk, talk]
    async with chained(model.toml()) as chain:
        said = await heard(chain, replace(QUESTION, schema=SCHEMA))
        assert json.loads(said.text) == {"replies": ["네"]}
    assert model.asked[1].schema is None
    assert '"replies"' in model.asked[1].system


async def test_messages_tell_the_form_and_free_the_answer(model: ModelServer) -> None:
    model.answer = lambda asked: 'Here: {"replies": ["네", "}"]} I hope'
    async with chained(model.toml(wire="anthropic")) as chain:
        said = await heard(chain, replace(QUESTION, schema=SCHEMA))
    assert json.loads(said.text) == {"replies": ["네", "}"]}
    assert '"replies"' in model.asked[0].system


@pytest.mark.parametrize(
    ("name", "instead"), [("max_tokens", "max_completion_tokens"), ("temperature", None), ("stream_options", None)]
)
async def test_what_a_server_does_not_know_is_left_out_from_then_on(
    model: ModelServer, name: str, instead: str | None
) -> None:
    words = f"Unsupported parameter: '{name}'"
    model.next = [Answer(status=400, body=json.dumps({"error": {"message": words, "param": name}}).encode())]
    async with chained(model.toml()) as chain:
        assert (await heard(chain)).text == "네."
        assert (await heard(chain)).text == "네."
    assert len(model.asked) == 3
    assert all(name not in asked.body for asked in model.asked[1:])
    assert instead is None or model.asked[2].body[instead] == 64


async def test_a_new_model_of_messages_wants_no_temperature(model: ModelServer) -> None:
    words = "temperature is deprecated for this model"
    model.next = [
        Answer(status=400, body=json.dumps({"error": {"type": "invalid_request_error", "message": words}}).encode())
    ]
    async with chained(model.toml(wire="anthropic")) as chain:
        assert (await heard(chain)).text == "네."
    assert "temperature" not in model.asked[1].body


# -- vectors ---------------------------------------------------------------------------------------------


async def began(_about: object) -> None:
    pass


EMBEDDING = {"model": "", "embedding_model": "e-1"}


async def test_texts_become_vectors_of_length_one_in_their_order(model: ModelServer) -> None:
    model.embed = lambda text: [float(len(text)), 0.0, 1.0]
    texts = ["가" * (1 + at) for at in range(70)]
    async with chained(model.toml(**EMBEDDING)) as chain:
        about, found = await chain.embed(texts, outside=True, is_query=False, began=began)
    assert about.embedding_model == "e-1"
    assert len(found.vectors) == 70
    assert [len(asked.texts) for asked in model.asked] == [64, 6]
    first = struct.unpack("<3f", found.vectors[0])
    assert first == pytest.approx((2**-0.5, 0.0, 2**-0.5))
    assert found.tokens == 22


@pytest.mark.parametrize("vectors", [[], [[0.0, 0.0]], [[1.0], [1.0]], [[1e308, 1e308]], [[]], [[1.0] * 9000]])
async def test_a_vector_that_is_none_is_trouble(model: ModelServer, vectors: list[list[float]]) -> None:
    rows = [{"index": at, "embedding": one} for at, one in enumerate(vectors)]
    model.next = [Answer(body=json.dumps({"data": rows}).encode())]
    async with chained(model.toml(**EMBEDDING)) as chain:
        with pytest.raises(Trouble) as trouble:
            await chain.embed(["가"], outside=True, is_query=False, began=began)
    assert trouble.value.code == "invalid_answer"


# -- events ----------------------------------------------------------------------------------------------


def unfolded(pieces: list[bytes]) -> list[tuple[str, bytes]]:
    unfolding = Unfolding()
    return [tuple(event) for piece in pieces for event in unfolding.feed(piece)]


STREAM = ': hello\r\n\r\nevent: delta\r\ndata: {"a":\ndata:  "가"}\n\ndata\n\nretry: 5\ndata: 끝\r\n\r\ndata: never whole'.encode()


@given(some.lists(some.integers(0, len(STREAM)), max_size=20))
def test_events_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    marks = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in zip(marks, marks[1:], strict=False)]
    assert unfolded(pieces) == [("delta", '{"a":\n "가"}'.encode()), ("", b""), ("", "끝".encode())]


async def test_endless_events_without_words_are_given_up(model: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LARGEST_ANSWER", 10_000)
    model.next = [Answer(pieces=[""] * 5000)] * 4
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert (said.text, said.trouble and said.trouble.reason) == ("", "too much")


def test_an_event_without_an_end_is_given_up() -> None:
    endless = Unfolding()
    with pytest.raises(Trouble):
        for _ in range(40):
            list(endless.feed(b"data: " + b"x" * 50_000))


# -- silence about words ---------------------------------------------------------------------------------


@WIRES
async def test_no_trouble_and_no_log_repeats_words_or_keys(
    model: ModelServer, wire: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="doran")
    quoting = partial(Answer, body=json.dumps({"error": {"message": f"'준호가 몇 시에' {KEY}"}}).encode())
    model.next = [quoting(status=400), quoting(status=401), quoting(status=500), Answer(pieces=["비밀"], garbage=0)]
    async with chained(model.toml(wire=wire)) as chain:
        troubles = [(await heard(chain)).trouble for _ in range(2)]
        model.answer = lambda asked: Answer(pieces=["비밀", "비밀"], garbage=1)
        troubles += [(await heard(chain)).trouble]
    said = " ".join(map(repr, troubles)) + caplog.text
    assert all(troubles)
    assert not any(word in said for word in ("준호", KEY, "비밀"))
