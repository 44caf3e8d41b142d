"""Two people and no more: who may start a conversation with whom, and that there is one for each pair."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doran.chat.conversations import pair_key
from doran.contracts import events
from doran.kernel import clock
from doran.kernel.jwks import JwksUrl
from tests.cast import Mint, Person
from tests.chat.conftest import Play
from tests.wire import Answer, refuses

CONVERSATIONS = "/api/chat/conversations/"


async def start(person: Person, **body: Any) -> Answer:
    return await person.asks("POST", CONVERSATIONS, body)


async def test_the_first_to_ask_makes_it_and_the_second_finds_it(play: Play, minji: Person, junho: Person) -> None:
    made = await start(minji, participant_id=junho.id)
    assert made.status == 201
    assert made.json | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "", "participant1_id": minji.id, "participant2_id": junho.id, "created_at": "", "updated_at": "",
        "is_active": True, "last_seq": 0, "change_seq": 0, "unread_count": 0, "last_message": None, "messages": [],
        "me": {
            "last_delivered_seq": 0, "last_read_seq": 0, "muted_until": None, "archived": False, "pinned_at": None,
            "hidden_before_seq": 0, "marked_unread": False, "draft": "",
        },
        "peer": {"user_id": junho.id, "last_delivered_seq": 0, "last_read_seq": 0},
        "lost": [],
    }  # fmt: skip

    found = await start(junho, participant_id=minji.id)
    assert (found.status, found.json["id"]) == (200, made.json["id"])
    assert found.json["participant1_id"] == minji.id
    assert found.json["peer"]["user_id"] == minji.id
    assert len(play.rows("conversation")) == 1


async def test_both_may_be_named_in_any_order(minji: Person, junho: Person) -> None:
    first = await start(minji, participant1_id=junho.id, participant2_id=minji.id)
    second = await start(minji, participant1_id=minji.id, participant2_id=junho.id)
    third = await start(minji, participant2_id=junho.id)
    assert [first.status, second.status, third.status] == [201, 200, 200]
    assert first.json["id"] == second.json["id"] == third.json["id"]


async def test_nobody_starts_a_conversation_for_two_others(
    play: Play, minji: Person, junho: Person, sora: Person
) -> None:
    before = play.stored()
    refuses(await start(sora, participant1_id=minji.id, participant2_id=junho.id), 403, "sender_mismatch")
    assert play.stored() == before


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["participant_id"]),
        ({"participant_id": None}, ["participant_id"]),
        ({"participant_id": "x", "participant1_id": "y"}, ["participant_id"]),
        ({"participant_id": 7}, ["participant_id"]),
        ({"participant_id": ["x"]}, ["participant_id"]),
        ({"participant_id": "x", "is_active": False}, ["is_active"]),
    ],
)
async def test_a_wrong_body_is_named_and_changes_nothing(
    play: Play, minji: Person, body: dict[str, Any], fields: list[str]
) -> None:
    before = play.stored()
    refuses(await start(minji, **body), 422, "validation_failed", *fields)
    assert play.stored() == before


async def test_nobody_talks_to_themselves(play: Play, minji: Person) -> None:
    before = play.stored()
    refuses(await start(minji, participant_id=minji.id), 422, "validation_failed", "participant_id")
    refuses(
        await start(minji, participant1_id=minji.id, participant2_id=minji.id),
        422, "validation_failed", "participant_id",
    )  # fmt: skip
    assert play.stored() == before


@pytest.mark.parametrize(
    "nobody",
    ["", " ", "nobody", "a|b", "../users", "é", "x" * 256, "a\nb", "a\0b", "\uffff",
     "00000000-0000-7000-8000-000000000000",
     "00000000-0000-7000-8000-00000000000G"],
)  # fmt: skip
async def test_a_person_who_does_not_exist_cannot_be_reached(play: Play, minji: Person, nobody: str) -> None:
    before = play.stored()
    refuses(await start(minji, participant_id=nobody), 404, "recipient_unavailable")
    assert play.stored() == before


async def test_a_person_core_knows_but_has_not_told_of_yet_can_be_reached(play: Play, minji: Person) -> None:
    newcomer = play.stranger(str(clock.new_id()))
    refuses(await start(minji, participant_id=newcomer.id), 404, "recipient_unavailable")
    play.known_to_core.add(newcomer.id)
    assert (await start(minji, participant_id=newcomer.id)).status == 201
    await play.happens(events.UserCreated(newcomer.id, "n", "새 사람", clock.rfc3339(clock.now())))
    (row,) = play.rows("person", f"user_id = '{newcomer.id}'")
    assert row["display_name"] == "새 사람"


async def test_who_is_gone_looks_like_who_never_was(play: Play, minji: Person) -> None:
    unknown = refuses(await start(minji, participant_id=str(clock.new_id())), 404, "recipient_unavailable")
    now = clock.rfc3339(clock.now())
    for name, gone in (("erased", events.UserErased), ("off", events.UserDeactivated)):
        person = await play.person(name)
        await play.happens(gone(person.id, now) if gone is events.UserErased else gone(person.id, False, now))
        refused = refuses(await start(minji, participant_id=person.id), 404, "recipient_unavailable")
        assert {**refused, "trace_id": ""} == {**unknown, "trace_id": ""}
    assert play.rows("conversation") == []


@pytest.mark.parametrize("they_talked_before", [False, True])
@pytest.mark.parametrize("it_is_me_who_blocks", [False, True])
async def test_no_conversation_is_started_across_a_block(
    play: Play, minji: Person, junho: Person, it_is_me_who_blocks: bool, they_talked_before: bool
) -> None:
    if they_talked_before:
        await minji.starts(junho)
    await (play.blocks(minji, junho) if it_is_me_who_blocks else play.blocks(junho, minji))
    before = play.stored()
    refuses(await start(minji, participant_id=junho.id), 404, "recipient_unavailable")
    assert play.stored() == before


async def test_a_person_who_came_back_can_be_reached_again(play: Play, minji: Person, junho: Person) -> None:
    now = clock.rfc3339(clock.now())
    await play.happens(events.UserDeactivated(junho.id, False, now))
    refuses(await start(minji, participant_id=junho.id), 404, "recipient_unavailable")
    await play.happens(events.UserDeactivated(junho.id, True, now))
    assert (await start(minji, participant_id=junho.id)).status == 201


@pytest.mark.settings(queue=1000)
async def test_two_hundred_who_create_one_pair_at_once_make_one_row(play: Play, minji: Person, junho: Person) -> None:
    both = ((minji, junho), (junho, minji))
    answers = await asyncio.gather(*(start(me, participant_id=other.id) for _ in range(100) for me, other in both))
    assert sorted(answer.status for answer in answers) == [200] * 199 + [201]
    assert len({answer.json["id"] for answer in answers}) == 1
    assert (len(play.rows("conversation")), len(play.rows("member"))) == (1, 2)


async def test_only_the_screens_for_everything_hear_of_a_new_conversation(
    play: Play, minji: Person, junho: Person, sora: Person
) -> None:
    hers, his, outsiders = await minji.opens(), await junho.opens(), await sora.opens()
    talk = await minji.starts(junho)
    shown = (await his.hears("conversation_created"))["conversation"]
    assert (shown["id"], shown["peer"]["user_id"]) == (talk, minji.id)
    assert (await hers.hears("conversation_created"))["conversation"]["peer"]["user_id"] == junho.id
    assert await outsiders.hears_nothing_before_pong() == []
    await minji.starts(junho)
    assert await his.hears_nothing_before_pong() == []


# -- ids ---------------------------------------------------------------------------------------------


def test_pairs_are_told_apart_byte_by_byte() -> None:
    pairs = [("a_b", "c"), ("a", "b_c"), ("ab", "c"), ("a", "bc"), ("Alice", "b"), ("alice", "b"), ("a", "11:b"),
             ("a1", "1:b"), ("\u00e9", "b"), ("e\u0301", "b")]  # fmt: skip
    assert len({pair_key(*pair) for pair in pairs}) == len(pairs)
    assert pair_key("a", "b") == pair_key("b", "a")


FOREIGN = {
    "foreign_issuer": "https://id.example.com",
    "foreign_jwks_url": "https://id.example.com/keys",
    "foreign_audience": "doran",
}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Mint:
    """Another identity provider, whose published keys are at hand."""
    mint = Mint(issuer=FOREIGN["foreign_issuer"])
    monkeypatch.setattr(JwksUrl, "__call__", lambda _url: mint.published())
    return mint


class Foreigners:
    """People of the other provider, by the ids it gave them."""

    def __init__(self, play: Play, mint: Mint) -> None:
        self.play, self.mint = play, mint

    def __call__(self, user_id: str) -> Person:
        return Person(self.play.app, user_id, user_id, self.mint.token(user_id))


@pytest.fixture
async def foreigner(elsewhere: Mint, play: Play) -> Foreigners:
    return Foreigners(play, elsewhere)


@pytest.mark.settings(**FOREIGN, foreign_people=True)
async def test_foreign_ids_are_taken_byte_by_byte(play: Play, foreigner: Foreigners) -> None:
    talks = {
        await foreigner(one).starts(foreigner(other))
        for one, other in [("a_b", "c"), ("a", "b_c"), ("Alice", "bob"), ("alice", "bob"), ("alice", "Bob"),
                           ("auth0|1", "auth0|2"), ("x@example.com", "a:b")]
    }  # fmt: skip
    assert len(talks) == len(play.rows("conversation")) == 7
    seen = await foreigner("Alice").gets("/api/chat/users/me/conversations/")
    assert [one["participant1_id"] for one in seen["results"]] == ["Alice"]


@pytest.mark.settings(**FOREIGN, foreign_people=True)
async def test_a_foreign_id_cannot_pass_for_one_of_ours(play: Play, foreigner: Foreigners) -> None:
    """A person core might make tomorrow must not exist in chat today because a stranger said so."""
    ours = str(clock.new_id())
    for form in (ours, ours.upper(), ours.replace("-", ""), f"urn:uuid:{ours}"):
        refuses(await start(foreigner("alice"), participant_id=form), 404, "recipient_unavailable")
    assert play.rows("conversation") == []


@pytest.mark.settings(**FOREIGN)
async def test_foreign_people_must_be_allowed(play: Play, foreigner: Foreigners) -> None:
    refuses(await start(foreigner("alice"), participant_id="bob"), 404, "recipient_unavailable")
    assert play.rows("conversation") == []


@pytest.mark.settings(**FOREIGN, foreign_people=True)
async def test_our_people_cannot_summon_foreigners_by_guessing(play: Play, foreigner: Foreigners) -> None:
    minji = await play.person("민지")
    refuses(await start(minji, participant_id="bob"), 404, "recipient_unavailable")
    await foreigner("bob").starts(foreigner("alice"))
    assert (await start(minji, participant_id="bob")).status == 201
