"""An older copy of the store is put back: nothing of the lost timeline is issued again, and all devices agree."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doran.chat import sync
from doran.kernel.config import Config
from doran.server import restoring
from doran.server.exits import Refused
from tests import stores
from tests.cast import Person
from tests.chat.conftest import Deployment, Play
from tests.chat.device import Device, all_pages, fresh
from tests.stage import eventually, ground
from tests.wire import refuses

pytestmark = pytest.mark.judged

RESERVE = 7


class Town(Deployment):
    """Lives through several timelines, with the people who use it."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.data = Path(config.data)
        self.people: dict[str, Person] = {}
        self.play: Play
        self.kept: dict[str, stores.Copy] = {}

    @asynccontextmanager
    async def day(self, **more: Any) -> AsyncIterator[Play]:
        """People keep their ids and devices."""
        async with super().day(**more) as self.play:
            for name in ("minji", "junho", "sora"):
                if name not in self.people:
                    self.people[name] = await self.play.person(name)
                self.people[name].app = self.play.app
            yield self.play

    def copies(self, name: str) -> None:
        """What an operator keeps: the database as it is now."""
        self.kept[name] = stores.copied(self.config.chat_database)

    async def puts_back(self, name: str, *, reserve: int = RESERVE) -> str:
        """`doran restored` after an older copy was put in the place of the database."""
        stores.put_back(self.config.chat_database, self.kept[name])
        return await asyncio.to_thread(restoring.begun, self.data, reserve=reserve)


@pytest.fixture
def town(deployment: Deployment) -> Town:
    return Town(deployment.config)


@pytest.fixture
async def restored(town: Town) -> AsyncIterator[Town]:
    """민지 said three things, of which 준호 read two; two more and an edit are lost."""
    async with town.day():
        minji, junho = town.people["minji"], town.people["junho"]
        talk = await minji.starts(junho)
        sent = [await minji.sends(talk, f"{number}") for number in (1, 2, 3)]
        await junho.marks(sent[1])
        town.copies("monday")
        await minji.edits(sent[0], "verloren")
        await minji.sends(talk, "4", client_message_id="four")
        await junho.sends(talk, "5")
    await town.puts_back("monday")
    async with town.day():
        yield town


@pytest.fixture
def minji(restored: Town) -> Person:
    return restored.people["minji"]


@pytest.fixture
def junho(restored: Town) -> Person:
    return restored.people["junho"]


@pytest.fixture
async def talk(minji: Person, junho: Person) -> str:
    return await minji.starts(junho)


def tombstones(messages: list[dict[str, Any]]) -> list[int]:
    """The positions that a restore emptied; each looks like one."""
    lost = [one for one in messages if one["sender_id"] == ""]
    for one in lost:
        assert (one["is_deleted"], one["content"], one["client_message_id"]) == (True, "", None)
    return [one["seq"] for one in lost]


# -- what people see -----------------------------------------------------------------------------------


async def test_a_conversation_nobody_goes_on_with_looks_as_it_was(minji: Person, junho: Person, talk: str) -> None:
    seen = await junho.sees(talk)
    assert [one["content"] for one in seen["messages"]] == ["1", "2", "3"]
    assert (seen["last_seq"], seen["unread_count"], seen["lost"]) == (3, 1, [])
    assert seen["last_message"]["content"] == "3"


async def test_the_next_message_leaves_out_what_the_lost_timeline_may_have_used(
    minji: Person, junho: Person, talk: str
) -> None:
    sent = await minji.sends(talk, "vier")
    assert sent["seq"] == 3 + RESERVE + 1
    seen = await junho.sees(talk)
    assert [one["seq"] for one in seen["messages"]] == list(range(1, sent["seq"] + 1))
    assert tombstones(seen["messages"]) == list(range(4, 4 + RESERVE))
    assert seen["lost"] == [{"first_seq": 4, "last_seq": 3 + RESERVE}]
    assert seen["last_message"]["content"] == "vier"
    again = await minji.sends(talk, "fünf")
    assert again["seq"] == sent["seq"] + 1


async def test_nothing_lost_counts_as_unread(minji: Person, junho: Person, talk: str) -> None:
    """준호 had read two of three; 민지 had read her own, all of them."""
    sent = await minji.sends(talk, "vier")
    assert (await junho.sees(talk))["unread_count"] == 2
    answered = await junho.sends(talk, "fünf")
    assert (await junho.sees(talk))["unread_count"] == 0
    hers = await minji.sees(talk)
    assert (hers["unread_count"], hers["me"]["last_read_seq"]) == (1, sent["seq"])
    assert (await minji.marks(answered))["unread_count"] == 0


async def test_who_had_read_everything_still_has(minji: Person, junho: Person, talk: str) -> None:
    last = (await junho.sees(talk))["messages"][-1]
    await junho.marks(last)
    await minji.sends(talk, "vier")
    his = await junho.sees(talk)
    assert his["unread_count"] == 1
    assert his["me"]["last_read_seq"] == his["me"]["last_delivered_seq"] == 3 + RESERVE
    assert (await minji.sees(talk))["peer"]["last_read_seq"] == 3 + RESERVE


async def test_a_mark_before_the_lost_ones_leaves_them_out(minji: Person, junho: Person, talk: str) -> None:
    await minji.sends(talk, "vier")
    third = next(one for one in await all_pages(junho, talk) if one["seq"] == 3)
    assert (await junho.marks(third, "delivered"))["unread_count"] == 2
    assert (await junho.marks(third))["unread_count"] == 1


async def test_what_was_hidden_stays_hidden(minji: Person, junho: Person, talk: str) -> None:
    await junho.changes(talk, hidden_before_seq=4)
    await minji.sends(talk, "vier")
    seen = await junho.sees(talk)
    assert [one["content"] for one in seen["messages"]] == ["vier"]
    assert (seen["unread_count"], seen["me"]["hidden_before_seq"]) == (1, 4 + RESERVE)


async def test_pages_count_the_lost_positions(minji: Person, junho: Person, talk: str) -> None:
    await minji.sends(talk, "vier")
    met = await all_pages(junho, talk)
    assert [one["seq"] for one in met] == list(range(4 + RESERVE, 0, -1))
    assert len({one["id"] for one in met}) == len(met)
    third = await junho.gets(f"/api/chat/conversations/{talk}/messages/?page_size=4&page=3")
    assert [one["seq"] for one in third["results"]] == [3, 2, 1]
    around = await junho.gets(f"/api/chat/conversations/{talk}/messages/?before_seq=6&page_size=3")
    assert [one["seq"] for one in around["results"]] == [5, 4, 3]


async def test_the_list_shows_the_last_thing_that_was_said(minji: Person, junho: Person, talk: str) -> None:
    await minji.sends(talk, "vier")
    (listed,) = (await junho.gets("/api/chat/users/me/conversations/"))["results"]
    assert (listed["last_message"]["content"], listed["unread_count"]) == ("vier", 2)


async def test_a_new_conversation_begins_at_one(restored: Town, minji: Person) -> None:
    talk = await minji.starts(restored.people["sora"])
    assert (await minji.sends(talk, "eins"))["seq"] == 1
    assert (await minji.sees(talk))["lost"] == []


async def test_an_empty_conversation_may_have_lost_messages_too(town: Town) -> None:
    async with town.day():
        minji, junho = town.people["minji"], town.people["junho"]
        talk = await minji.starts(junho)
        town.copies("monday")
        lost = await minji.sends(talk, "verloren")
    await town.puts_back("monday")
    async with town.day():
        sent = await junho.sends(talk, "gefunden")
        assert sent["seq"] == RESERVE + 1 > lost["seq"]
        assert (await minji.sees(talk))["unread_count"] == 1


# -- what devices are told -----------------------------------------------------------------------------


async def test_a_mark_of_the_lost_timeline_is_answered_with_reset(minji: Person, junho: Person, talk: str) -> None:
    """The lost timeline issued changes 5, 6 and 7; a device that has seen them has seen what is gone."""
    for _ in range(2):
        for lost in (1, 4, 5, 6, 7):
            answer = await junho.gets(f"/api/chat/conversations/{talk}/changes/?since={lost}")
            assert (answer["reset"], answer["results"]) == (True, [])
        await minji.sends(talk, "danach")


@pytest.fixture
def two_rows_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync.changes, "__kwdefaults__", {**(sync.changes.__kwdefaults__ or {}), "limit": 2})


@pytest.mark.usefixtures("two_rows_a_page")
@pytest.mark.parametrize("way", ["rest", "socket", "room"])
async def test_a_walk_that_names_the_epoch_gets_past_what_was_kept(
    minji: Person, junho: Person, talk: str, way: str
) -> None:
    """Kept rows have marks below those of the lost timeline; the epoch says of which timeline a mark is."""
    await minji.sends(talk, "vier")
    epoch = (await junho.syncs())["epoch"]
    screen = await junho.opens(talk if way == "room" else None)
    since, met, more = 0, [], True
    while more:
        if way == "rest":
            page = await junho.gets(f"/api/chat/conversations/{talk}/changes/?since={since}&epoch={epoch}")
        else:
            where = {} if way == "room" else {"conversation_id": talk}
            screen.says(type="changes", since=since, epoch=epoch, **where)
            page = await screen.hears("changes")
        assert not page["reset"]
        since, more, met = page["next_since"], page["has_more"], met + page["results"]
    assert [one["seq"] for one in met] == list(range(1, 5 + RESERVE))
    assert since == met[-1]["change_seq"] == (await junho.sees(talk))["change_seq"]


@pytest.mark.usefixtures("two_rows_a_page")
async def test_a_mark_without_the_epoch_in_force_counts_no_more(restored: Town, junho: Person, talk: str) -> None:
    """Without it, or with another one, a mark of a kept row cannot be told from one of the lost timeline."""
    path = f"/api/chat/conversations/{talk}/changes/?since="
    first = await junho.gets(f"{path}0")
    assert [one["seq"] for one in first["results"]] == [1, 2]
    for said in ("", "&epoch=", "&epoch=another"):
        answer = await junho.gets(f"{path}{first['next_since']}{said}")
        assert (answer["reset"], answer["results"]) == (True, [])


async def test_the_epoch_makes_no_mark_valid_that_was_never_issued(junho: Person, talk: str) -> None:
    epoch = (await junho.syncs())["epoch"]
    ahead = (await junho.sees(talk))["change_seq"] + 1
    for never in (-1, ahead):
        assert (await junho.gets(f"/api/chat/conversations/{talk}/changes/?since={never}&epoch={epoch}"))[
            "reset"
        ] is True


async def test_no_number_of_a_change_is_issued_again(minji: Person, talk: str) -> None:
    """The lost timeline used 5, 6 and 7: also what is no message leaves them out."""
    second = (await minji.sees(talk))["messages"][1]
    edited = (await minji.edits(second, "zwei")).json
    assert edited["change_seq"] > 7
    assert (await minji.sends(talk, "vier"))["change_seq"] == edited["change_seq"] + RESERVE + 1


async def test_a_device_that_knows_nothing_gets_everything(minji: Person, junho: Person, talk: str) -> None:
    await minji.sends(talk, "vier")
    since, met = 0, []
    for _ in range(4):
        page = await junho.gets(f"/api/chat/conversations/{talk}/changes/?since={since}")
        since, met = page["next_since"], met + page["results"]
    assert [one["seq"] for one in met] == list(range(1, 5 + RESERVE))
    assert [one["change_seq"] for one in met] == sorted(one["change_seq"] for one in met)


async def test_more_lost_positions_than_fit_come_in_pages(town: Town) -> None:
    async with town.day():
        minji, junho = town.people["minji"], town.people["junho"]
        talk = await minji.starts(junho)
        await minji.sends(talk, "eins")
        town.copies("monday")
    await town.puts_back("monday", reserve=250)
    async with town.day():
        since = (await junho.sees(talk))["change_seq"]
        await minji.sends(talk, "zwei")
        sizes, met, more = [], [], True
        while more:
            page = await junho.gets(f"/api/chat/conversations/{talk}/changes/?since={since}")
            since, more, met = page["next_since"], page["has_more"], met + page["results"]
            sizes.append(len(page["results"]))
        assert sizes == [100, 100, 51]
        assert [one["seq"] for one in met] == list(range(2, 253))
        assert (await all_pages(junho, talk))[:-1] == met[::-1]


async def test_a_screen_that_is_open_hears_of_the_new_place(minji: Person, junho: Person, talk: str) -> None:
    phone, desk = await junho.opens(talk), await junho.opens()
    history = await phone.hears("conversation_history")
    assert (history["last_seq"], history["lost"]) == (3, [])
    await minji.sends(talk, "vier")
    heard = (await phone.hears("chat_message"))["message"]
    assert heard["seq"] == 4 + RESERVE
    phone.says(type="changes", since=history["change_seq"])
    missed = await phone.hears("changes")
    assert tombstones(missed["results"]) == list(range(4, 4 + RESERVE))
    assert [one["change_seq"] for one in missed["results"]] == list(
        range(history["change_seq"] + 1, heard["change_seq"] + 1)
    )
    updated = (await desk.hears("conversation_updated"))["conversation"]
    assert updated["lost"] == [{"first_seq": 4, "last_seq": 3 + RESERVE}]
    assert updated["unread_count"] == 2
    again = await (await junho.opens(talk)).hears("conversation_history")
    assert again["lost"] == updated["lost"]


# -- what can be done with a tombstone -----------------------------------------------------------------


async def test_a_tombstone_can_be_marked_and_hidden_but_nothing_else(
    restored: Town, minji: Person, junho: Person, talk: str
) -> None:
    await minji.sends(talk, "vier")
    lost = next(one for one in await all_pages(junho, talk) if one["seq"] == 6)
    receipts = len(restored.play.rows("deliveryreceipt"))
    marked = await junho.marks(lost)
    assert (marked["up_to_seq"], marked["unread_count"]) == (6, 1)
    assert len(restored.play.rows("deliveryreceipt")) == receipts
    await eventually(
        lambda: any(
            (one["message_id"], one["up_to_seq"]) == (lost["id"], 6) for one in restored.play.said("message.read")
        )
    )
    refuses(await junho.edits(lost, "doch"), 403, "not_author")
    refuses(await junho.deletes(lost), 403, "not_author")
    refuses(await minji.tries_to_send(talk, reply_to=lost["id"]), 422, "validation_failed", "reply_to")
    hidden = lost | {"hidden": True}
    assert (await junho.deletes(lost, scope="me")).json == hidden
    assert next(one for one in await all_pages(junho, talk) if one["seq"] == 6) == hidden


async def test_to_a_stranger_a_tombstone_does_not_exist(restored: Town, minji: Person, talk: str) -> None:
    await minji.sends(talk, "vier")
    lost = next(one for one in await all_pages(minji, talk) if one["seq"] == 6)
    before = restored.play.stored()
    sora = restored.people["sora"]
    refuses(await sora.asks("POST", f"/api/chat/messages/{lost['id']}/read/", {}), 404, "not_found")
    refuses(await sora.deletes(lost, scope="me"), 404, "not_found")
    beyond = lost["id"][:-8] + "000000ff"
    refuses(await minji.asks("POST", f"/api/chat/messages/{beyond}/read/", {}), 404, "not_found")
    assert restored.play.stored() == before


async def test_what_was_lost_can_be_sent_again(restored: Town, minji: Person, talk: str) -> None:
    again = await minji.tries_to_send(talk, "4", client_message_id="four")
    assert (again.status, again.json["seq"]) == (201, 4 + RESERVE)
    assert (await minji.tries_to_send(talk, "4", client_message_id="four")).json == again.json


async def test_a_repetition_alone_leaves_nothing_out(restored: Town, minji: Person, talk: str) -> None:
    """Only a new message leaps."""
    first = await minji.sends(talk, "vier", client_message_id="vier")
    before = restored.play.rows("lostrange")
    assert (await minji.sends(talk, "vier", client_message_id="vier")) == first
    refuses(await minji.tries_to_send(talk, "anders", client_message_id="vier"), 409, "idempotency_conflict")
    assert restored.play.rows("lostrange") == before


# -- several restores ----------------------------------------------------------------------------------


async def test_the_same_copy_put_back_twice_leaves_out_both_timelines(town: Town) -> None:
    places: list[int] = []
    async with town.day():
        minji, junho = town.people["minji"], town.people["junho"]
        talk = await minji.starts(junho)
        town.copies("monday")
        places += [(await minji.sends(talk, "verloren"))["seq"] for _ in range(RESERVE)]
    for _ in range(3):
        said = await town.puts_back("monday")
        async with town.day():
            places += [(await junho.sends(talk, "auch"))["seq"] for _ in range(RESERVE)]
    assert len(set(places)) == len(places)
    assert f"{3 * RESERVE} positions" in said
    assert "put back before" in said


async def test_a_copy_of_a_restored_store_leaves_out_what_came_of_it(town: Town) -> None:
    async with town.day():
        minji, junho = town.people["minji"], town.people["junho"]
        talk = await minji.starts(junho)
        await minji.sends(talk, "eins")
        town.copies("monday")
    await town.puts_back("monday")
    town.copies("tuesday")
    async with town.day():
        lost = await minji.sends(talk, "verloren")
    await town.puts_back("tuesday")
    async with town.day():
        sent = await minji.sends(talk, "zwei")
        assert sent["seq"] == 1 + 2 * RESERVE + 1 > lost["seq"]
        assert (await junho.sees(talk))["lost"] == [{"first_seq": 2, "last_seq": 1 + 2 * RESERVE}]
        await minji.sends(talk, "drei")
        town.copies("wednesday")
    await town.puts_back("wednesday")
    async with town.day():
        await minji.sends(talk, "vier")
        first, second = (await junho.sees(talk))["lost"]
        assert (first["last_seq"], second["first_seq"]) == (1 + 2 * RESERVE, 4 + 2 * RESERVE)
        assert (await junho.sees(talk))["unread_count"] == 4
        met = [one["seq"] for one in await all_pages(junho, talk)]
        assert met == list(range(met[0], 0, -1))


async def test_a_damaged_journal_is_not_passed_over(town: Town) -> None:
    async with town.day():
        town.copies("monday")
    (town.data / restoring.JOURNAL).write_text("[{")
    epoch = town.play.rows("store")
    with pytest.raises(Refused, match="damaged"):
        await town.puts_back("monday")
    assert town.play.rows("store") == epoch


# -- any story at all ----------------------------------------------------------------------------------

PEOPLE = ("minji", "junho")
KINDS = ("sends", "sends", "sends", "edits", "deletes", "hides", "reads", "gets", "clears", "comes back")
STEP = st.tuples(st.sampled_from(KINDS), st.sampled_from(PEOPLE), st.integers(0, 5))
DAY = st.lists(STEP, max_size=12)
NIGHT = st.sampled_from(["nothing", "copy", "put back", "put back the first"])


class Chronicle:
    """What was ever seen to stand where, in any timeline."""

    def __init__(self) -> None:
        self.positions: dict[tuple[str, int], str] = {}
        self.changes: dict[tuple[str, int], str] = {}

    def note(self, play: Play) -> None:
        """A seq is one message for ever; so is a number of a change, for what was never changed since."""
        for row in play.rows("message"):
            place = row["conversation_id"], row["seq"]
            assert self.positions.setdefault(place, row["id"]) == row["id"], f"{place} was issued twice"
            change = row["conversation_id"], row["change_seq"]
            assert self.changes.setdefault(change, row["id"]) == row["id"], f"change {change} was issued twice"


async def does(town: Town, devices: dict[str, Device], talk: str, step: tuple[str, str, int]) -> None:
    what, who, number = step
    person = town.people[who]
    if what == "sends":
        await person.sends(talk, f"{who} sagt {random.random()}")
        return
    if what == "comes back":
        await devices[who].catches_up()
        return
    if what == "clears":
        await person.asks("PATCH", f"/api/chat/conversations/{talk}/", {"hidden_before_seq": number})
        return
    there = await person.gets(f"/api/chat/conversations/{talk}/messages/?page_size=20")
    if not there["results"]:
        return
    message = there["results"][number % len(there["results"])]
    if what == "edits":
        await person.edits(message, f"{who} bessert {random.random()}")
    elif what in ("deletes", "hides"):
        await person.deletes(message, scope="everyone" if what == "deletes" else "me")
    else:
        await person.marks(message, "read" if what == "reads" else "delivered")


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(life=st.lists(st.tuples(DAY, NIGHT), min_size=2, max_size=5), last=DAY)
def test_through_any_restores_nothing_is_issued_twice_and_all_agree(
    life: list[tuple[list[tuple[str, str, int]], str]], last: list[tuple[str, str, int]]
) -> None:
    """Days of traffic, nights in which copies are made or put back; at the end old devices and new ones agree."""
    asyncio.run(lived(life, last))


async def lived(life: list[tuple[list[tuple[str, str, int]], str]], last: list[tuple[str, str, int]]) -> None:
    async with ground(services=("chat",)) as config:
        town, chronicle = Town(config), Chronicle()
        async with town.day():
            talk = await town.people["minji"].starts(town.people["junho"])
            town.copies("first")
            town.copies("newest")
        devices = {name: Device(town.people[name]) for name in PEOPLE}
        for day, night in life:
            async with town.day() as play:
                for step in day:
                    await does(town, devices, talk, step)
                chronicle.note(play)
            if night == "copy":
                town.copies("newest")
            elif night.startswith("put back"):
                await town.puts_back("first" if "first" in night else "newest", reserve=12)
        async with town.day() as play:
            for step in last:
                await does(town, devices, talk, step)
            chronicle.note(play)
            for name in PEOPLE:
                person = town.people[name]
                await devices[name].catches_up()
                expected = await fresh(person)
                assert whole(devices[name].view(), expected), name
                met = [one["seq"] for one in await all_pages(person, talk)]
                assert met == sorted(met, reverse=True)
                assert met == list(range(met[0], met[-1] - 1, -1)) if met else True


def whole(held: dict[str, Any], expected: dict[str, Any]) -> bool:
    """What a device holds is what there is; after a reset it holds the newest messages and reads older ones by pages."""
    for talk, one in expected.items():
        mine = held[talk]
        shown = {seq: one["messages"][seq] for seq in mine["messages"]}
        if shown != mine["messages"] or {**mine, "messages": 0} != {**one, "messages": 0}:
            return False
        if one["messages"] and sorted(mine["messages"]) != sorted(one["messages"])[-len(mine["messages"]) :]:
            return False
    return True
