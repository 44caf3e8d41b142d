"""People of another identity provider and the assistant: core introduces it and vouches for ai, whoever they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from doran.contracts.people import ASSISTANT_ID
from doran.kernel.jwks import JwksUrl
from tests.cast import Mint, Person
from tests.journeys.town import town
from tests.servers.model import ModelServer, scripted_model
from tests.stage import staged
from tests.wire import refuses

FOREIGN: dict[str, Any] = {
    "foreign_issuer": "https://id.example.com",
    "foreign_jwks_url": "https://id.example.com/keys",
    "foreign_audience": "doran",
    "foreign_people": True,
}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Mint:
    """The other identity provider, whose published keys are at hand."""
    mint = Mint(issuer=FOREIGN["foreign_issuer"])
    monkeypatch.setattr(JwksUrl, "__call__", lambda _url: mint.published())
    return mint


async def test_whom_core_does_not_know_is_answered_all_the_same(model: ModelServer, provider: Mint) -> None:
    async with town(ai_providers=model.toml(), **FOREIGN) as house:
        minji, sora = (Person(house.app, one, one, provider.token(one)) for one in ("shop|minji", "shop|sora"))
        answer = await minji.asks("POST", "/api/chat/conversations/", {"participant_id": ASSISTANT_ID})
        assert answer.status == 201, answer.body
        talk, screen = answer.json["id"], await minji.opens()
        await minji.sends(talk, "비 와?")
        async with asyncio.timeout(15):
            while (said := await screen.hears("chat_message", seconds=15))["message"]["sender_id"] != ASSISTANT_ID:
                pass
        assert said["message"]["content"] == "네."
        (job,) = (await minji.gets("/api/ai/jobs/"))["results"]
        assert (job["kind"], job["state"]) == ("reply", "succeeded")
        refuses(await sora.asks("GET", f"/api/ai/jobs/{job['id']}/"), 404, "not_found")
        assert (await sora.gets("/api/ai/jobs/"))["results"] == []


async def test_without_a_core_nothing_is_offered_that_reads_conversations(model: ModelServer, provider: Mint) -> None:
    toml = model.toml(embedding_model="toy")
    async with staged(services=("chat", "ai"), ai_providers=toml, **FOREIGN) as house:
        minji = Person(house.app, "민지", "shop|minji", provider.token("shop|minji"))
        shown = await minji.gets("/api/ai/")
        assert (sorted(shown["kinds"]), shown["assistant"]) == (["moderate", "rewrite", "translate"], None)
        talk = await minji.starts(Person(house.app, "준호", "shop|junho", ""))
        for body in ({"kind": "summarize", "conversation_id": talk}, {"kind": "ask", "input": "언제였지?"}):
            refuses(await minji.asks("POST", "/api/ai/jobs/", body), 503, "no_provider")
        refuses(
            await minji.asks("POST", "/api/chat/conversations/", {"participant_id": ASSISTANT_ID}),
            404,
            "recipient_unavailable",
        )
        assert (await minji.gets("/api/ai/jobs/"))["results"] == []
        assert model.asked == []
