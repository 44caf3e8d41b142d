"""The scripted model server speaks its wires and misbehaves on command: what other stories rest on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import pytest

from tests.servers.model import Answer, ModelServer, scripted_model


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


def ask(model: ModelServer, path: str, body: dict[str, object], *, seconds: float = 5.0) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=seconds) as client:
        return client.post(model.url + path, json=body)


def events(answer: httpx2.Response) -> list[dict[str, object]]:
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


WORDS = [{"role": "system", "content": "규칙"}, {"role": "user", "content": "준호가 뭐래?"}]


def test_an_answer_is_decided_by_what_was_asked(model: ModelServer) -> None:
    model.answer = lambda asked: [f"{role}:{text}" for role, text in asked.turns]
    said = events(ask(model, "/chat/completions", {"stream": True, "messages": WORDS}))
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in said) == "user:준호가 뭐래?"
    assert model.asked[0].system == "규칙"


def test_messages_name_their_events_and_count_their_tokens(model: ModelServer) -> None:
    model.next = [Answer(pieces=["좋", "아"], usage=(5, 2), end="length")]
    said = events(ask(model, "/messages", {"stream": True, "messages": WORDS[1:]}))
    assert [one["type"] for one in said][:3] == ["message_start", "content_block_start", "ping"]
    assert said[-2]["delta"] == {"stop_reason": "max_tokens"}
    assert said[-2]["usage"] == {"output_tokens": 2}


def test_vectors_of_like_texts_lie_near_each_other(model: ModelServer) -> None:
    body = ask(model, "/embeddings", {"input": ["저녁 먹자", "저녁 먹을래", "서버 배포 실패"]}).json()
    one, near, far = (row["embedding"] for row in body["data"])
    assert near_by(one, near) > near_by(one, far)


def near_by(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_a_broken_line_and_a_refusal_come_once_and_in_order(model: ModelServer) -> None:
    model.next = [Answer(status=429, retry_after=2), Answer(pieces=["a", "b"], cut=1)]
    assert ask(model, "/chat/completions", {"stream": True}).headers["retry-after"] == "2"
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(model, "/chat/completions", {"stream": True})
    assert events(ask(model, "/chat/completions", {"stream": True}))


@pytest.mark.parametrize("after", [0, 1])
def test_it_sees_who_gives_up(model: ModelServer, after: int) -> None:
    model.next = [Answer(pieces=["a", "b"], hang=after)]
    with pytest.raises(httpx2.ReadTimeout):
        ask(model, "/messages", {"stream": True}, seconds=0.1)
    model.until(lambda model: model.gone == 1)
    assert model.under_way == 0
