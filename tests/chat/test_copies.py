"""Two chat processes on one database: what is done at one is shown at the other, also when nothing is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from django.db import connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doran.chat import feed
from doran.chat.feed import FeedKeeper, FeedWriter
from doran.chat.models import Feed, Node
from doran.realtime.fanout import Step
from tests.cast import Mint, Person
from tests.chat.conftest import Play
from tests.chat.copy import Copy, beside
from tests.chat.device import Device, fresh
from tests.chat.test_sync import STEP, Story
from tests.stage import awake, eventually, ground
from tests.wire import Socket

pytestmark = [pytest.mark.settings(chat_copies="many"), pytest.mark.judged]


@pytest.fixture
async def copy(play: Play) -> AsyncIterator[Copy]:
    async with beside(play) as one:
        yield one


async def words(socket: Socket, count: int) -> list[tuple[int, str]]:
    """The next messages that are shown."""
    shown = [(await socket.hears("chat_message"))["message"] for _ in range(count)]
    return [(one["seq"], one["content"]) for one in shown]


# -- what is shown elsewhere ---------------------------------------------------------------------------


async def test_what_is_said_at_one_is_shown_at_the_other_within_two_seconds(
    copy: Copy, minji: Person, junho: Person, talk: str
) -> None:
    """Without any hint: by looking into the database."""
    his, his_list = await copy.of(junho).opens(talk), await copy.of(junho).opens()
    first = await minji.sends(talk, "하나")
    await minji.sends(talk, "둘")
    for screen in (his, his_list):
        assert [await words(screen, 2)] == [[(1, "하나"), (2, "둘")]]
    await minji.edits(first, "하나!")
    assert (await his.hears("message_updated"))["message"]["content"] == "하나!"
    await minji.deletes(first)
    assert (await his.hears("message_deleted"))["message"]["is_deleted"] is True


async def test_marks_are_shown_with_their_message_and_moment(
    copy: Copy, minji: Person, junho: Person, talk: str
) -> None:
    hers = await copy.of(minji).opens(talk)
    sent = await minji.sends(talk, "하나")
    marked = await junho.marks(sent, "read")
    while (shown := await hers.hears("message_read"))["user_id"] != junho.id:
        pass
    assert (shown["up_to_seq"], shown["message_id"], shown["timestamp"]) == (1, sent["id"], marked["timestamp"])


async def test_a_new_conversation_is_met_before_its_first_message(copy: Copy, minji: Person, junho: Person) -> None:
    his = await copy.of(junho).opens()
    talk = await minji.starts(junho)
    await minji.sends(talk, "처음이야")
    kinds = [(await his.hears())["type"] for _ in range(2)]
    assert kinds == ["conversation_created", "chat_message"]


async def test_my_own_side_is_shown_to_my_screens_and_to_nobody_else(
    copy: Copy, minji: Person, junho: Person, talk: str
) -> None:
    hers, his = await copy.of(minji).opens(), await copy.of(junho).opens()
    sent = await junho.sends(talk, "하나")
    await words(hers, 1)
    await minji.changes(talk, archived=True, draft="쓰다 만")
    while not (state := (await hers.hears("conversation_updated"))["conversation"]["me"])["archived"]:
        pass
    assert state["draft"] == "쓰다 만"
    await minji.deletes(sent, scope="me")
    assert (await hers.hears("message_deleted"))["message"]["content"] == ""
    heard = [frame for frame in await his.hears_nothing_before_pong() if frame["type"] != "chat_message"]
    assert all("쓰다" not in msgspec.json.encode(frame).decode() for frame in heard)
    assert "message_deleted" not in [frame["type"] for frame in heard]


async def test_a_block_is_told_to_the_other_process_so_that_nothing_passes_there(
    play: Play, copy: Copy, minji: Person, junho: Person, talk: str
) -> None:
    hers = await copy.of(minji).opens()
    await play.blocks(junho, minji)
    while (await hers.hears())["conversation"]["is_active"]:  # as new, or as changed: what is missed comes as one
        pass
    assert any(step.is_shut and step.conversation_id == talk for step in copy.shown)


async def test_who_missed_too_much_comes_back_and_reads(
    copy: Copy, minji: Person, junho: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doran.chat.gaps.LONGEST", 3)
    his = await copy.of(junho).opens(talk)
    hers = await minji.opens(talk)
    for number in range(5):
        hers.says(type="chat_message", content=f"{number}")
    assert await his.is_closed() == 1012


async def test_the_outsider_is_shown_nothing(copy: Copy, minji: Person, junho: Person, sora: Person, talk: str) -> None:
    outside, his = await copy.of(sora).opens(), await copy.of(junho).opens()
    await minji.sends(talk, "비밀")
    await words(his, 1)
    assert await outside.hears_nothing_before_pong() == []


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(moments=st.lists(st.lists(STEP, min_size=1, max_size=4), min_size=1, max_size=6))
def test_after_any_story_a_device_at_the_other_process_agrees(moments: list[list[tuple[str, str, Any]]]) -> None:
    asyncio.run(told(moments))


async def told(moments: list[list[tuple[str, str, Any]]]) -> None:
    mint = Mint()
    async with (
        ground(services=("chat",), chat_copies="many") as config,
        awake(config, own_keys=mint.published) as house,
    ):
        play = Play(house, mint)
        people = {name: await play.person(name) for name in ("minji", "junho")}
        async with beside(play) as copy:
            sockets = {name: await copy.of(person).opens() for name, person in people.items()}
            story = Story(play, people, await people["minji"].starts(people["junho"]))
            for moment in moments:
                await asyncio.gather(*(story.step(*step) for step in moment))
            for name, person in people.items():
                await agrees(story.there[name], sockets[name], await fresh(person))


async def agrees(device: Device, socket: Socket, expected: dict[str, Any]) -> None:
    for _ in range(100):
        await device.hears(socket)
        if device.view() == expected:
            return
        await asyncio.sleep(0.05)
    assert device.view() == expected


# -- the feed ------------------------------------------------------------------------------------------


def kept(play: Play) -> list[list[Step]]:
    return [msgspec.msgpack.decode(bytes(row["steps"]), type=list[Step]) for row in play.rows("feed")]


async def test_the_feed_says_what_moved_and_not_a_word_of_it(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    sent = await minji.sends(talk, "이것은 비밀이야")
    await junho.marks(sent, "read")
    await minji.changes(talk, draft="이것도 비밀")
    steps = [step for commit in kept(play) for step in commit]
    both = (minji.id, junho.id)
    assert [(step.before, step.after, step.last_before, step.last_after) for step in steps] == [
        (0, 0, 0, 0), (0, 1, 0, 1), (1, 2, 1, 1), (2, 2, 1, 1),
    ]  # fmt: skip
    assert [(step.is_new, step.authors, dict(step.states)) for step in steps] == [
        (True, (), {}), (False, (minji.id,), {}), (False, (), {}), (False, (), {minji.id: 1}),
    ]  # fmt: skip
    assert all((step.conversation_id, step.people) == (talk, both) for step in steps)
    assert "비밀".encode() not in b"".join(bytes(row["steps"]) for row in play.rows("feed"))
    assert [row["number"] for row in play.rows("feed")] == [1, 2, 3, 4]


async def test_what_is_refused_leaves_nothing_in_the_feed(play: Play, minji: Person, sora: Person, talk: str) -> None:
    sent = await minji.sends(talk, "하나")
    before = play.rows("feed")
    assert (await sora.edits(sent, "둘")).status == 404
    assert (await sora.tries_to_send(talk)).status == 404
    assert (await minji.tries_to_send(talk, client_message_id="\0")).status == 422
    assert play.rows("feed") == before


@pytest.mark.settings(chat_copies="one")
async def test_alone_nothing_is_left_for_others(play: Play, minji: Person, talk: str) -> None:
    await minji.sends(talk, "하나")
    is_file = connections["chat"].vendor == "sqlite"  # on a server it is known to be there, and no more
    assert (play.rows("feed"), len(play.rows("node"))) == ([], 0 if is_file else 1)


# -- who keeps it --------------------------------------------------------------------------------------


class Kept:
    """The feed of the house, tended on a clock that the test moves."""

    def __init__(self, play: Play) -> None:
        assert play.house.chat is not None
        account = play.house.chat.sharing.account
        assert isinstance(account, FeedWriter)
        self.now, self.missed = 1000.0, 0
        self.keeper = FeedKeeper(account, missed=self._miss, clock=lambda: self.now)

    def _miss(self) -> None:
        self.missed += 1

    async def tends(self, *, after: float = 0.0) -> None:
        self.now += after
        await asyncio.to_thread(self.keeper.tend)


async def test_what_everybody_could_look_at_is_cleared_but_for_the_last(play: Play, minji: Person, talk: str) -> None:
    kept = Kept(play)
    for number in range(5):
        await minji.sends(talk, f"{number}")
    await kept.tends()
    assert len(play.rows("feed")) == 6
    await kept.tends(after=feed.KEPT_SECONDS - 1)
    assert len(play.rows("feed")) == 6
    await kept.tends(after=1)
    assert [row["number"] for row in play.rows("feed")] == [6]


async def test_who_is_gone_is_missed_once_and_forgotten_later(play: Play, minji: Person, talk: str) -> None:
    kept, other = Kept(play), Kept(play)
    await asyncio.to_thread(_gone, feed.MISSED_AFTER)
    await asyncio.gather(kept.tends(), other.tends())
    await kept.tends()
    assert kept.missed + other.missed == 1
    forgotten = await asyncio.to_thread(_gone, feed.FORGOTTEN_AFTER)
    await kept.tends()
    assert forgotten not in [row["id"] for row in play.rows("node")]
    assert [row for row in play.rows("feed") if row["node"] == forgotten] == []


def _gone(for_so_long: Any) -> int:
    """A process that was last seen twice so long ago, and had committed once; its node."""
    from django.db.models.functions import Now

    node = Node.objects.using("chat").create(renewed_at=Now() - 2 * for_so_long)
    Feed.objects.using("chat").create(node=node.id, number=1, steps=b"\x90")
    return node.id


async def test_who_was_forgotten_and_wakes_is_known_again(play: Play, minji: Person, talk: str) -> None:
    kept = Kept(play)
    await asyncio.to_thread(Node.objects.using("chat").all().delete)
    await kept.tends()
    assert len(play.rows("node")) == 1


async def test_who_was_away_for_too_long_begins_anew(
    play: Play, copy: Copy, minji: Person, junho: Person, talk: str
) -> None:
    """The feed was cleared meanwhile: sockets are told to come back and read."""
    his = await copy.of(junho).opens(talk)
    await copy.fanout.stop()
    for number in range(3):
        await minji.sends(talk, f"{number}")
    await asyncio.to_thread(Feed.objects.using("chat").filter(number__lt=4).delete)
    copy.fanout.start()
    assert await his.is_closed() == 1012


async def test_a_commit_that_may_or_may_not_be_there_ends_the_node(play: Play, minji: Person, talk: str) -> None:
    """Nobody knows whether its number was used: the next commit is another node's first."""
    assert play.house.chat is not None
    writer = play.house.chat.writer
    account = play.house.chat.sharing.account
    await asyncio.to_thread(writer.run, lambda: setattr(account, "_node", None))
    await minji.sends(talk, "하나")
    rows = play.rows("feed")
    assert [row["number"] for row in rows] == [1, 1]
    assert len({row["node"] for row in rows}) == len(play.rows("node")) == 2


async def test_what_another_node_of_a_process_commits_is_seen_as_well(
    play: Play, copy: Copy, minji: Person, junho: Person, talk: str
) -> None:
    his = await copy.of(junho).opens(talk)
    await minji.sends(talk, "하나")
    assert play.house.chat is not None
    account = play.house.chat.sharing.account
    await asyncio.to_thread(play.house.chat.writer.run, lambda: setattr(account, "_node", None))
    await minji.sends(talk, "둘")
    assert await words(his, 2) == [(1, "하나"), (2, "둘")]


async def test_the_database_away_for_a_moment_is_only_a_delay(
    copy: Copy, minji: Person, junho: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    his = await copy.of(junho).opens(talk)
    calls = 0
    real = copy.archive.read

    async def fails_twice(holes: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise OSError("away")
        return await real(holes)

    monkeypatch.setattr(copy.archive, "read", fails_twice)
    await minji.sends(talk, "하나")
    assert await words(his, 1) == [(1, "하나")]
    await eventually(lambda: calls == 3)
