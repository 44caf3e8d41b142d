"""Large answers that stay the same leave compressed, for whoever accepts it."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

from doran.server.wiring import House
from tests.stage import staged
from tests.wire import call

PAGES = ("/api/schema/", "/api/docs/", "/api/docs/style.css", "/asyncapi.json")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with staged(services=("core", "chat")) as one:
        yield one


@pytest.mark.parametrize("path", PAGES)
async def test_documents_leave_compressed_for_whoever_accepts_it(house: House, path: str) -> None:
    plain = await call(house.app, "GET", path)
    small = await call(house.app, "GET", path, headers={"Accept-Encoding": "gzip, deflate, br"})
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert gzip.decompress(small.body) == plain.body
    assert len(small.body) * 2 < len(plain.body)
    assert small.headers["content-type"] == plain.headers["content-type"]
    assert "accept-encoding" in plain.headers["vary"]

    head = await call(house.app, "HEAD", path, headers={"Accept-Encoding": "gzip"})
    assert (head.headers["content-length"], head.body) == (str(len(small.body)), b"")
    known = {"Accept-Encoding": "gzip", "If-None-Match": small.headers["etag"]}
    again = await call(house.app, "GET", path, headers=known)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["x-content-type-options"] == "nosniff"


async def test_what_differs_from_call_to_call_is_not_compressed(house: House) -> None:
    """Secrets beside words of somebody else's choice would leak by their length."""
    for path in ("/health/live", "/api/core/users/me/", "/.well-known/jwks.json"):
        assert (
            "content-encoding" not in (await call(house.app, "GET", path, headers={"Accept-Encoding": "gzip"})).headers
        )


async def test_another_origin_is_still_told_apart() -> None:
    asked = {"Origin": "https://shop.example", "Accept-Encoding": "gzip"}
    async with staged(services=("core", "chat"), allowed_origins=("https://shop.example",)) as house:
        answer = await call(house.app, "GET", "/api/schema/", headers=asked)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["vary"] == "accept-encoding, origin"
