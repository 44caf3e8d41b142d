"""An integrator hears what happens: signed, in order, whatever its server does, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Callable

import pytest

from doran.core.models import WebhookDelivery, WebhookEvent, WebhookLine
from doran.core.webhooks import lines, pruning
from tests.journeys.town import PASSWORD
from tests.receiver import Receiver, Reply, Request
from tests.webhooks.town import believes, contents, couple, later_again, town, until, with_sora

Later = Callable[..., None]


def numbered(*numbers: int) -> list[str]:
    return [f"안녕 {number}" for number in numbers]


async def test_an_event_arrives_signed_as_the_envelope_that_services_see(receiver: Receiver) -> None:
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, junho, conversation_id = await couple(house)
        message = await minji.sends(conversation_id, "저녁에 볼까?")
        [event] = await endpoint.hears(1)
    [request] = receiver.requests
    assert (request.path, request.headers["content-type"]) == ("/hook", "application/json")
    assert (event["event_type"], event["producer"], event["key"]) == ("message.created", "chat", conversation_id)
    assert (event["type"], event["specversion"], event["source"]) == ("message.created", "1.0", "chat")
    data = event["data"]
    assert (data["message_id"], data["content"]) == (message["id"], "저녁에 볼까?")
    assert (data["sender_id"], data["recipient_id"]) == (minji.id, junho.id)
    assert event["trace_id"] in request.headers["traceparent"]


async def test_only_what_was_asked_for_is_sent(receiver: Receiver, other: Receiver) -> None:
    async with town() as (house, operator):
        people = await operator.registers(receiver, "user.created")
        everything = await operator.registers(other)
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        heard = {event["event_type"] for event in await everything.hears(4)}
        assert heard >= {"user.created", "conversation.created", "message.created"}
        assert [event["event_type"] for event in await people.hears(2)] == ["user.created"] * 2


async def test_while_nobody_asks_nothing_is_kept(receiver: Receiver) -> None:
    async with town() as (house, operator):
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "before anybody listens")
        await asyncio.to_thread(house.chat.relay.drain)
        assert not await asyncio.to_thread(WebhookEvent.objects.exists)
        endpoint = await operator.registers(receiver, "message.created")
        await minji.sends(conversation_id, "안녕")
        assert contents(await endpoint.hears(1)) == ["안녕"]


async def test_each_key_is_in_order_and_no_key_waits_for_another(receiver: Receiver, impatient: None) -> None:
    """Every event fails once, and one conversation fails for long; still each conversation is in order."""
    heard: dict[str, list[int]] = defaultdict(list)
    poisoned: list[str] = []
    seen: set[str] = set()

    def answers(request: Request) -> Reply:
        event = json.loads(request.body)
        if event["key"] in poisoned or event["event_id"] not in seen:
            seen.add(event["event_id"])
            return Reply(500)
        heard[event["key"]].append(event["data"]["seq"])
        return Reply()

    receiver.answers = answers
    async with town() as (house, operator):
        minji, _, first = await couple(house)
        second = await with_sora(house, minji)
        poisoned.append(first)
        endpoint = await operator.registers(receiver, "message.created")
        for number in range(6):
            for conversation_id in (first, second):
                await minji.sends(conversation_id, f"안녕 {number}")
        await until(lambda: heard[second] == [1, 2, 3, 4, 5, 6])
        assert heard[first] == []
        poisoned.clear()
        await operator.eventually(endpoint, waiting=0)
    assert heard == {first: [1, 2, 3, 4, 5, 6], second: [1, 2, 3, 4, 5, 6]}


@pytest.mark.parametrize(("ordering", "at_once"), [("key", 2), ("endpoint", 1)])
async def test_as_many_at_once_as_the_ordering_allows(ordering: str, at_once: int, receiver: Receiver) -> None:
    arrived: list[str] = []
    gate = threading.Event()

    def answers(request: Request) -> Reply:
        arrived.append(request.headers["webhook-id"])
        gate.wait(20)
        return Reply()

    receiver.answers = answers
    async with town() as (house, operator):
        minji, _, first = await couple(house)
        second = await with_sora(house, minji)
        endpoint = await operator.registers(receiver, "message.created", ordering=ordering)
        for number in range(3):
            for conversation_id in (first, second):
                await minji.sends(conversation_id, f"안녕 {number}")
        await operator.eventually(endpoint, waiting=6)
        await until(lambda: len(arrived) == at_once)
        for _ in range(3):  # looks that find nothing more
            await until(lambda: lines.news() is None)
        assert len(arrived) == at_once
        gate.set()
        await operator.eventually(endpoint, waiting=0)
        recorded = [one["event_id"] for one in await operator.deliveries(endpoint)][::-1]
        assert sorted(arrived) == sorted(recorded)
        assert ordering == "key" or arrived == recorded


async def test_a_receiver_that_hangs_slows_nobody_else(receiver: Receiver, other: Receiver) -> None:
    receiver.answers = lambda _: Reply(hang=True)
    async with town() as (house, operator):
        await operator.registers(receiver, "message.created")
        well = await operator.registers(other, "message.created")
        minji, _, conversation_id = await couple(house)
        for number in range(20):
            await minji.sends(conversation_id, f"안녕 {number}")
        assert contents(await well.hears(20)) == numbered(*range(20))
        receiver.closed.set()


@pytest.mark.parametrize(
    ("reply", "word"),
    [
        (Reply(500), "500"),
        (Reply(404), "404"),
        (Reply(301, location="https://elsewhere.example.com/"), "301"),
        (Reply(raw=b"garbage\r\n\r\n"), "broken_answer"),
        (Reply(raw=b""), "broken_answer"),
        (Reply(hang=True), "timeout"),
    ],
    ids=["500", "404", "redirect", "garbage", "hangs up", "hangs"],
)
async def test_whatever_goes_wrong_the_same_event_comes_again(
    reply: Reply, word: str, receiver: Receiver, impatient: None
) -> None:
    receiver.answers = lambda _: reply if not receiver.requests else Reply()
    async with town(webhook_seconds=0.5 if reply.hang else 15.0) as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        for content in numbered(1, 2):
            await minji.sends(conversation_id, content)
        assert contents(await endpoint.hears(3)) == numbered(1, 1, 2)
        health = await operator.eventually(endpoint, waiting=0, state="healthy")
        assert (health["last_failure"], health["failures"]) == (word, 0)
        newest, oldest = await operator.deliveries(endpoint)
        assert (oldest["state"], oldest["outcome"]) == ("delivered", "204")
        assert (oldest["attempts"], newest["attempts"]) == (2, 1) or reply.hang
    first, again, _ = receiver.requests
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)


async def test_nobody_there_is_tried_again_later(receiver: Receiver, impatient: None) -> None:
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        receiver.close()
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, last_failure="no_connection", waiting=1)
        with_new_server = Receiver(port=receiver.port)
        try:
            endpoint.receiver = with_new_server
            assert contents(await endpoint.hears(1)) == ["안녕"]
        finally:
            with_new_server.close()


# -- how long it is tried ------------------------------------------------------------------------------


async def test_a_busy_receiver_says_when_to_come_back(receiver: Receiver, later: Later) -> None:
    receiver.answers = lambda _: Reply(429, retry_after="1800")
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        another = await with_sora(house, minji)
        await minji.sends(conversation_id, "안녕")
        health = await operator.eventually(endpoint, last_failure="429")
        assert health["next_attempt_after"] is not None
        later(minutes=29)
        await (await later_again(house, minji)).sends(another, "또 안녕")
        await operator.eventually(endpoint, waiting=2)
        assert len(receiver.requests) == 1
        receiver.answers = lambda _: Reply()
        later(minutes=2)
        await operator.eventually(endpoint, waiting=0)
    assert len(receiver.requests) == 3


async def test_an_event_is_tried_for_a_day_and_then_put_aside(receiver: Receiver, later: Later) -> None:
    receiver.answers = lambda request: Reply(500 if "독" in request.body.decode() else 204)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "독")
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, failures=1, waiting=2)
        for tried in range(2, 25):
            later(minutes=61)
            await operator.eventually(endpoint, failures=tried, waiting=2)
        later(minutes=61)
        health = await operator.eventually(endpoint, waiting=0, failed=1)
        assert health["state"] == "healthy"
        newest, oldest = await operator.deliveries(endpoint)
        assert (newest["state"], oldest["state"], oldest["outcome"]) == ("delivered", "failed", "500")
        bodies = [json.loads(request.body)["data"]["content"] for request in receiver.requests]
        assert bodies == ["독"] * (len(bodies) - 1) + ["안녕"]
        receiver.answers = lambda _: Reply()
        answer = await operator.asks("POST", f"{endpoint.id}/replay/", {"failed": True})
        assert (answer.status, answer.json) == (202, {"replayed": 1, "next_since": None})
        await operator.eventually(endpoint, waiting=0, failed=0)
        assert json.loads(receiver.requests[-1].body)["data"]["content"] == "독"


async def test_an_endpoint_that_fails_for_days_is_disabled_and_others_hear_of_it(
    receiver: Receiver, other: Receiver, later: Later
) -> None:
    receiver.answers = lambda _: Reply(500)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        watcher = await operator.registers(other, "webhook.disabled")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, state="failing")
        for day, failures in ((1, 3), (2, 4)):  # on the second day it is asked once, because it fails as a whole
            later(hours=24, minutes=1)
            await (await later_again(house, minji)).sends(conversation_id, f"day {day}")
            await operator.eventually(endpoint, failed=day, failures=failures, state="unhealthy")
        later(hours=24, minutes=1)
        await operator.eventually(watcher, waiting=0, state="healthy")
        [request] = other.requests
        assert json.loads(request.body)["data"]["endpoint_id"] == endpoint.id
        seen = await operator.sees(endpoint)
        assert (seen["enabled"], seen["disabled_reason"], seen["health"]["state"]) == (False, "failing", "disabled")


async def test_a_receiver_that_is_gone_is_asked_no_more(receiver: Receiver, other: Receiver) -> None:
    gate = threading.Event()

    def answers(_: Request) -> Reply:
        gate.wait(20)
        return Reply(410)

    receiver.answers = answers
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        watcher = await operator.registers(other, "webhook.disabled")
        minji, _, conversation_id = await couple(house)
        for content in numbered(1, 2, 3):
            await minji.sends(conversation_id, content)
        await operator.eventually(endpoint, waiting=3)
        gate.set()
        [event] = await watcher.hears(1)
        assert event["data"]["reason"] == "gone"
        await operator.eventually(endpoint, state="disabled", failed=1, waiting=2)
        assert len(receiver.requests) == 1
        receiver.answers = lambda _: Reply()
        await operator.asks("PATCH", f"{endpoint.id}/", {"enabled": True})
        await operator.eventually(endpoint, state="healthy", waiting=0)
    assert contents([json.loads(one.body) for one in receiver.requests]) == numbered(1, 2, 3)


async def test_a_whole_failure_is_met_with_patience_and_ends_at_once(receiver: Receiver, later: Later) -> None:
    """Fresh events of two conversations fail: then one request at a time, rarely; the first success wakes all."""
    receiver.answers = lambda _: Reply(503)
    async with town() as (house, operator):
        minji, _, first = await couple(house)
        second = await with_sora(house, minji)
        endpoint = await operator.registers(receiver, "message.created")
        for conversation_id in (first, second):
            await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, failures=2)
        for asked in range(3, 10):
            later(minutes=6)
            await operator.eventually(endpoint, failures=asked)
        assert len(receiver.requests) == 9
        receiver.answers = lambda _: Reply()
        later(minutes=6)
        await operator.eventually(endpoint, waiting=0, state="healthy")


# -- secrets -------------------------------------------------------------------------------------------


async def test_two_secrets_are_good_while_one_makes_way_for_the_next(receiver: Receiver, later: Later) -> None:
    async with town() as (_, operator):
        endpoint = await operator.registers(receiver, "message.created", "webhook.disabled")

        async def signed_by(*secrets: str) -> list[bool]:
            before = len(receiver.requests)
            await operator.asks("POST", f"{endpoint.id}/test/")
            await operator.eventually(endpoint, waiting=0)
            [request] = receiver.requests[before:]
            return [believes(request, secret) for secret in secrets]

        first = endpoint.secret
        second = (await operator.asks("POST", f"{endpoint.id}/rotate/", {})).json["secret"]
        assert await signed_by(first, second) == [True, True]
        later(hours=23)
        assert await signed_by(first, second) == [True, True]
        later(hours=2)
        assert await signed_by(first, second) == [False, True]
        third = (await operator.asks("POST", f"{endpoint.id}/rotate/", {})).json["secret"]
        fourth = (await operator.asks("POST", f"{endpoint.id}/rotate/", {})).json["secret"]
        assert await signed_by(first, second, third, fourth) == [False, False, True, True]
        assert receiver.requests[-1].headers["webhook-signature"].count("v1,") == 2
        fifth = (await operator.asks("POST", f"{endpoint.id}/rotate/", {"at_once": True})).json["secret"]
        assert await signed_by(third, fourth, fifth) == [False, False, True]


# -- what is deleted -------------------------------------------------------------------------------------


async def test_what_is_deleted_is_not_sent_any_more(receiver: Receiver, impatient: None) -> None:
    receiver.answers = lambda _: Reply(500)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created", "message.updated")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "머무는 말")
        taken_back = await minji.sends(conversation_id, "비밀")
        await minji.edits(taken_back, "더 큰 비밀")
        await operator.eventually(endpoint, waiting=3)
        await minji.deletes(taken_back)
        await until(lambda: "비밀" not in kept_text())
        receiver.answers = lambda _: Reply()
        await operator.eventually(endpoint, waiting=0)
    said = [json.loads(request.body)["data"] for request in receiver.requests[-3:]]
    assert [one["content"] for one in said] == ["머무는 말", None, None]


async def test_who_is_erased_is_forgotten_here_too(receiver: Receiver, impatient: None) -> None:
    receiver.answers = lambda _: Reply(500)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver)
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "minji was here")
        await operator.eventually(endpoint, state="failing")
        await until(lambda: "minji was here" in kept_text())
        erased = await minji.asks("DELETE", "/api/core/users/me/", {"password": PASSWORD})
        assert erased.status == 204
        await until(lambda: "user.erased" in kept_text() and "minji" not in kept_text().replace(minji.id, ""))


def kept_text() -> str:
    return "\n".join(WebhookEvent.objects.values_list("envelope", flat=True))


# -- how long it is kept ---------------------------------------------------------------------------------


async def test_events_are_let_go_after_their_days(receiver: Receiver, later: Later) -> None:
    async with town(webhook_days=7) as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, waiting=0, state="healthy")
        later(days=6)
        assert await asyncio.to_thread(pruning.prune) == 0
        later(days=2)
        assert await asyncio.to_thread(pruning.prune) == 1
        assert await operator.deliveries(endpoint) == []


async def test_no_line_stays_when_nothing_waits(receiver: Receiver) -> None:
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        for content in numbered(*range(10)):
            await minji.sends(conversation_id, content)
        await endpoint.hears(10)
        await operator.eventually(endpoint, waiting=0)
        await until(lambda: not WebhookLine.objects.exists())
        assert await asyncio.to_thread(WebhookDelivery.objects.filter(state="delivered").count) == 10
