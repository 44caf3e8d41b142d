"""What the server answers by itself, before any service is asked: health, metrics, wrong hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from doran.kernel import telemetry
from doran.server.wiring import House
from tests.stage import staged
from tests.wire import call, refuses


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with staged(services=("core",)) as one:
        yield one


async def test_readiness_names_the_database_and_says_when_to_ask_again(house: House) -> None:
    def gone() -> None:
        raise ConnectionRefusedError

    fine = await call(house.app, "GET", "/health/ready")
    assert (fine.status, fine.json["dependencies"]) == (
        200,
        {
            "core database": {"ok": True, "needed": True, "detail": ""},
            "core outbox": {"ok": True, "needed": False, "detail": ""},
            "bus": {"ok": True, "needed": False, "detail": "in memory"},
            "webhooks": {"ok": True, "needed": False, "detail": "no event waits"},
        },
    )
    telemetry.health.register("core database", gone)
    failing = await call(house.app, "GET", "/health/ready")
    assert (failing.status, failing.json["status"]) == (503, "failing")
    assert int(failing.headers["retry-after"]) >= 1
    await house.drain()
    draining = await call(house.app, "GET", "/health/ready")
    assert (draining.status, draining.json["status"]) == (503, "draining")
    assert int(draining.headers["retry-after"]) >= 1


async def test_metrics_look_absent_to_others(house: House) -> None:
    assert (await call(house.app, "GET", "/metrics")).status == 200
    absent = refuses(await call(house.app, "GET", "/nowhere"), 404, "not_found")
    for answer in (
        await call(house.app, "GET", "/metrics", client="203.0.113.7"),
        await call(house.app, "GET", "/metrics", headers={"X-Forwarded-For": "203.0.113.7"}),
    ):
        assert refuses(answer, 404, "not_found") | {"trace_id": ""} == absent | {"trace_id": ""}


async def test_another_name_for_this_house_is_a_problem_of_the_table(house: House) -> None:
    problem = refuses(await call(house.app, "GET", "/health/live", host="evil.example.com"), 400, "bad_request")
    assert "DORAN_ALLOWED_HOSTS" in problem["detail"]


async def test_the_name_by_which_the_other_services_know_this_house_is_ours() -> None:
    async with staged(services=("core",), core_url="http://core:8000", public_url="https://chat.example.com") as house:
        for host in ("core:8000", "chat.example.com", "10.0.0.7:8000"):
            assert (await call(house.app, "GET", "/health/live", host=host)).status == 200
        refuses(await call(house.app, "GET", "/health/live", host="chat:8000"), 400, "bad_request")
