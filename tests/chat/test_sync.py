"""Coming back: a device that was away ends up equal to one that was there, or is told to begin anew."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doran.chat import sync
from doran.chat.writer import DATABASE
from tests import stores
from tests.cast import Mint, Person
from tests.chat.conftest import Deployment, Play
from tests.chat.device import Device, fresh
from tests.stage import awake, eventually, ground
from tests.wire import refuses


def changes(talk: str, since: int) -> str:
    return f"/api/chat/conversations/{talk}/changes/?since={since}"


# -- changes -------------------------------------------------------------------------------------------


async def test_each_changed_row_comes_once_in_its_final_state(minji: Person, junho: Person, talk: str) -> None:
    sent = [await minji.sends(talk, f"{number}") for number in range(1, 5)]
    await minji.edits(sent[0], "하나")
    await minji.edits(sent[0], "하나!")
    await minji.deletes(sent[2])
    found = await junho.gets(changes(talk, 0))
    assert [(one["seq"], one["change_seq"], one["content"]) for one in found["results"]] == [
        (2, 2, "2"), (4, 4, "4"), (1, 6, "하나!"), (3, 7, ""),
    ]  # fmt: skip
    assert (found["next_since"], found["has_more"], found["reset"]) == (7, False, False)
    assert (await junho.gets(changes(talk, 6)))["results"] == found["results"][3:]
    nothing = {"results": [], "next_since": 7, "has_more": False, "reset": False}
    assert await junho.gets(changes(talk, 7)) == {**nothing, "epoch": (await junho.syncs())["epoch"]}


async def test_a_mark_this_store_never_issued_is_answered_with_reset(minji: Person, talk: str) -> None:
    await minji.sends(talk, "하나")
    for never in (2, -1, 2**53):
        answer = await minji.gets(changes(talk, never))
        assert (answer["reset"], answer["results"]) == (True, [])
    socket = await minji.opens(talk)
    for never in (2, -1, 10**30):
        socket.says(type="changes", since=never, ref=1)
        answer = await socket.hears("changes")
        assert (answer["reset"], answer["results"], answer["ref"]) == (True, [], 1)


async def test_changes_come_in_pages_that_end(minji: Person, talk: str) -> None:
    socket = await minji.opens(talk)
    for number in range(230):
        socket.says(type="chat_message", content=f"{number}")
    for _ in range(230):
        await socket.hears("ack")
    since, met, pages, more = 0, [], 0, True
    while more:
        page = await minji.gets(changes(talk, since))
        met += [one["seq"] for one in page["results"]]
        since, more, pages = page["next_since"], page["has_more"], pages + 1
    assert (met, pages) == (list(range(1, 231)), 3)


async def test_a_socket_answers_as_rest_does(minji: Person, talk: str) -> None:
    await minji.sends(talk, "하나")
    for socket, named in ((await minji.opens(talk), {}), (await minji.opens(), {"conversation_id": talk})):
        socket.says(type="changes", since=0, ref=5, **named)
        answer = await socket.hears("changes")
        by_rest = await minji.gets(changes(talk, 0))
        assert by_rest.pop("epoch") == (await minji.syncs())["epoch"]  # a socket's is in `ready`
        assert answer == {**by_rest, "type": "changes", "ref": 5, "conversation_id": talk}
        device = {"known": {talk: 0}, "epoch": (await minji.syncs())["epoch"]}
        socket.says(type="sync", ref="s", **device)
        assert await socket.hears("sync") == {**(await minji.syncs(**device)), "type": "sync", "ref": "s"}


# -- sync ----------------------------------------------------------------------------------------------


async def test_only_what_differs_comes(play: Play, minji: Person, junho: Person, sora: Person, talk: str) -> None:
    other = await minji.starts(sora)
    await minji.sends(talk, "하나")
    device = Device(minji)
    await device.catches_up()
    assert set(device.known) == {talk, other}
    again = await minji.syncs(epoch=device.epoch, known=device.known, state_since=device.state_since)
    assert (again["conversations"], again["has_more"], again["reset"]) == ([], False, False)
    await sora.sends(other, "둘")
    again = await minji.syncs(epoch=device.epoch, known=device.known, state_since=device.state_since)
    assert [one["id"] for one in again["conversations"]] == [other]
    assert [one["content"] for one in again["conversations"][0]["changes"]["results"]] == ["둘"]


async def test_what_differs_comes_before_what_is_only_mine(
    play: Play, minji: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that keeps no `state_since` hears of private state again and again, but misses nothing for it."""
    monkeypatch.setattr(sync, "CONVERSATIONS_AT_ONCE", 3)
    friends = [await play.person(f"친구 {number}") for number in range(6)]
    talks = [await minji.starts(friend) for friend in friends]
    epoch = (await minji.syncs())["epoch"]
    for place in talks[:5]:
        await minji.changes(place, archived=True)
    known = {place: (await minji.sees(place))["change_seq"] for place in talks}
    await friends[5].sends(talks[5], "저 여기 있어요")
    answer = await minji.syncs(epoch=epoch, known=known)
    found = [one["id"] for one in answer["conversations"]]
    assert (found[0], len(found), answer["has_more"]) == (talks[5], 3, True)
    known[talks[5]] = answer["conversations"][0]["changes"]["next_since"]
    met = set(found)
    while answer["has_more"]:
        answer = await minji.syncs(epoch=epoch, known=known, state_since=answer["state_seq"])
        met |= {one["id"] for one in answer["conversations"]}
    assert met == set(talks)


async def test_what_is_not_mine_is_not_there(play: Play, sora: Person, talk: str) -> None:
    answer = await sora.syncs(known={talk: 0, "x": 3, "": 0})
    assert answer["conversations"] == []


async def test_a_device_of_another_timeline_begins_anew(play: Play, minji: Person, talk: str) -> None:
    await minji.sends(talk, "하나")
    for lost in (
        {"epoch": "another", "known": {talk: 1}}, {"epoch": "another", "known": {}}, {"known": {talk: 1}, "epoch": ""},
        {"epoch": play.rows("store")[0]["epoch"], "known": {talk: 1}, "state_since": 99},
    ):  # fmt: skip
        answer = await minji.syncs(**lost)
        assert (answer["reset"], [one["id"] for one in answer["conversations"]]) == (True, [talk])
        assert [one["content"] for one in answer["conversations"][0]["changes"]["results"]] == ["하나"]


async def test_who_knows_things_but_not_of_which_timeline_begins_anew(play: Play, minji: Person, talk: str) -> None:
    """A number alone could be of a timeline that was lost."""
    await minji.sends(talk, "하나")
    answer = await minji.syncs(known={talk: 1})
    assert (answer["reset"], len(answer["conversations"])) == (True, 1)
    assert (await minji.syncs())["reset"] is False


async def test_a_conversation_ahead_of_this_store_is_reset_alone(
    play: Play, minji: Person, sora: Person, talk: str
) -> None:
    other = await minji.starts(sora)
    await minji.sends(talk, "하나")
    await minji.sends(other, "둘")
    epoch = play.rows("store")[0]["epoch"]
    answer = await minji.syncs(epoch=epoch, known={talk: 40, other: 0})
    found = {one["id"]: one["changes"] for one in answer["conversations"]}
    assert (answer["reset"], found[talk]["reset"], found[other]["reset"]) == (False, True, False)


async def test_a_store_that_was_replaced_resets_its_devices(deployment: Deployment) -> None:
    async with deployment.day() as play:
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        await minji.sends(talk, "하나")
        device = Device(minji)
        await device.catches_up()
    stores.say(deployment.config.chat_database, "UPDATE chat_store SET epoch = 'restored'")
    async with deployment.day() as play:
        minji.app = play.app
        assert (await (await minji.connects()).hears("ready"))["epoch"] == "restored"
        answer = await minji.syncs(epoch=device.epoch, known=device.known, state_since=device.state_since)
        assert (answer["reset"], answer["epoch"]) == (True, "restored")


async def test_more_conversations_than_fit_come_in_rounds_that_end(
    play: Play, minji: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "CONVERSATIONS_AT_ONCE", 5)
    friends = [await play.person(f"{number}") for number in range(12)]
    talks = [await friend.starts(minji) for friend in friends]
    for friend, talk in zip(friends, talks, strict=True):
        await friend.sends(talk, "안녕")
    device, away = Device(minji), Device(minji)
    await device.catches_up()
    await away.catches_up()
    assert (len(device.conversations), device.rounds) == (12, 3)
    for talk in talks:
        await minji.changes(talk, archived=True)
    for friend, talk in zip(friends[:7], talks[:7], strict=True):
        await friend.sends(talk, "또")
    await minji.changes(talks[0], draft="끝")
    away.rounds = 0
    await away.catches_up()
    assert 3 <= away.rounds <= 6
    assert away.view() == await fresh(minji)


def queries_of_a_sync(user_id: str, **known: Any) -> tuple[int, int]:
    """How many conversations an answer has, and how many reads of tables it took."""
    asked: list[str] = []

    def note(execute: Callable[..., object], statement: str, *rest: object) -> object:
        asked.extend(["read"] * (" FROM " in statement))
        return execute(statement, *rest)

    with connections[DATABASE].execute_wrapper(note):
        answer = sync.sync(user_id, **known)
    return len(answer.conversations), len(asked)


async def test_one_conversation_more_is_few_reads_more(play: Play, minji: Person) -> None:
    """A new device reads a conversation's newest rows; one that was away, what was sent and what was changed."""
    found: list[tuple[int, int, int, int]] = []
    epoch, known = (await minji.syncs())["epoch"], {}
    for count in (2, 7):
        while len(known) < count:
            friend = await play.person(f"{len(known)}")
            talk = await friend.starts(minji)
            known[talk] = (await friend.sends(talk, "안녕"))["change_seq"]
            await friend.sends(talk, "또")
        new = await asyncio.to_thread(queries_of_a_sync, minji.id, epoch=None, known={})
        away = await asyncio.to_thread(queries_of_a_sync, minji.id, epoch=epoch, known=known)
        found.append((*new, *away))
    (two, few_new, also_two, few_away), (seven, new, also_seven, away) = found
    assert (two, also_two, seven, also_seven) == (2, 2, 7, 7)
    assert (new - few_new, away - few_away) == (5 * 1, 5 * 2)


async def test_a_last_message_deleted_for_oneself_is_a_tombstone_beside_one_that_is_not(
    play: Play, minji: Person, talk: str
) -> None:
    """What is read for many conversations at once is told apart by conversation."""
    other = await (await play.person("친구")).starts(minji)
    gone, kept = await minji.sends(talk, "하나"), await minji.sends(other, "하나")
    device = Device(minji)
    await device.catches_up()
    await minji.deletes(gone, scope="me")
    away, new = (
        await minji.syncs(epoch=device.epoch, known=device.known, state_since=device.state_since),
        await minji.syncs(),
    )
    assert [(one["id"], one["changes"]["results"][0].get("hidden")) for one in away["conversations"]] == [(talk, True)]
    lines = {one["id"]: one for one in new["conversations"]}
    for place, hidden, content in ((talk, True, ""), (other, False, kept["content"])):
        for shown in (lines[place]["last_message"], lines[place]["changes"]["results"][0]):
            assert (shown.get("hidden", False), shown["content"]) == (hidden, content)


async def test_too_much_knowledge_is_refused(minji: Person) -> None:
    answer = await minji.asks("POST", "/api/chat/sync/", {"known": {f"{number}": 0 for number in range(10_001)}})
    refuses(answer, 422, "validation_failed", "known")


# -- any story at all ----------------------------------------------------------------------------------

WHO = st.sampled_from(["minji", "junho"])
NUMBER = st.integers(1, 12)
STEP = st.one_of(
    st.tuples(st.just("sends"), WHO, st.booleans()),
    st.tuples(st.just("edits"), WHO, NUMBER),
    st.tuples(st.just("deletes"), WHO, NUMBER),
    st.tuples(st.just("hides"), WHO, NUMBER),
    st.tuples(st.just("reads"), WHO, NUMBER),
    st.tuples(st.just("gets"), WHO, NUMBER),
    st.tuples(st.just("keeps"), WHO, st.sampled_from(
        [{"archived": True}, {"archived": False}, {"marked_unread": True}, {"draft": "쓰다"}, {"pinned": True}])),
    st.tuples(st.just("clears"), WHO, NUMBER),
    st.tuples(st.just("blocks"), WHO, st.booleans()),
    st.tuples(st.just("comes back"), WHO, st.none()),
)  # fmt: skip


class Story:
    """Two people who do things, each with a device that is there and one that is away."""

    def __init__(self, play: Play, people: dict[str, Person], talk: str) -> None:
        self.play, self.people, self.talk = play, people, talk
        self.away = {name: Device(person) for name, person in people.items()}
        self.there = {name: Device(person) for name, person in people.items()}
        self.coming_back = {name: asyncio.Lock() for name in people}

    async def step(self, what: str, who: str, how: Any) -> None:
        person, other = self.people[who], self.people["junho" if who == "minji" else "minji"]
        message = {"id": self.message(how)} if type(how) is int else {}
        if what == "sends":
            await person.tries_to_send(self.talk, f"{who} sagt", reply_to=self.message(1) if how else None)
        elif what == "edits":
            await person.edits(message, f"{who} 고침")
        elif what in ("deletes", "hides"):
            await person.deletes(message, scope="everyone" if what == "deletes" else "me")
        elif what in ("reads", "gets"):
            status = "read" if what == "reads" else "delivered"
            await person.asks("POST", f"/api/chat/messages/{message['id']}/{status}/", {})
        elif what in ("keeps", "clears"):
            state = how if what == "keeps" else {"hidden_before_seq": how}
            await person.asks("PATCH", f"/api/chat/conversations/{self.talk}/", state)
        elif what == "blocks":
            await (self.play.blocks(person, other) if how else self.play.unblocks(person, other))
        else:
            async with self.coming_back[who]:
                await self.away[who].catches_up()

    def message(self, seq: int) -> str:
        """The id of the message with this seq, or of none."""
        found = self.play.rows("message", f"conversation_id = '{self.talk.replace('-', '')}' AND seq = {seq}")
        return str(uuid.UUID(str(found[0]["id"] if found else "0" * 32)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(moments=st.lists(st.lists(STEP, min_size=1, max_size=4), min_size=1, max_size=8))
def test_after_any_story_all_devices_agree(moments: list[list[tuple[str, str, Any]]]) -> None:
    """A device that was there, one that was away, and a new one that reads everything: all the same.

    What happens in one moment happens at the same time.
    """
    asyncio.run(told(moments))


async def told(moments: list[list[tuple[str, str, Any]]]) -> None:
    mint = Mint()
    async with ground(services=("chat",)) as config, awake(config, own_keys=mint.published) as house:
        play = Play(house, mint)
        people = {name: await play.person(name) for name in ("minji", "junho")}
        sockets = {name: await person.opens() for name, person in people.items()}
        story = Story(play, people, await people["minji"].starts(people["junho"]))
        for moment in moments:
            await asyncio.gather(*(story.step(*step) for step in moment))
        for name, person in people.items():
            expected = await fresh(person)
            await story.there[name].hears(sockets[name])
            await story.away[name].catches_up()
            assert story.there[name].view() == expected
            assert story.away[name].view() == expected


# -- the order in which it is shown --------------------------------------------------------------------


async def test_what_commits_together_is_shown_in_the_order_of_its_changes(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    """A device that has seen change 12 must not still be owed change 11."""
    first = await minji.sends(talk, "하나")
    phone, desk, his = await minji.opens(talk), await minji.opens(talk), await junho.opens(talk)
    await his.hears("conversation_history")
    async with play.held_up():
        phone.says(type="edit_message", message_id=first["id"], content="하나!")
        desk.says(type="chat_message", content="둘")
        await desk.hears_nothing_before_pong()
    shown = [(await his.hears())["message"] for _ in range(2)]
    assert [one["change_seq"] for one in shown] == [2, 3]
    assert sorted(one["content"] for one in shown) == ["둘", "하나!"]


async def test_news_from_core_are_shown_after_what_was_written_before_them(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    """The last state a screen is shown is the last there is."""
    hers = await minji.opens()
    async with play.held_up() as waiting:
        archiving = asyncio.create_task(minji.changes(talk, archived=True))
        await eventually(lambda: waiting() == 1)
        blocking = asyncio.create_task(play.blocks(junho, minji))
        await eventually(lambda: waiting() == 2)
    await asyncio.gather(archiving, blocking)
    states = [frame["conversation"] for frame in await hers.hears_nothing_before_pong()]
    assert [(one["is_active"], one["me"]["archived"]) for one in states] == [(True, True), (False, True)]
