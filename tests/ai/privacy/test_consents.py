"""Consent: off by default, both people's word, effective at once, and nobody else's business."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doran.ai.models import Consent, Conversation, Embedding
from doran.ai.privacy import consents, places
from doran.contracts.errors import Problem
from doran.contracts.events import AiConsentChanged, Envelope
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, config
from doran.server.wiring import House
from tests.ai.neighbours import Chat, Place
from tests.ai.privacy.conftest import allows, in_one
from tests.cast import Person
from tests.stage import eventually
from tests.wire import refuses


async def asked(question: Any, *args: Any, **more: Any) -> Any:
    return await asyncio.to_thread(question, *args, **more)


async def may(place: Place, who: Person, scope: Any, *, outside: bool) -> bool:
    code = await asked(refused, place.id, who.id, scope=scope, outside=outside)
    assert code in ("", "consent_needed")
    return code == ""


def refused(*what: Any, **more: Any) -> str:
    try:
        consents.require(*what, **more)
    except Problem as problem:
        return problem.code
    return ""


async def test_nothing_is_allowed_until_somebody_says_so(minji: Person, junho: Person, talk: Place) -> None:
    seen = await minji.gets(f"/api/ai/consents/{talk.id}/")
    assert seen == {
        "conversation_id": talk.id, "mine": "off", "theirs": "off", "agreed": "off", "provider": "",
        "is_outside": False,
    }  # fmt: skip
    for outside in (True, False):
        assert not await may(talk, minji, "on_demand", outside=outside)


async def test_both_must_agree_and_the_lesser_counts(minji: Person, junho: Person, talk: Place) -> None:
    await allows(minji, talk.id, "history")
    assert not await may(talk, minji, "on_demand", outside=True)
    seen = await allows(junho, talk.id, "on_demand")
    assert (seen["mine"], seen["theirs"], seen["agreed"]) == ("on_demand", "history", "on_demand")
    assert await may(talk, minji, "on_demand", outside=True)
    assert await may(talk, junho, "on_demand", outside=True)
    assert not await may(talk, minji, "history", outside=True)


async def test_taking_it_back_counts_at_once(minji: Person, junho: Person, talk: Place) -> None:
    for one in (minji, junho):
        await allows(one, talk.id, "history")
    assert await may(talk, minji, "history", outside=True)
    seen = await allows(junho, talk.id, "off")
    assert seen["agreed"] == "off"
    assert not await may(talk, minji, "on_demand", outside=True)


@pytest.mark.parametrize("scope", ["off", "on_demand"])
async def test_what_was_kept_goes_when_not_both_allow_it_any_more(
    minji: Person, junho: Person, talk: Place, scope: str
) -> None:
    for one in (minji, junho):
        await allows(one, talk.id, "history")
    await asked(keep, talk.id)
    await allows(minji, talk.id, scope)
    assert await asked(Embedding.objects.count) == 0


def keep(conversation_id: str) -> None:
    Embedding.objects.create(
        id=clock.new_id(), message_id="m", message_version=1, model="x", conversation_id=conversation_id, seq=1,
        sender_id="s", vector=b"", grams=b"", created_at=clock.now(),
    )  # fmt: skip


@pytest.mark.parametrize("who", ["both", "asker"])
async def test_inside_the_deployment_the_operator_may_let_one_word_be_enough(
    minji: Person, junho: Person, talk: Place, who: str
) -> None:
    config.use(config.current().replace(ai_local_consent=who))
    await allows(minji, talk.id, "history")
    assert await may(talk, minji, "on_demand", outside=False) is (who == "asker")
    assert not await may(talk, junho, "on_demand", outside=False)
    assert not await may(talk, minji, "on_demand", outside=True)
    assert not await may(talk, minji, "history", outside=False)


async def test_what_is_written_to_the_assistant_may_be_read_by_it_here(chat: Chat, minji: Person) -> None:
    talk = chat.starts(minji.id, ASSISTANT_ID)
    assert await may(talk, minji, "on_demand", outside=False)
    assert not await may(talk, minji, "on_demand", outside=True)
    assert not await may(talk, minji, "history", outside=False)
    seen = await allows(minji, talk.id, "history")
    assert (seen["theirs"], seen["agreed"]) == ("history", "history")
    assert await may(talk, minji, "history", outside=True)


async def test_the_outsider_finds_nothing_and_changes_nothing(
    minji: Person, junho: Person, sora: Person, talk: Place
) -> None:
    for _ in range(2):  # before and after ai knows of the conversation
        for method, body in (("GET", None), ("PUT", {"scope": "history"})):
            theirs = refuses(await sora.asks(method, f"/api/ai/consents/{talk.id}/", body), 404, "not_found")
            absent = refuses(await sora.asks(method, f"/api/ai/consents/{clock.new_id()}/", body), 404, "not_found")
            assert theirs | {"trace_id": ""} == absent | {"trace_id": ""}
        await minji.gets(f"/api/ai/consents/{talk.id}/")
    assert await asked(Consent.objects.count) == 0
    with pytest.raises(Problem, match="not_found"):
        await asked(consents.require, talk.id, sora.id, scope="on_demand", outside=True)


@pytest.mark.parametrize(
    ("body", "field"), [({}, "scope"), ({"scope": "everything"}, "scope"), ({"scope": "off", "for": "junho"}, "for")]
)
async def test_a_wrong_wish_changes_nothing(minji: Person, talk: Place, body: dict[str, Any], field: str) -> None:
    refuses(await minji.asks("PUT", f"/api/ai/consents/{talk.id}/", body), 422, "validation_failed", field)
    assert await asked(Consent.objects.count) == 0


async def test_without_chat_only_a_known_conversation_can_be_decided(
    chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    chat.is_away = True
    refuses(await minji.asks("PUT", f"/api/ai/consents/{talk.id}/", {"scope": "history"}), 503, "unavailable")
    assert await asked(Consent.objects.count) == 0
    await asked(places.learn, talk.id, minji.id, junho.id)
    assert (await allows(minji, talk.id, "history"))["mine"] == "history"


async def test_every_change_is_said_and_a_repetition_is_none(house: House, minji: Person, talk: Place) -> None:
    told: list[Envelope] = []
    house.bus.subscribe("audience", [AiConsentChanged.NAME], told.append)
    for scope in ("history", "history", "off"):
        await allows(minji, talk.id, scope)
    await eventually(lambda: len(told) >= 2)
    assert [(one.event().user_id, one.event().scope) for one in told] == [(minji.id, "history"), (minji.id, "off")]


async def test_both_peoples_screens_are_told_what_each_of_them_allows(
    chat: Chat, minji: Person, junho: Person, talk: Place
) -> None:
    await allows(minji, talk.id, "history")
    await eventually(lambda: len(chat.told) == 2)
    shown = {one["user_ids"][0]: one["frame"] for one in chat.told}
    assert (shown[minji.id]["type"], shown[minji.id]["consent"]["mine"]) == ("ai.consent", "history")
    assert (shown[junho.id]["consent"]["mine"], shown[junho.id]["consent"]["theirs"]) == ("off", "history")


async def test_remembered_are_only_conversations_in_which_both_allow_it(
    chat: Chat, minji: Person, junho: Person, sora: Person, talk: Place
) -> None:
    other, assistant = chat.starts(minji.id, sora.id), chat.starts(ASSISTANT_ID, minji.id)
    for who, place in ((minji, talk), (junho, talk), (minji, other), (minji, assistant)):
        await allows(who, place.id, "history")
    await allows(sora, other.id, "on_demand")

    def found(person: Person) -> set[str]:
        return {place.id for place in consents.remembered(person.id)}

    assert await asked(found, minji) == {talk.id, assistant.id}
    assert await asked(found, junho) == {talk.id}
    assert await asked(found, sora) == set()


async def test_who_withdraws_from_everything_is_remembered_nowhere(minji: Person, junho: Person, talk: Place) -> None:
    for one in (minji, junho):
        await allows(one, talk.id, "history")
    await asked(keep, talk.id)
    await asked(in_one, consents.withdraw_all, minji.id)
    assert await asked(consents.agreed, talk.id) == "off"
    assert await asked(Embedding.objects.count) == 0
    assert await asked(Conversation.objects.count) == 1
