"""The demo's door: one press logs in, but only on this machine, and only while it is a demo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from doran.server import page
from doran.server.demo import Door
from doran.server.wiring import House
from tests.stage import staged
from tests.wire import Answer, call, refuses

ASKED = {"username": "minji"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with staged(services=("core", "chat")) as one:
        one.app.open_demo(Door(one.config))
        yield one


async def asks(house: House, body: Any = ASKED, **how: Any) -> Answer:
    return await call(house.app, "POST", "/demo/", body, **how)


async def test_the_page_is_told_how_to_log_in(house: House) -> None:
    told = await asks(house)
    assert told.status == 200
    assert told.json["username"] == "minji"
    assert told.headers["cache-control"] == "no-store"
    signed_up = await call(house.app, "POST", "/api/core/users/", told.json)
    assert signed_up.status == 201, "the password is one that the demo's person has"
    assert (await asks(house, {"username": "junho"})).json["password"] != told.json["password"]


async def test_nobody_else_is_told(house: House) -> None:
    for how in (
        {"client": "203.0.113.5"},
        {"headers": {"X-Forwarded-For": "203.0.113.5"}},
        {"headers": {"Via": "1.1 proxy"}},
        {"headers": {"Origin": "https://elsewhere.example"}},
        {"headers": {"Origin": "http://localhost:1"}},
        {"headers": {"Origin": "null"}},
        {"headers": {"content-type": "text/plain"}},
        {"host": "192.0.2.7"},
    ):
        refuses(await asks(house, **how), 404, "not_found")
    for body in ({"username": "sora"}, {}, [], "minji", {"username": ["minji"]}, {"username": "m" * 5_000}):
        refuses(await asks(house, body), 404, "not_found")
    refuses(await call(house.app, "POST", "/demo/", raw=b"\xff"), 404, "not_found")
    refuses(await call(house.app, "GET", "/demo/"), 404, "not_found")


async def test_the_page_names_its_people_and_no_password(house: House) -> None:
    if page.page_root() is None:
        pytest.skip("the page is not built here")
    text = (await call(house.app, "GET", "/")).body.decode()
    assert "doran-demo" in text
    assert "minji" in text
    assert (await asks(house)).json["password"] not in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "chat.example.com"])
async def test_a_demo_that_others_can_reach_has_no_door(host: str) -> None:
    async with staged(services=("core",), host=host) as house:
        house.app.open_demo(Door(house.config))
        refuses(await asks(house), 404, "not_found")
        assert b"doran-demo" not in (await call(house.app, "GET", "/")).body


async def test_without_a_demo_there_is_no_door() -> None:
    async with staged(services=("core",)) as house:
        refuses(await asks(house), 404, "not_found")
        assert b"doran-demo" not in (await call(house.app, "GET", "/")).body
