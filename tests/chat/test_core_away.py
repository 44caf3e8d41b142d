"""Core is slow, lies or is gone: chat goes on with the keys and the people it knows, and notices when core is back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from joserfc.jwk import ECKey

from doran.contracts.errors import CLOSES
from doran.kernel import breaker, clock, jwks, siblings
from doran.kernel.auth import is_own_id
from doran.kernel.config import Config
from doran.kernel.siblings import tokens
from doran.kernel.telemetry import health
from tests.cast import Mint, Person
from tests.chat.conftest import Play
from tests.neighbour import Neighbour, Says
from tests.stage import awake, ground
from tests.wire import call, refuses

KEYS = "/.well-known/jwks.json"


class Core:
    """A core that publishes its keys and knows everybody; it can go and come back."""

    def __init__(self) -> None:
        self.mint = Mint()
        self.neighbour = self._there(0)
        self.url = self.neighbour.url

    def _there(self, port: int) -> Neighbour:
        there = Neighbour(port)
        there.paths[KEYS] = Says(body=self.mint.published())
        return there

    def goes(self) -> None:
        self.neighbour.close()

    def comes_back(self) -> None:
        self.neighbour = self._there(self.neighbour.port)


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    """Nobody waits long in here: neither for core nor to ask it again."""
    monkeypatch.setattr(jwks, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(tokens, "AWAY_SECONDS", 0.0)
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(breaker, "LONGEST_PAUSE", 0.05)
    there = Core()
    yield there
    there.goes()


@pytest.fixture
async def floor(core: Core) -> AsyncIterator[Config]:
    apart = {"core_url": core.url, "service_secret": "chat's own secret, long enough", "sibling_seconds": 0.4}
    async with ground(services=("chat",), **apart) as config:
        yield config


@asynccontextmanager
async def started(floor: Config, core: Core) -> AsyncIterator[Play]:
    """A copy of chat on this ground."""
    async with awake(floor) as house:
        play = Play(house, core.mint)
        siblings.register_local("core", None)
        yield play


async def dependency(person: Person, name: str) -> tuple[int, bool]:
    """The status of readiness, and what it says of one dependency."""
    answer = await call(person.app, "GET", "/health/ready")
    return answer.status, answer.json["dependencies"][name]["ok"]


async def test_while_core_is_gone_people_who_are_known_go_on(floor: Config, core: Core) -> None:
    async with started(floor, core) as play:
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        core.goes()
        hers, his = await minji.opens(talk), await junho.opens()
        hers.says(type="chat_message", content="거기 있어?")
        assert (await his.hears("chat_message"))["message"]["content"] == "거기 있어?"
        sora = await play.person("소라")
        assert await junho.starts(sora)
        assert await dependency(minji, "core") == (200, False)


async def test_a_restart_of_chat_while_core_is_gone_sends_nobody_away(floor: Config, core: Core) -> None:
    async with started(floor, core) as play:
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
    core.goes()
    async with started(floor, core) as play:
        minji, junho = play.again(minji), play.again(junho)
        await minji.opens(talk)
        assert (await junho.sends(talk, "다시 왔어"))["content"] == "다시 왔어"
        assert await dependency(minji, f"keys of {core.mint.issuer}") == (200, True)


async def test_a_first_start_without_core_is_not_ready_and_then_is(floor: Config, core: Core) -> None:
    core.goes()
    async with started(floor, core) as play:
        minji = await play.person("민지")
        assert (await dependency(minji, f"keys of {core.mint.issuer}"))[0] == 503
        refuses(await minji.asks("GET", "/api/chat/users/me/conversations/"), 503, "unavailable")
        core.comes_back()
        assert await dependency(minji, f"keys of {core.mint.issuer}") == (200, True)
        assert (await minji.asks("GET", "/api/chat/users/me/conversations/")).status == 200


@pytest.mark.parametrize(
    "lie", [Says(500, b"{}"), Says(wait=30), Says(body=b"<html>"), Says(body=b'{"keys":[]}'), Says(hangs_up=True)]
)
async def test_a_core_that_says_wrong_keys_changes_nothing(floor: Config, core: Core, lie: Says) -> None:
    async with started(floor, core) as play:
        minji = await play.person("민지")
        await minji.opens()
    core.neighbour.paths[KEYS] = lie
    async with started(floor, core) as play:
        assert await play.again(minji).opens()


async def test_whom_nobody_knows_cannot_be_told_apart_from_nobody_until_core_is_back(floor: Config, core: Core) -> None:
    async with started(floor, core) as play:
        minji = await play.person("민지")
        await minji.opens()
        stranger = str(clock.new_id())
        assert is_own_id(stranger)
        core.goes()
        answer = await minji.asks("POST", "/api/chat/conversations/", {"participant_id": stranger})
        refuses(answer, 503, "unavailable")
        assert not play.rows("conversation")
        core.comes_back()
        while (await dependency(minji, "core")) != (200, True):
            pass
        answer = await minji.asks("POST", "/api/chat/conversations/", {"participant_id": stranger})
        assert answer.status == 201
        ((_, asked),) = [one for one in core.neighbour.asked if stranger in one[0]]
        assert asked["authorization"].startswith("Bearer token ")
        assert minji.token not in str(core.neighbour.asked)


async def test_a_core_that_hangs_does_not_hold_up_who_needs_nothing_of_it(floor: Config, core: Core) -> None:
    async with started(floor, core) as play:
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        core.neighbour.always = Says(wait=30)
        for _ in range(8):
            refuses(
                await minji.asks("POST", "/api/chat/conversations/", {"participant_id": str(clock.new_id())}),
                503,
                "unavailable",
            )
            assert await minji.sends(talk, "그래도")


async def test_a_strangers_made_up_kid_makes_an_honest_new_key_wait_a_moment_not_fail(
    floor: Config, core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "SPACING_SECONDS", 300.0)
    async with started(floor, core) as play:
        minji = await play.person("민지")
        await minji.opens()
        assert (await minji.asks("GET", "/api/chat/users/me/conversations/")).status == 200
        core.mint.key = ECKey.generate_key("P-256", {"kid": "new", "alg": "ES256", "use": "sig"})
        core.neighbour.paths[KEYS] = Says(body=core.mint.published())
        made_up = Person(play.app, "소라", minji.id, Mint(issuer=core.mint.issuer).token(minji.id))
        refuses(await made_up.asks("GET", "/api/chat/users/me/conversations/"), 503, "unavailable")
        honest = play.again(minji)
        answer = await honest.asks("GET", "/api/chat/users/me/conversations/")
        refuses(answer, 503, "unavailable")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert await (await honest.connects()).is_closed() == 1013
        assert CLOSES[1013].come_back
