"""Operators look after endpoints; nobody else does, and what is refused changes nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from doran.core.models import WebhookDelivery, WebhookEndpoint, WebhookEvent, WebhookLine, WebhookSecret
from doran.core.webhooks import endpoints, replays
from doran.kernel import clock, config
from tests.receiver import Receiver, Reply
from tests.webhooks.town import Operator, contents, couple, town, until, with_sora
from tests.wire import call, refuses

HOOK = "https://hooks.example.com/chat"
PATHS = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "{id}/"),
    ("PATCH", "{id}/"),
    ("DELETE", "{id}/"),
    ("POST", "{id}/rotate/"),
    ("GET", "{id}/deliveries/"),
    ("POST", "{id}/replay/"),
    ("POST", "{id}/test/"),
]


# -- who may ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_without_a_token_in_the_settings_the_calls_are_off(method: str, path: str) -> None:
    async with town() as (house, operator):
        config.use(config.current().replace(operator_token=""))
        for token in (operator.token, "", "x"):
            answer = await Operator(house.app, token).asks(method, path.format(id=clock.new_id()), {})
            refuses(answer, 404, "operator_api_off")


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_nobody_but_the_operator_is_let_in(method: str, path: str, receiver: Receiver) -> None:
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver)
        minji, _, _ = await couple(house)
        before = await operator.sees(endpoint)
        for token in ("", "wrong", operator.token + "x", operator.token[:-1], minji.token, "\xe9"):
            body = {"url": HOOK, "event_types": ["*"]} if not path else {}
            answer = await Operator(house.app, token).asks(method, path.format(id=endpoint.id), body)
            refuses(answer, 401, "not_authenticated")
        after = await operator.sees(endpoint)
        assert (after["url"], after["updated_at"], after["enabled"]) == (before["url"], before["updated_at"], True)
        assert await asyncio.to_thread(WebhookSecret.objects.count) == 1
        assert [
            one["event_type"] for one in await operator.deliveries(endpoint) if "webhook" in one["event_type"]
        ] == []


# -- registering --------------------------------------------------------------------------------------


async def test_an_endpoint_is_registered_listed_changed_and_removed() -> None:
    async with town() as (_, operator):
        wanted = {"url": HOOK, "event_types": ["message.read", "message.created"], "description": " 결제  "}
        made = (await operator.asks("POST", "", wanted)).json
        assert made["secret"].startswith("whsec_")
        endpoint = made["endpoint"]
        assert (endpoint["url"], endpoint["event_types"]) == (HOOK, ["message.created", "message.read"])
        assert (endpoint["description"], endpoint["ordering"], endpoint["enabled"]) == ("결제", "key", True)
        assert (endpoint["health"]["state"], endpoint["health"]["waiting"]) == ("unused", 0)
        listed = (await operator.asks("GET")).json
        assert listed == {"results": [endpoint]}
        assert made["secret"] not in json.dumps(listed)
        changed = await operator.asks("PATCH", f"{endpoint['id']}/", {"event_types": ["*"], "enabled": False})
        assert (changed.json["event_types"], changed.json["enabled"]) == (["*"], False)
        assert (changed.json["disabled_reason"], changed.json["url"]) == ("operator", HOOK)
        assert (await operator.asks("DELETE", f"{endpoint['id']}/")).status == 204
        assert (await operator.asks("GET")).json == {"results": []}
        refuses(await operator.asks("GET", f"{endpoint['id']}/"), 404, "not_found")


async def test_a_secret_is_sealed_where_it_is_kept() -> None:
    async with town() as (_, operator):
        secret = (await operator.asks("POST", "", {"url": HOOK, "event_types": ["*"]})).json["secret"]
        [row] = await asyncio.to_thread(lambda: list(WebhookSecret.objects.all()))
    assert secret.removeprefix("whsec_").encode() not in bytes(row.sealed)
    assert len(bytes(row.sealed)) == 12 + 32 + 16


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "http://hooks.example.com/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://user:secret@hooks.example.com/"}, "url"),
        ({"url": 5}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["message.smelled"]}, "event_types"),
        ({"event_types": ["webhook.test"]}, "event_types"),
        ({"event_types": ["*", "message.created"]}, "event_types"),
        ({"event_types": "*"}, "event_types"),
        ({"description": "a" * 201}, "description"),
        ({"description": "zero\u200bwidth"}, "description"),
        ({"ordering": "random"}, "ordering"),
        ({"enabled": "yes"}, "enabled"),
        ({"secret": "whsec_mine"}, "secret"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_registered(wrong: dict[str, object], field: str) -> None:
    async with town() as (_, operator):
        answer = await operator.asks("POST", "", {"url": HOOK, "event_types": ["*"], **wrong})
        refuses(answer, 422, "validation_failed", field)
        if field not in ("ordering", "secret"):
            made = (await operator.asks("POST", "", {"url": HOOK, "event_types": ["*"]})).json["endpoint"]
            refuses(await operator.asks("PATCH", f"{made['id']}/", wrong), 422, "validation_failed", field)
            assert (await operator.asks("GET")).json["results"] == [made]
        else:
            assert (await operator.asks("GET")).json["results"] == []


async def test_there_is_an_end_to_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST", 2)
    async with town() as (_, operator):
        for _ in range(2):
            assert (await operator.asks("POST", "", {"url": HOOK, "event_types": ["*"]})).status == 201
        refuses(await operator.asks("POST", "", {"url": HOOK, "event_types": ["*"]}), 409, "conflict")
        assert len((await operator.asks("GET")).json["results"]) == 2


@pytest.mark.parametrize("endpoint_id", ["x", "123e4567-e89b-42d3-a456-426614174000", str(clock.new_id())])
async def test_an_endpoint_that_is_not_there_is_said_so(endpoint_id: str) -> None:
    bodies = {"{id}/replay/": {"failed": True}}
    async with town() as (_, operator):
        for method, path in PATHS[2:]:
            answer = await operator.asks(method, path.format(id=endpoint_id), bodies.get(path))
            refuses(answer, 404, "not_found")


# -- switching ----------------------------------------------------------------------------------------


async def test_a_disabled_endpoint_is_owed_nothing_but_can_have_what_it_missed(receiver: Receiver) -> None:
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created", enabled=False)
        minji, _, conversation_id = await couple(house)
        for number in range(3):
            await minji.sends(conversation_id, f"안녕 {number}")
        await until(lambda: WebhookEvent.objects.count() == 3)
        assert await operator.deliveries(endpoint) == []
        since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        refuses(await operator.asks("POST", f"{endpoint.id}/replay/", {"since": since}), 409, "conflict")
        refuses(await operator.asks("POST", f"{endpoint.id}/test/"), 409, "conflict")
        await operator.asks("PATCH", f"{endpoint.id}/", {"enabled": True})
        answer = await operator.asks("POST", f"{endpoint.id}/replay/", {"since": since})
        assert (answer.status, answer.json["replayed"]) == (202, 3)
        assert contents(await endpoint.hears(3)) == ["안녕 0", "안녕 1", "안녕 2"]


async def test_what_waits_for_a_removed_endpoint_goes_with_it(receiver: Receiver, other: Receiver) -> None:
    receiver.answers = lambda _: Reply(500)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, waiting=1)
        assert (await operator.asks("DELETE", f"{endpoint.id}/")).status == 204
        for model in (WebhookEndpoint, WebhookSecret, WebhookEvent, WebhookLine, WebhookDelivery):
            assert await asyncio.to_thread(model.objects.count) == 0, model  # type: ignore[attr-defined]
        again = await operator.registers(other, "message.created")
        await minji.sends(conversation_id, "또 안녕")
        assert contents(await again.hears(1)) == ["또 안녕"]


# -- again --------------------------------------------------------------------------------------------


async def test_one_event_is_sent_again_under_its_own_id(receiver: Receiver) -> None:
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        for number in range(2):
            await minji.sends(conversation_id, f"안녕 {number}")
        first, _ = await endpoint.hears(2)
        await operator.eventually(endpoint, waiting=0)
        answer = await operator.asks("POST", f"{endpoint.id}/replay/", {"event_id": first["event_id"]})
        assert answer.json == {"replayed": 1, "next_since": None}
        assert (await endpoint.hears(3))[2] == first
        unknown = await operator.asks("POST", f"{endpoint.id}/replay/", {"event_id": str(clock.new_id())})
        refuses(unknown, 404, "not_found")
        refuses(await operator.asks("POST", f"{endpoint.id}/replay/", {"event_id": "x"}), 404, "not_found")


async def test_a_long_replay_says_where_to_go_on(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "_BATCH", 2)
    monkeypatch.setattr(replays, "MOST_AT_ONCE", 4)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created", ordering="endpoint")
        minji, _, conversation_id = await couple(house)
        for number in range(7):
            await minji.sends(conversation_id, f"안녕 {number}")
        events = await endpoint.hears(7)
        await operator.eventually(endpoint, waiting=0)
        since, counted = "2026-01-01T00:00:00Z", []
        while since:
            answer = (await operator.asks("POST", f"{endpoint.id}/replay/", {"since": since})).json
            counted.append(answer["replayed"])
            since = answer["next_since"]
            await operator.eventually(endpoint, waiting=0)
        assert counted == [4, 3]
        assert await endpoint.hears(14) == events + events


@pytest.mark.parametrize(
    "wanted",
    [{}, {"failed": False}, {"failed": True, "event_id": "x"}, {"failed": True, "since": "2026-01-01T00:00:00Z"}],
)
async def test_a_replay_is_of_one_kind(wanted: dict[str, object], receiver: Receiver) -> None:
    async with town() as (_, operator):
        endpoint = await operator.registers(receiver)
        refuses(await operator.asks("POST", f"{endpoint.id}/replay/", wanted), 422, "validation_failed", "since")
        for since in ("2026-01-01T00:00:00", "yesterday", 5):
            answer = await operator.asks("POST", f"{endpoint.id}/replay/", {"since": since})
            refuses(answer, 422, "validation_failed", "since")


async def test_a_test_is_sent_to_one_endpoint_alone(receiver: Receiver, other: Receiver) -> None:
    async with town() as (_, operator):
        tested = await operator.registers(receiver, "message.created")
        await operator.registers(other)
        event_id = (await operator.asks("POST", f"{tested.id}/test/")).json["event_id"]
        [event] = await tested.hears(1)
        assert (event["event_type"], event["event_id"]) == ("webhook.test", event_id)
        assert event["data"]["endpoint_id"] == tested.id
        await operator.eventually(tested, waiting=0)
        [delivery] = await operator.deliveries(tested, event_id=event_id)
        assert (delivery["state"], delivery["outcome"], delivery["attempts"]) == ("delivered", "204", 1)
        assert other.requests == []


# -- looking ------------------------------------------------------------------------------------------


async def test_deliveries_are_listed_in_pages_and_by_state(receiver: Receiver) -> None:
    receiver.answers = lambda request: Reply(500 if "독" in request.body.decode() else 204)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        another = await with_sora(house, minji)
        for number in range(5):
            await minji.sends(conversation_id, f"안녕 {number}")
        await endpoint.hears(5)
        await minji.sends(another, "독")
        await operator.eventually(endpoint, waiting=1, last_failure="500")
        seen, path = [], f"{endpoint.id}/deliveries/?page_size=2"
        while path:
            page = (await operator.asks("GET", path)).json
            seen += page["results"]
            path = (page["next"] or "").partition("/api/core/webhooks/")[2]
        assert [one["state"] for one in seen] == ["waiting"] + ["delivered"] * 5
        assert len({one["event_id"] for one in seen}) == 6
        [waiting] = await operator.deliveries(endpoint, state="waiting")
        assert (waiting["key"], waiting["attempts"], waiting["outcome"]) == (another, 1, "500")
        assert await operator.deliveries(endpoint, state="failed") == []
        assert await operator.deliveries(endpoint, event_id="x") == []
        answer = await operator.asks("GET", f"{endpoint.id}/deliveries/?state=lost")
        refuses(answer, 422, "validation_failed", "state")


async def test_nothing_said_is_in_logs_or_metrics(receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    receiver.answers = lambda _: Reply(410, b"\xeb\xb9\x84\xeb\xb0\x80 in the answer")
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "비밀")
        await operator.eventually(endpoint, state="disabled")
        measured = (await call(house.app, "GET", "/metrics")).body.decode()
        said = capfd.readouterr().err
    assert f"endpoint_id={endpoint.id}" in said
    assert 'doran_webhook_attempt_seconds_count{outcome="4xx"}' in measured
    assert 'doran_webhook_disabled_total{reason="gone"}' in measured
    assert "doran_webhook_waiting 0.0" in measured
    for secret in ("비밀", endpoint.secret, "/hook", minji.id):
        assert secret not in said + measured


async def test_readiness_tells_how_webhooks_are(receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(500)
    async with town() as (house, operator):
        endpoint = await operator.registers(receiver, "message.created")
        minji, _, conversation_id = await couple(house)
        await minji.sends(conversation_id, "안녕")
        await operator.eventually(endpoint, state="failing")
        found = (await call(house.app, "GET", "/health/ready")).json["dependencies"]["webhooks"]
        assert (found["ok"], found["needed"]) == (True, False)
