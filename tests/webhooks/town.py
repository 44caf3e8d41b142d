"""A town with an operator, whose integrator hears everything by webhook."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections
from standardwebhooks import Webhook

from doran.server.wiring import House
from tests.cast import Person
from tests.journeys import town as journeys
from tests.receiver import Receiver, Request
from tests.wire import Answer, call


@dataclass
class Endpoint:
    """An endpoint as its integrator knows it."""

    id: str
    secret: str
    receiver: Receiver

    async def hears(self, count: int) -> list[dict[str, Any]]:
        """So many events, each with a signature that an independent judge believes."""
        requests = await asyncio.to_thread(self.receiver.waits_for, count)
        return [verified(request, self.secret) for request in requests]


@dataclass
class Operator:
    """Looks after webhooks by REST."""

    app: Any
    token: str = journeys.OPERATOR_TOKEN

    async def asks(self, method: str, path: str = "", body: Any = None, **headers: str) -> Answer:
        named = {"Authorization": f"Bearer {self.token}", **headers} if self.token else headers
        return await call(self.app, method, f"/api/core/webhooks/{path}", body, headers=named)

    async def registers(self, receiver: Receiver, *event_types: str, **more: Any) -> Endpoint:
        answer = await self.asks(
            "POST", "", {"url": f"{receiver.url}/hook", "event_types": event_types or ["*"], **more}
        )
        assert answer.status == 201, answer.body
        return Endpoint(answer.json["endpoint"]["id"], answer.json["secret"], receiver)

    async def sees(self, endpoint: Endpoint) -> Any:
        answer = await self.asks("GET", f"{endpoint.id}/")
        assert answer.status == 200, answer.body
        return answer.json

    async def health(self, endpoint: Endpoint) -> Any:
        return (await self.sees(endpoint))["health"]

    async def deliveries(self, endpoint: Endpoint, **query: Any) -> list[Any]:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        answer = await self.asks("GET", f"{endpoint.id}/deliveries/?{asked}")
        assert answer.status == 200, answer.body
        found: list[Any] = answer.json["results"]
        return found

    async def eventually(self, endpoint: Endpoint, **wanted: Any) -> Any:
        """The endpoint's health, as soon as it has these values."""
        until = time.monotonic() + 30
        while {name: (health := await self.health(endpoint))[name] for name in wanted} != wanted:
            assert time.monotonic() < until, health
            await asyncio.sleep(0.01)
        return health


@asynccontextmanager
async def town(**changes: Any) -> AsyncIterator[tuple[House, Operator]]:
    """All services; this machine may be called, because that is where the receivers are. Nobody comes but the cast."""
    quiet = {"ai_assistant": "", **changes}
    async with journeys.town(operator_token=journeys.OPERATOR_TOKEN, outward_loopback=True, **quiet) as house:
        yield house, Operator(house.app)


async def couple(house: House) -> tuple[Person, Person, str]:
    """민지, 준호 and their conversation."""
    minji, junho = [await journeys.newcomer(house.app, name) for name in ("minji", "junho")]
    return minji, junho, await minji.starts(junho)


async def with_sora(house: House, person: Person) -> str:
    """Another conversation of this person."""
    return await person.starts(await journeys.newcomer(house.app, "sora"))


async def later_again(house: House, person: Person) -> Person:
    """The same person with a token of the new day."""
    named = {"username": person.name, "password": journeys.PASSWORD}
    pair = (await call(house.app, "POST", "/api/core/tokens/", named)).json
    return Person(house.app, person.name, pair["user_id"], pair["access_token"])


async def until(true: Callable[[], Any]) -> None:
    """Ask in a thread, because it may ask the database, until it is so."""
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(_asked, true):  # noqa: ASYNC110  a database has no event to wait for
            await asyncio.sleep(0.01)


def _asked(question: Callable[[], Any]) -> Any:
    try:
        return question()
    finally:
        connections["core"].close()


def believes(request: Request, secret: str) -> bool:
    """Whether this secret signed the request, whenever that was: in these stories the clock may be moved."""
    moment = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), UTC)
    signature = Webhook(secret).sign(request.headers["webhook-id"], moment, request.body.decode())
    return signature in request.headers["webhook-signature"].split()


def verified(request: Request, *secrets: str) -> dict[str, Any]:
    """The event, if each of these secrets signed it."""
    for secret in secrets:
        Webhook(secret).verify(request.body, request.headers)
    event: dict[str, Any] = json.loads(request.body)
    assert request.headers["webhook-id"] == event["event_id"]
    return event


def contents(events: Sequence[dict[str, Any]]) -> list[str]:
    """What was said in these events, in their order."""
    return [event["data"]["content"] for event in events]
