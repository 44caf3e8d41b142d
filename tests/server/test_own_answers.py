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


FORWARDED = (
    ("Forwarded", "for=203.0.113.7"), ("Via", "1.1 proxy"), ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", ""),
    ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "chat.example.test"), ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Server", "proxy"), ("X-Forwarded-Prefix", "/chat"), ("X-Forwarded", "203.0.113.7"),
    ("X-Original-Forwarded-For", "203.0.113.7"), ("X-Original-Host", "chat.example.test"), ("X-Real-IP", "203.0.113.7"),
    ("X-Client-IP", "203.0.113.7"), ("X-Cluster-Client-IP", "203.0.113.7"), ("Client-IP", "203.0.113.7"),
    ("True-Client-IP", "203.0.113.7"), ("CF-Connecting-IP", "203.0.113.7"), ("CF-Ray", "1-ICN"), ("CDN-Loop", "cdn"),
    ("Fastly-Client-IP", "203.0.113.7"), ("Fly-Client-IP", "203.0.113.7"), ("X-Azure-ClientIP", "203.0.113.7"),
    ("X-Envoy-External-Address", "203.0.113.7"), ("X-Amzn-Trace-Id", "Root=1"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "value"), FORWARDED)
async def test_metrics_look_absent_to_whatever_a_proxy_forwards(house: House, name: str, value: str) -> None:
    assert (await call(house.app, "GET", "/metrics", headers={"Traceparent": "00-1-1-00"})).status == 200
    refuses(await call(house.app, "GET", "/metrics", headers={name: value}), 404, "not_found")


async def test_the_page_asks_the_browser_for_nothing(house: House) -> None:
    permissions = (await call(house.app, "GET", "/")).headers["permissions-policy"]
    assert {"camera=()", "microphone=()", "geolocation=()"} <= set(permissions.split(", "))


async def test_the_page_loads_nothing_from_a_strangers_address(house: House) -> None:
    policy = (await call(house.app, "GET", "/")).headers["content-security-policy"]
    assert {"default-src 'none'", "img-src 'self' data:", "connect-src 'self'"} <= set(policy.split("; "))
    assert "http" not in policy


async def test_no_page_of_another_origin_embeds_what_is_private() -> None:
    private = ("/api/core/users/me/", "/health/live", "/metrics", "/nowhere")
    public = ("/asyncapi.json", "/.well-known/jwks.json", "/api/docs/")
    async with staged(services=("core",), allowed_origins=("https://shop.example",)) as house:
        for path in private:
            assert await embedding(house, path) == "same-origin"
            assert await embedding(house, path, "https://evil.example") == "same-origin"
            assert await embedding(house, path, "https://shop.example") == "cross-origin"
        for path in public:
            assert await embedding(house, path) is None


async def embedding(house: House, path: str, origin: str = "") -> str | None:
    answer = await call(house.app, "GET", path, headers={"Origin": origin} if origin else {})
    return answer.headers.get("cross-origin-resource-policy")


async def test_another_name_for_this_house_is_a_problem_of_the_table(house: House) -> None:
    problem = refuses(await call(house.app, "GET", "/asyncapi.json", host="evil.example.com"), 400, "bad_request")
    assert "DORAN_ALLOWED_HOSTS" in problem["detail"]


async def test_the_name_by_which_the_other_services_know_this_house_is_ours() -> None:
    async with staged(services=("core",), core_url="http://core:8000", public_url="https://chat.example.com") as house:
        for host in ("core:8000", "chat.example.com", "10.0.0.7:8000"):
            assert (await call(house.app, "GET", "/asyncapi.json", host=host)).status == 200
        refuses(await call(house.app, "GET", "/asyncapi.json", host="chat:8000"), 400, "bad_request")


@pytest.mark.parametrize(
    "host", ["core-1", "talk-core.prod.svc.cluster.local:8000", "Core:8000", "", "evil.example.com"]
)
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health/ready/", "/metrics", "/metrics/"])
async def test_probes_and_scrapers_use_any_name(host: str, path: str) -> None:
    """Compose, Kubernetes, HAProxy and Prometheus name a process as their network does."""
    async with staged(services=("core",), metrics_token="a token of the operator") as house:
        token = {"Authorization": "Bearer a token of the operator"}
        for method in ("GET", "HEAD"):
            answer = await call(house.app, method, path, host=host, headers=token)
            assert answer.status == 200
        refuses(await call(house.app, "POST", path, host=host or "x", headers=token), 400, "bad_request")


async def test_metrics_without_a_token_are_not_for_pages_that_lead_their_name_here(house: House) -> None:
    refuses(await call(house.app, "GET", "/metrics", host="evil.example.com"), 404, "not_found")


# -- pages of other origins ------------------------------------------------------------------------------

SHOP = "https://shop.example.com"


@pytest.mark.parametrize(
    "wanted",
    [
        "authorization,content-type,idempotency-key",
        "authorization,doran-reason",
        "authorization,cache-control,last-event-id",
        "authorization,if-none-match,if-match",
        "baggage,traceparent,tracestate",
    ],
)
@pytest.mark.parametrize("path", ["/api/chat/conversations/", "/api/core/users/me/", "/api/ai/jobs/", "/health/ready"])
async def test_what_pages_of_an_allowed_origin_send_passes_their_browser(wanted: str, path: str) -> None:
    async with staged(services=("core",), allowed_origins=(SHOP,)) as house:
        asked = {"Origin": SHOP, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": wanted}
        answer = await call(house.app, "OPTIONS", path, headers=asked)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, SHOP)
        allowed = set(answer.headers["access-control-allow-headers"].split(", "))
        assert set(wanted.split(",")) <= allowed
        assert {"PUT", "PATCH", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
        stranger = await call(house.app, "OPTIONS", path, headers={**asked, "Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in stranger.headers


async def test_what_a_page_must_read_of_an_answer_is_shown_to_it_and_caches_keep_origins_apart() -> None:
    async with staged(services=("core",), allowed_origins=(SHOP,)) as house:
        refused = await call(house.app, "GET", "/api/core/users/me/", headers={"Origin": SHOP})
        shown = set(refused.headers["access-control-expose-headers"].split(", "))
        assert (refused.status, {"www-authenticate", "retry-after", "etag", "location"} <= shown) == (401, True)
        for headers in ({"Origin": SHOP}, {}):
            assert "origin" in (await call(house.app, "GET", "/health/live", headers=headers)).headers["vary"]
