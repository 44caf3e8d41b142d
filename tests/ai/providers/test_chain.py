"""Providers fail in every way: who is asked again, who instead, and what is never repeated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from doran.ai.providers import About, Trouble, links
from doran.ai.providers.chain import open_chain
from doran.kernel import breaker
from doran.kernel import config as settings
from doran.kernel.telemetry.metrics import REGISTRY
from tests.ai.providers.conftest import QUESTION, Heard, chained, heard
from tests.servers.model import Answer, ModelServer
from tests.servers.ports import free_port

BROKEN = Answer(status=500)
WIRES = pytest.mark.parametrize("wire", ["openai", "anthropic"])


def both(model: ModelServer, other: ModelServer, *, wire: str = "openai", outside: bool = False) -> str:
    return model.toml("first", wire=wire, outside=outside) + other.toml("second", wire=wire)


def counted(provider: str, outcome: str) -> float:
    labels = {"provider": provider, "outcome": outcome}
    return REGISTRY.get_sample_value("doran_ai_provider_calls_total", labels) or 0.0


# -- again -----------------------------------------------------------------------------------------------

PASSING = [
    Answer(status=408),
    Answer(status=409),
    Answer(status=429),
    Answer(status=500),
    Answer(status=503, body=b"<html>sorry</html>"),
    Answer(status=529),
    Answer(raw=b"HTTP/1.1 200 OK\r\n"),
    Answer(raw=b"SSH-2.0-OpenSSH\r\n"),
    Answer(pieces=["가"], cut=0),
    Answer(pieces=["가"], garbage=0),
    Answer(end=None),
]


@WIRES
@pytest.mark.parametrize("once", PASSING)
async def test_what_fails_before_the_first_word_is_asked_again(model: ModelServer, wire: str, once: Answer) -> None:
    model.next = [once, once]
    async with chained(model.toml(wire=wire)) as chain:
        said = await heard(chain)
    assert (said.text, said.asked) == ("네.", ["scripted"])
    assert len(model.asked) == 3


async def test_nobody_is_asked_more_than_four_times(model: ModelServer) -> None:
    model.answer = lambda asked: BROKEN
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert said.trouble is not None
    assert (said.trouble.code, said.trouble.is_passing, len(model.asked)) == ("provider_unavailable", True, 4)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 418, 302])
async def test_a_plain_no_is_not_asked_again(model: ModelServer, status: int) -> None:
    model.answer = lambda asked: Answer(status=status)
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert said.trouble is not None
    assert said.trouble.code == ("too_long" if status == 413 else "provider_unavailable")
    assert len(model.asked) == 1


async def test_an_empty_purse_is_a_plain_no(model: ModelServer) -> None:
    model.answer = lambda asked: Answer(status=429, error="insufficient_quota")
    async with chained(model.toml()) as chain:
        await heard(chain)
    assert len(model.asked) == 1


async def test_the_provider_says_when(model: ModelServer) -> None:
    model.next = [Answer(status=429, retry_after=0.2)]
    async with chained(model.toml()) as chain:
        began = time.monotonic()
        said = await heard(chain)
    assert said.text == "네."
    assert time.monotonic() - began >= 0.2


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize("wish", [lambda: 3600, in_an_hour], ids=["seconds", "a date"])
async def test_who_wants_to_be_left_alone_for_long_is(model: ModelServer, wish: Callable[[], str | float]) -> None:
    """A date is counted from now, not from when the tests were collected."""
    model.next = [Answer(status=503, retry_after=wish())]
    async with chained(model.toml()) as chain:
        said = await heard(chain)
    assert said.trouble is not None
    assert said.trouble.retry_after == pytest.approx(3600, abs=60)
    assert len(model.asked) == 1


# -- never again -----------------------------------------------------------------------------------------


@WIRES
@pytest.mark.parametrize("fault", [{"cut": 1}, {"garbage": 1}, {"hang": 1}])
async def test_after_the_first_word_nobody_asks_again(
    model: ModelServer, other: ModelServer, wire: str, fault: dict[str, int]
) -> None:
    model.next = [Answer(pieces=["가", "나"], **fault)]  # type: ignore[arg-type]
    async with chained(both(model, other, wire=wire), ai_idle_seconds=0.2) as chain:
        said = await heard(chain)
    assert said.text == "가"
    assert said.trouble is not None
    assert (said.trouble.code, said.trouble.shown) == ("cut_off", True)
    assert (len(model.asked), other.asked) == (1, [])


async def test_a_refusal_is_not_taken_to_somebody_else(model: ModelServer, other: ModelServer) -> None:
    model.next = [Answer(status=400, error="content_policy_violation")]
    async with chained(both(model, other)) as chain:
        said = await heard(chain)
    assert said.trouble is not None
    assert said.trouble.code == "provider_refused"
    assert other.asked == []


# -- instead ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [BROKEN, Answer(status=401), Answer(status=429, retry_after=60)])
async def test_where_one_fails_the_next_is_asked(model: ModelServer, other: ModelServer, answer: Answer) -> None:
    model.answer = lambda asked: answer
    async with chained(both(model, other)) as chain:
        said = await heard(chain)
    assert (said.text, said.asked) == ("네.", ["first", "second"])


async def test_where_nobody_listens_the_next_is_asked(other: ModelServer, model: ModelServer) -> None:
    nobody = model.toml("first").replace(str(model.port), str(free_port()))
    async with chained(nobody + other.toml("second")) as chain:
        assert (await heard(chain)).text == "네."


async def test_who_says_nothing_is_not_waited_for_longer_than_set(model: ModelServer, other: ModelServer) -> None:
    model.answer = lambda asked: Answer(hang=0)
    async with chained(both(model, other), ai_first_token_seconds=1.0) as chain:
        said = await heard(chain)
    assert said.text == "네."
    await asyncio.to_thread(model.until, lambda model: model.gone == chain_tries())


def chain_tries() -> int:
    return links.TRIES_WITH_OTHERS


async def test_a_question_too_long_for_one_may_fit_the_next(model: ModelServer, other: ModelServer) -> None:
    model.answer = lambda asked: Answer(status=400, error="context_length_exceeded")
    async with chained(both(model, other)) as chain:
        assert (await heard(chain)).text == "네."
        other.answer = lambda asked: BROKEN
        said = await heard(chain)
    assert said.trouble is not None
    assert said.trouble.code == "too_long"


async def test_vectors_of_another_model_are_no_substitute(model: ModelServer, other: ModelServer) -> None:
    toml = model.toml("first", model="", embedding_model="e-1") + other.toml("second", model="", embedding_model="e-2")
    model.answer = lambda asked: BROKEN
    said = Heard()
    async with chained(toml) as chain:
        about, _ = await chain.embed(["가"], outside=True, is_query=True, began=said.began)
        assert about.name == "second"
        with pytest.raises(Trouble) as trouble:
            await chain.embed(["가"], outside=True, is_query=True, began=said.began, model="e-1")
        assert trouble.value.code == "provider_unavailable"
        with pytest.raises(Trouble) as trouble:
            await chain.embed(["가"], outside=True, is_query=True, began=said.began, model="e-3")
    assert trouble.value.code == "no_provider"
    assert len(other.asked) == 1


# -- outside ---------------------------------------------------------------------------------------------


async def test_no_word_goes_outside_without_leave(model: ModelServer, other: ModelServer) -> None:
    async with chained(both(model, other, outside=True)) as chain:
        said = await heard(chain, outside=False)
        assert [
            one.name for one in (chain.first("complete", outside=True), chain.first("complete", outside=False)) if one
        ] == ["first", "second"]
    assert (said.asked, model.asked) == (["second"], [])


async def test_without_anybody_to_ask_nothing_is_asked(model: ModelServer) -> None:
    async with chained(model.toml(outside=True)) as chain:
        said = await heard(chain, outside=False)
        assert not chain.can("complete", outside=False)
        assert not chain.can("embed", outside=True)
        assert chain.first("embed", outside=True) is None
    assert said.trouble is not None
    assert said.trouble.code == "no_provider"
    assert model.asked == []


async def test_an_empty_table_is_an_empty_chain() -> None:
    empty = open_chain(settings.load({}))
    assert not empty.can("complete", outside=True)
    assert (await heard(empty)).trouble is not None


async def test_who_may_not_be_told_is_not_told(model: ModelServer) -> None:
    async def forbidden(_about: About) -> None:
        raise PermissionError

    async with chained(model.toml()) as chain:
        with pytest.raises(PermissionError):
            async for _ in chain.complete(QUESTION, outside=True, began=forbidden):
                pass
    assert model.asked == []


# -- the breaker -----------------------------------------------------------------------------------------


async def test_who_fails_often_is_not_asked_for_a_while_and_found_again(
    model: ModelServer, other: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 60.0)
    model.answer = lambda asked: BROKEN
    async with chained(both(model, other)) as chain:
        for _ in range(4):
            assert (await heard(chain)).text == "네."
        asked = len(model.asked)
        assert asked < 8
        first = chain.first("complete", outside=True)
        assert first is not None
        assert first.name == "second"
        model.answer = lambda asked: "나았어"
        chain._links[0].breaker._until = 0.0  # the pause is over
        assert (await heard(chain)).text == "나았어"


async def test_many_busy_answers_are_no_illness(model: ModelServer) -> None:
    async with chained(model.toml("busy-one")) as chain:
        for _ in range(3):
            model.next = [Answer(status=429)] * 3
            assert (await heard(chain)).text == "네."
    assert REGISTRY.get_sample_value("doran_ai_provider_state", {"provider": "busy-one"}) in (None, 0.0)


async def test_a_question_that_is_left_does_not_keep_the_breaker_waiting(
    model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(breaker, "LONGEST_PAUSE", 0.01)
    async with chained(model.toml()) as chain:
        model.answer = lambda asked: BROKEN
        for _ in range(2):
            await heard(chain)
        model.answer = lambda asked: Answer(hang=0)
        await asyncio.sleep(0.02)
        asking = asyncio.create_task(heard(chain))
        await asyncio.to_thread(model.until, lambda model: model.under_way == 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        model.answer = lambda asked: "다시"
        await asyncio.sleep(0.02)
        assert (await heard(chain)).text == "다시"


# -- what the operator sees ------------------------------------------------------------------------------


async def test_answers_are_counted_without_their_words(model: ModelServer) -> None:
    model.next = [BROKEN, Answer(pieces=["네"], usage=(30, 4))]
    async with chained(model.toml("seen")) as chain:
        await heard(chain)
    assert (counted("seen", "ok"), counted("seen", "failed"), counted("seen", "retried")) == (1, 1, 1)
    assert REGISTRY.get_sample_value("doran_ai_first_token_seconds_count", {"provider": "seen"}) == 1
