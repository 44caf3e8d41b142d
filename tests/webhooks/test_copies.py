"""Several copies share the work: each line in one hand, nothing lost when one dies, repeated only under its id."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError

from doran.core.models import WebhookDelivery, WebhookLine
from doran.core.webhooks import lines, settling
from doran.core.webhooks.lines import Claim
from doran.core.webhooks.worker import Worker
from doran.kernel import config
from doran.kernel.doors import look
from doran.server.wiring import House
from tests.clock import Hands
from tests.receiver import Receiver, Reply, Request
from tests.webhooks.town import Endpoint, contents, couple, town, until, with_sora

pytestmark = pytest.mark.judged


@pytest.fixture
def copies() -> Iterator[Callable[..., Worker]]:
    """Begins another copy on the same database."""
    begun: list[Worker] = []

    def begin(*, is_alone: bool = False) -> Worker:
        begun.append(Worker(config.current(), is_alone=is_alone))
        begun[-1].start()
        return begun[-1]

    yield begin
    for copy in begun:
        copy.stop()


async def at_rest(house: House) -> None:
    """The house's own worker sends no more."""
    for own in house.workers:
        await asyncio.to_thread(own.stop)


async def asked(question: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(look, "core", question)


async def taken(endpoint: Endpoint) -> list[Claim]:
    """What a copy would hold that takes all it can."""
    found: list[Claim] = await asked(lambda: lines.take(lines.due(UUID(endpoint.id), 100)))
    return found


async def test_three_copies_send_everything_once_and_in_order(
    receiver: Receiver, copies: Callable[..., Worker]
) -> None:
    heard: dict[str, list[int]] = defaultdict(list)

    def answers(request: Request) -> Reply:
        event = json.loads(request.body)
        heard[event["key"]].append(event["data"]["seq"])
        return Reply()

    receiver.answers = answers
    async with town() as (house, operator):
        begun = [copies(), copies()]
        minji, _, first = await couple(house)
        conversations = [first, await with_sora(house, minji)]
        endpoint = await operator.registers(receiver, "message.created")
        for number in range(40):
            await minji.sends(conversations[number % 2], f"안녕 {number}")
        await until(lambda: sum(map(len, heard.values())) >= 40)
        await operator.eventually(endpoint, waiting=0)
        for copy in begun:
            await asyncio.to_thread(copy.stop)
    assert heard == {conversation_id: list(range(1, 21)) for conversation_id in conversations}


@asynccontextmanager
async def owing_one(receiver: Receiver) -> AsyncIterator[Endpoint]:
    """A house at rest, which has one message left to send to this endpoint."""
    async with town() as (house, operator):
        await at_rest(house)
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, waiting=1)
        yield endpoint


async def test_a_held_line_is_free_again_when_its_lease_ends(
    receiver: Receiver, later: Callable[..., None], copies: Callable[..., Worker]
) -> None:
    async with owing_one(receiver) as endpoint:
        [of_the_dead] = await taken(endpoint)
        assert await taken(endpoint) == []
        later(seconds=29)
        assert await taken(endpoint) == []
        later(seconds=2)
        [mine] = await taken(endpoint)
        assert not await asked(lambda: lines.renew(of_the_dead))
        assert await asked(lambda: lines.turn(of_the_dead)) is None
        await asked(lambda: lines.leave(mine, mine_is_due()))
        copies()
        assert contents(await endpoint.hears(1)) == ["안녕"]


def mine_is_due() -> Any:
    return WebhookLine.objects.get().due_at


async def test_who_is_alone_need_not_wait_for_the_dead(receiver: Receiver, copies: Callable[..., Worker]) -> None:
    async with owing_one(receiver) as endpoint:
        assert len(await taken(endpoint)) == 1
        copies(is_alone=True)
        assert contents(await endpoint.hears(1)) == ["안녕"]


async def test_who_finds_the_database_away_at_the_start_waits_for_it(
    receiver: Receiver, copies: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    free_all, tries = lines.free_all, []

    def away_for_a_while() -> None:
        tries.append("free")
        if len(tries) < 3:
            raise OperationalError("away")
        free_all()

    async with owing_one(receiver) as endpoint:
        assert len(await taken(endpoint)) == 1
        monkeypatch.setattr(lines, "free_all", away_for_a_while)
        monkeypatch.setattr(Worker, "_lease", lambda _: timedelta())
        copies(is_alone=True)
        assert contents(await endpoint.hears(1)) == ["안녕"]
    assert len(tries) == 3


async def test_who_lost_the_lease_while_sending_changes_nothing(receiver: Receiver, later: Callable[..., None]) -> None:
    arrived, gate = threading.Event(), threading.Event()

    def answers(_: Request) -> Reply:
        arrived.set()
        gate.wait(20)
        return Reply()

    receiver.answers = answers
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        for content in ("안녕", "또 안녕"):
            await minji.sends(conversation_id, content)
        await operator.eventually(endpoint, waiting=2)
        await asyncio.to_thread(arrived.wait, 10)
        await asked(lambda: WebhookLine.objects.update(claim="of another copy"))
        gate.set()
        await at_rest(house)
        assert len(receiver.requests) == 1
        assert await operator.health(endpoint) | {"waiting": 2, "state": "unused"} == await operator.health(endpoint)
        assert await asked(lambda: WebhookLine.objects.get().claim) == "of another copy"


async def test_a_result_waits_for_the_database_and_is_sent_no_second_time(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, tries = settling.settle, []

    def away_for_a_while(given: Any) -> Any:
        tries.append(given)
        if len(tries) < 3:
            raise OperationalError("away")
        return settle(given)

    monkeypatch.setattr(settling, "settle", away_for_a_while)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, state="healthy", waiting=0)
    assert (len(receiver.requests), len(tries)) == (1, 3)


async def test_a_copy_that_stops_gives_up_what_it_holds(receiver: Receiver, copies: Callable[..., Worker]) -> None:
    receiver.answers = lambda _: Reply(hang=True)
    async with town(drain_seconds=0.1) as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        for content in ("안녕", "또 안녕"):
            await minji.sends(conversation_id, content)
        await asyncio.to_thread(receiver.waits_for, 1)
        await at_rest(house)
        assert await asked(lambda: WebhookDelivery.objects.filter(state="waiting").count()) == 2
        receiver.answers = lambda _: Reply()
        copies()
        assert contents((await endpoint.hears(3))[1:]) == ["안녕", "또 안녕"]
        await operator.eventually(endpoint, waiting=0)


async def test_a_line_that_is_joined_at_its_end_is_not_lost(receiver: Receiver) -> None:
    """What is said while the last answer is under way finds the line still open."""
    said = threading.Event()
    receiver.answers = lambda _: Reply(204 if said.wait(20) else 500)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕 0")
        await operator.eventually(endpoint, waiting=1)
        for number in range(1, 30):
            await minji.sends(conversation_id, f"안녕 {number}")
            said.set()
        assert contents(await endpoint.hears(30)) == [f"안녕 {number}" for number in range(30)]
        await operator.eventually(endpoint, waiting=0)
        await until(lambda: not WebhookLine.objects.exists())


async def test_a_lease_of_a_clock_that_was_ahead_holds_nothing(
    receiver: Receiver, hands: Hands, copies: Callable[..., Worker]
) -> None:
    hands.move(hours=2)
    async with owing_one(receiver) as endpoint:
        assert len(await taken(endpoint)) == 1  # by somebody who is gone
        hands.move(hours=-2)
        copies()
        assert contents(await endpoint.hears(1)) == ["안녕"]


async def test_an_endpoint_that_failed_when_the_clock_was_ahead_need_not_wait_for_hours(
    receiver: Receiver, hands: Hands, copies: Callable[..., Worker]
) -> None:
    hands.move(hours=2)
    receiver.answers = lambda _: Reply(503, Retry_After="60")
    async with owing_one(receiver):
        failing = copies()
        await asyncio.to_thread(receiver.waits_for, 1)
        await until(lambda: WebhookDelivery.objects.get().attempts == 1)
        await asyncio.to_thread(failing.stop)
        receiver.answers = lambda _: Reply()
        hands.move(hours=-2)
        copies()
        await asyncio.to_thread(receiver.waits_for, 2)
        await until(lambda: WebhookDelivery.objects.get().state == "delivered")


async def test_after_the_clock_was_set_right_a_failing_endpoint_is_left_alone_again(
    receiver: Receiver, hands: Hands, copies: Callable[..., Worker]
) -> None:
    hands.move(hours=2)
    receiver.answers = lambda _: Reply(503, Retry_After="60")
    async with owing_one(receiver) as endpoint:
        copies()
        await asyncio.to_thread(receiver.waits_for, 1)
        await until(lambda: WebhookDelivery.objects.get().attempts == 1)
        hands.move(hours=-2)
        lines.news()
        await until(lambda: WebhookDelivery.objects.get().attempts == 2)
        assert await asked(lines.ready) == []
        assert await taken(endpoint) == []
        hands.move(seconds=61)
        assert len(await asked(lines.ready)) == 1
