"""The server's clock was two hours ahead and is set right: what happens next stands after what happened before."""

from __future__ import annotations

from typing import Any

import pytest

from doran.kernel import clock
from doran.kernel.telemetry import health
from tests.cast import Person
from tests.chat.conftest import Deployment, Play
from tests.clock import Hands


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """The hands of the clock, two hours ahead."""
    moved = Hands()
    monkeypatch.setattr(clock, "now", moved.now)
    moved.move(hours=2)
    return moved


def fresh(play: Play, hands: Hands, *people: Person) -> list[Person]:
    """The same people with tokens that the clock, as it is now, believes."""
    now = int(hands.now().timestamp())
    return [play.again(person, iat=now, exp=now + 600) for person in people]


async def cast(play: Play, hands: Hands, *names: str) -> list[Person]:
    return fresh(play, hands, *[await play.person(name) for name in names])


async def listed(person: Person) -> list[str]:
    """The conversations of this person's list, newest activity first."""
    page = await person.gets("/api/chat/users/me/conversations/")
    moments = [one["updated_at"] for one in page["results"]]
    assert moments == sorted(moments, reverse=True)
    return [one["id"] for one in page["results"]]


async def synced(person: Person) -> list[str]:
    answer = await person.asks("POST", "/api/chat/sync/", {"epoch": "", "known": {}})
    assert answer.status == 200, answer.body
    return [one["id"] for one in answer.json["conversations"]]


async def test_new_activity_stands_first_in_the_list(hands: Hands, play: Play) -> None:
    minji, junho, sora = await cast(play, hands, "민지", "준호", "소라")
    with_junho, with_sora = await minji.starts(junho), await minji.starts(sora)
    await minji.sends(with_sora, "먼저")
    await minji.sends(with_junho, "시계가 두 시간 빨라")
    hands.move(hours=-2)
    minji, junho = fresh(play, hands, minji, junho)
    await minji.sends(with_sora, "이제 맞아")
    assert await listed(minji) == [with_sora, with_junho]
    await junho.sends(with_junho, "나도")
    assert await listed(minji) == await synced(minji) == [with_junho, with_sora]
    newest = await minji.starts(await play.person("새 친구"))
    assert await listed(minji) == [newest, with_junho, with_sora]


async def test_nothing_that_is_written_goes_backwards(hands: Hands, play: Play) -> None:
    minji, junho = await cast(play, hands, "민지", "준호")
    talk = await minji.starts(junho)
    first = await minji.sends(talk, "하나")
    hands.move(hours=-2)
    minji, junho = fresh(play, hands, minji, junho)
    edited = (await minji.edits(first, "하나!")).json
    assert edited["edited_at"] >= edited["created_at"] == first["created_at"]
    assert edited["updated_at"] >= edited["edited_at"]
    again = (await minji.edits(first, "하나!!")).json
    assert again["edited_at"] > edited["edited_at"]
    second = await junho.sends(talk, "둘")
    assert second["created_at"] > first["created_at"]
    read = (await minji.asks("POST", f"/api/chat/messages/{second['id']}/read/")).json
    assert read["timestamp"] >= second["created_at"]
    gone = (await junho.deletes(second)).json
    assert gone["updated_at"] >= read["timestamp"]


async def test_a_restart_goes_on_where_the_last_day_stopped(hands: Hands, deployment: Deployment) -> None:
    async with deployment.day() as play:
        minji, junho, sora = await cast(play, hands, "민지", "준호", "소라")
        with_junho, with_sora = await minji.starts(junho), await minji.starts(sora)
        before = await minji.sends(with_junho, "시계가 두 시간 빨라")
    hands.move(hours=-2)
    async with deployment.day() as play:
        minji, junho = fresh(play, hands, minji, junho)
        after = await minji.sends(with_sora, "이제 맞아")
        assert await listed(minji) == [with_sora, with_junho]
        assert after["created_at"] > before["created_at"]
        assert after["id"] > before["id"]
        edited = (await minji.edits(before, "시계가 빨랐어")).json
        assert edited["edited_at"] > edited["created_at"]


async def test_pins_keep_their_order(hands: Hands, play: Play) -> None:
    minji, *others = await cast(play, hands, "민지", "준호", "소라")
    talks = [await minji.starts(other) for other in others]
    pinned: list[Any] = []
    for talk in talks:
        answer = await minji.asks("PATCH", f"/api/chat/conversations/{talk}/", {"pinned": True})
        assert answer.status == 200, answer.body
        pinned.append(answer.json["me"]["pinned_at"])
        hands.move(hours=-1)
        [minji] = fresh(play, hands, minji)
    assert pinned == sorted(pinned)


async def test_health_and_log_say_that_stored_times_are_ahead(
    hands: Hands, deployment: Deployment, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(clock.log, "handlers", [caplog.handler])  # a house that starts takes others' handlers away
    async with deployment.day() as play:
        minji, junho = await cast(play, hands, "민지", "준호")
        talk = await minji.starts(junho)
        await minji.sends(talk, "시계가 두 시간 빨라")
        assert "clock" not in health.ready()[1]
        hands.move(hours=-2)
        [minji] = fresh(play, hands, minji)
        await minji.sends(talk, "이제 맞아")
        assert "s from what was stored last" in health.ready()[1]["clock"]["detail"]
        assert not health.ready()[1]["clock"]["needed"]
        assert caplog.text.count("clock disagrees with what was stored last by -7") == 1
    async with deployment.day():
        assert "s from what was stored last" in health.ready()[1]["clock"]["detail"]
    hands.move(hours=3)
    async with deployment.day():
        assert "clock" not in health.ready()[1]


async def test_who_wrote_in_the_last_minutes_may_still_edit(hands: Hands, deployment: Deployment) -> None:
    """The time for an edit is counted from what is stored, and the clock alone makes nobody late."""
    async with deployment.day(edit_seconds=60) as play:
        minji, junho = await cast(play, hands, "민지", "준호")
        message = await minji.sends(await minji.starts(junho), "안녕")
        hands.move(hours=-2)
        [minji] = fresh(play, hands, minji)
        assert (await minji.edits(message, "안녕!")).status == 200
