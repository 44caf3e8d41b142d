"""Hints over Redis: heard by all others at once, and nobody's trouble while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from doran.realtime.hints import Silence
from doran.realtime.hints import redis as over_redis
from doran.realtime.hints.redis import RedisHints
from tests.servers.process import private
from tests.servers.redis import RedisServer
from tests.stage import eventually


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with private(RedisServer) as one:
        yield one


class Speaker:
    """A process with its hints: what it heard, oldest first."""

    def __init__(self, url: str, channel: str = "doran:test") -> None:
        self.hints = RedisHints(url)
        self.heard: list[tuple[str, bytes]] = []
        for kind in ("news", "chat"):
            self.hints.listen(kind, lambda body, kind=kind: self.heard.append((kind, body)))  # type: ignore[misc]
        self.hints.start(channel)


@pytest.fixture
async def speakers(server: RedisServer) -> AsyncIterator[list[Speaker]]:
    server.start_again()
    three = [Speaker(server.url) for _ in range(3)]
    await eventually(lambda: all(one.hints.is_up for one in three))
    yield three
    server.thaw()
    for one in three:
        await one.hints.stop()


async def published(server: RedisServer) -> int:
    """How often anybody has published anything so far."""
    stats = str(await asyncio.to_thread(server.ask, "INFO", "commandstats"))
    return int(stats.partition("'cmdstat_publish': {'calls': ")[2].partition(",")[0] or 0)


async def test_all_others_hear_it_in_order_and_nobody_hears_himself(speakers: list[Speaker]) -> None:
    one, *others = speakers
    for number in range(50):
        one.hints.say("chat" if number % 2 else "news", b"%d" % number)
    said = [("chat" if number % 2 else "news", b"%d" % number) for number in range(50)]
    await eventually(lambda: all(other.heard == said for other in others))
    assert one.heard == []


async def test_the_last_words_before_a_stop_are_heard(speakers: list[Speaker], server: RedisServer) -> None:
    leaving = Speaker(server.url)
    await eventually(lambda: leaving.hints.is_up)
    leaving.hints.say("news", b"goodbye")
    await leaving.hints.stop()
    await eventually(lambda: all(one.heard == [("news", b"goodbye")] for one in speakers))


async def test_another_deployment_on_the_same_redis_hears_nothing(speakers: list[Speaker], server: RedisServer) -> None:
    stranger = Speaker(server.url, "doran:another")
    await eventually(lambda: stranger.hints.is_up)
    speakers[0].hints.say("news", b"for us")
    await eventually(lambda: speakers[1].heard)
    assert stranger.heard == []
    await stranger.hints.stop()


async def test_what_is_said_at_once_is_published_together(speakers: list[Speaker], server: RedisServer) -> None:
    before = await published(server)
    for number in range(1000):
        speakers[0].hints.say("news", b"%d" % number)
    await eventually(lambda: len(speakers[1].heard) == 1000)
    assert 0 < await published(server) - before < 20


async def test_who_is_alone_is_silent_until_somebody_comes(server: RedisServer) -> None:
    server.start_again()
    lone = Speaker(server.url)
    await eventually(lambda: lone.hints.is_up and lone.hints._alone_until)
    before = await published(server)
    for number in range(100):
        lone.hints.say("news", b"%d" % number)
        await asyncio.sleep(0)
    assert await published(server) == before
    other = Speaker(server.url)
    await eventually(lambda: not lone.hints._alone_until)
    lone.hints.say("news", b"welcome")
    await eventually(lambda: other.heard == [("news", b"welcome")])
    for one in (lone, other):
        await one.hints.stop()


async def test_who_was_alone_tries_again_whether_somebody_hears(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_redis, "ALONE_SECONDS", 0.05)
    server.start_again()
    lone = Speaker(server.url)
    await eventually(lambda: lone.hints.is_up and lone.hints._alone_until)
    other = Speaker(server.url)
    monkeypatch.setattr(other.hints, "_me", lone.hints._me)  # so that its hello goes unheard
    await eventually(lambda: other.hints.is_up)
    monkeypatch.setattr(other.hints, "_me", b"somebody")

    def heard() -> bool:
        lone.hints.say("news", b"is anybody there?")
        return bool(other.heard)

    await eventually(heard)
    for one in (lone, other):
        await one.hints.stop()


async def test_a_stopped_redis_is_nobodys_trouble_and_is_found_again(
    speakers: list[Speaker], server: RedisServer
) -> None:
    server.stop()
    await eventually(lambda: not any(one.hints.are_heard for one in speakers))
    for _ in range(10):
        speakers[0].hints.say("news", b"into the void")
        await asyncio.sleep(0)
    server.start()
    await eventually(lambda: all(one.hints.is_up for one in speakers))
    speakers[0].hints.say("news", b"again")
    await eventually(lambda: all(("news", b"again") in one.heard for one in speakers[1:]))


async def test_nobody_waits_for_a_frozen_redis(
    speakers: list[Speaker], server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(over_redis, "QUEUE_BYTES", 1000)
    server.freeze()
    began = asyncio.get_running_loop().time()
    for _ in range(100):
        speakers[0].hints.say("news", b"x" * 100)
    assert asyncio.get_running_loop().time() - began < 4.0
    assert speakers[0].hints._queued <= 1000
    await eventually(lambda: not any(one.hints.is_up for one in speakers))
    server.thaw()
    await eventually(lambda: all(one.hints.is_up for one in speakers))
    speakers[0].hints.say("news", b"again")
    await eventually(lambda: all(("news", b"again") in one.heard for one in speakers[1:]))


@pytest.mark.parametrize("said", [b"", b"\xc1", b"\x92\x01\x02", b"no hint at all"])
async def test_what_is_no_hint_is_passed_over(speakers: list[Speaker], said: bytes) -> None:
    one, other, _ = speakers
    await one.hints._redis.publish("doran:test", said)
    one.hints.say("unknown kind", b"")
    one.hints.say("news", b"a hint")
    await eventually(lambda: other.heard == [("news", b"a hint")])


async def test_a_listener_that_fails_keeps_nobody_from_hearing(speakers: list[Speaker]) -> None:
    one, other, _ = speakers
    other.hints.listen("chat", lambda body: 1 / 0)  # type: ignore[arg-type, return-value]
    one.hints.say("chat", b"")
    one.hints.say("news", b"a hint")
    await eventually(lambda: other.heard == [("news", b"a hint")])


async def test_where_nobody_else_is_nothing_is_heard() -> None:
    silence = Silence()
    silence.listen("news", lambda body: pytest.fail("there is nobody"))
    silence.start("doran:test")
    silence.say("news", b"")
    assert not silence.are_heard
    await silence.stop()
