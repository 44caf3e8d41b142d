"""What another service shows on people's screens: theirs alone, at once, and nobody but a service may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from doran.chat import people
from doran.chat.screens import Screens
from doran.contracts import events, frames
from doran.kernel import clock
from doran.realtime.hub import Delivery, Hub
from tests import stores
from tests.cast import Person
from tests.chat.conftest import Deployment, Play
from tests.chat.test_services import of_ai
from tests.wire import Answer, Socket, call, refuses

PATH = "/api/chat/screens/"


def delta(text: str = "일곱 시에", **more: Any) -> dict[str, Any]:
    given = {"type": "ai.delta", "job_id": "j", "kind": "reply", "conversation_id": None, "attempt": 1, "seq": 1}
    return {**given, "text": text, **more}


async def hears_no_delta(screen: Socket) -> None:
    assert "ai.delta" not in [frame["type"] for frame in await screen.hears_nothing_before_pong()]


def renamed(person: Person, name: str = "김민지", picture: str | None = None, status: str = "") -> events.UserUpdated:
    return events.UserUpdated(person.id, "minji", name, picture, status, "ko", clock.rfc3339(clock.now()))


@pytest.mark.settings(body_bytes=1_000_000)
@pytest.mark.parametrize(
    ("text", "fits"), [("가" * 80_000, True), ("🫶" * 65_000, True), ("🫶" * 66_000, False), ("\x01" * 50_000, False)]
)
async def test_an_answer_longer_than_a_frame_is_shown_to_nobody(
    play: Play, minji: Person, text: str, fits: bool
) -> None:
    """It is a hint: its asker reads the job, whose text is whole, when the end of it is shown."""
    screen = await minji.opens()
    body = {"user_ids": [minji.id], "frame": delta(text)}
    answer = await tells(play, body)
    if fits:
        assert answer.status == 204
        assert (await screen.hears("ai.delta"))["text"] == text
    else:
        refuses(answer, 413, "payload_too_large")
        await hears_no_delta(screen)


async def test_a_new_profile_reaches_who_talks_with_the_person_and_nobody_else(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    his, own, other, conversation = (
        await junho.opens(),
        await minji.opens(),
        await minji.opens(),
        await junho.opens(talk),
    )
    outside = await sora.opens()
    await play.happens(renamed(minji, picture="https://pictures.test/m.png", status="제주에서"))
    profile = {"display_name": "김민지", "avatar_url": "https://pictures.test/m.png", "status_message": "제주에서"}
    for screen in (his, own, other):
        assert await screen.hears("user_updated") == {
            "type": "user_updated", "user_id": minji.id, "profile": profile,
        }  # fmt: skip
    for screen in (outside, conversation):
        assert "user_updated" not in [frame["type"] for frame in await screen.hears_nothing_before_pong()]


async def test_a_new_profile_is_shown_once_to_who_talks_with_the_person_twice(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    await minji.asks("POST", "/api/chat/conversations/", {"participant_id": sora.id})
    his = await junho.opens()
    await play.happens(renamed(minji, "하나"))
    await play.happens(renamed(minji, "둘"))
    assert [(await his.hears("user_updated"))["profile"]["display_name"] for _ in range(2)] == ["하나", "둘"]
    assert await his.hears_nothing_before_pong() == []


async def test_a_profile_that_comes_after_the_erasure_is_shown_to_nobody(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    await play.happens(events.UserErased(minji.id, clock.rfc3339(clock.now())))
    his = await junho.opens()
    await play.happens(renamed(minji))
    assert await his.hears_nothing_before_pong() == []


async def test_who_talks_with_an_erased_person_is_shown_so_at_once(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    """Also where nothing could be sent any more, so that nothing of the conversation changes."""
    await play.blocks(junho, minji)
    his, hers = await junho.opens(), await sora.opens()
    await play.happens(events.UserErased(minji.id, clock.rfc3339(clock.now())))
    assert await his.hears("user_updated") == {"type": "user_updated", "user_id": minji.id, "profile": None}
    assert await hers.hears_nothing_before_pong() == []


async def test_many_acquaintances_are_told_some_at_a_time(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await minji.asks("POST", "/api/chat/conversations/", {"participant_id": sora.id})
    monkeypatch.setattr(people, "AT_ONCE", 1)
    screens = [await person.opens() for person in (minji, junho, sora)]
    await play.happens(renamed(minji))
    for screen in screens:
        assert (await screen.hears("user_updated"))["profile"]["display_name"] == "김민지"
        assert await screen.hears_nothing_before_pong() == []


async def tells(play: Play, body: Any, *, scope: str = "screens.tell") -> Answer:
    headers = {"Authorization": f"Bearer {of_ai(play, scope=scope)}"}
    return await call(play.app, "POST", PATH, body, headers=headers)


async def test_a_frame_reaches_all_screens_of_its_person_and_no_others(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    everything, conversation = await minji.opens(), await minji.opens(talk)
    others = [await junho.opens(talk), await sora.opens()]
    answer = await tells(play, {"user_ids": [minji.id], "frame": delta(conversation_id=talk), "conversation_id": talk})
    assert answer.status == 204
    for screen in (everything, conversation):
        assert (await screen.hears("ai.delta"))["text"] == "일곱 시에"
    for screen in others:
        await hears_no_delta(screen)


async def test_without_a_conversation_only_the_screen_for_everything_hears(
    play: Play, minji: Person, talk: str
) -> None:
    everything, conversation = await minji.opens(), await minji.opens(talk)
    assert (await tells(play, {"user_ids": [minji.id], "frame": delta()})).status == 204
    assert (await everything.hears("ai.delta"))["seq"] == 1
    await hears_no_delta(conversation)


OFFER = {"kinds": [], "assistant": None, "provider": None, "translation_engines": [], "is_off": True}


async def test_what_is_for_everybody_reaches_whoever_is_connected_once(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    screens, conversation = [await minji.opens(), await minji.opens(), await junho.opens()], await minji.opens(talk)
    assert (await tells(play, {"user_ids": None, "frame": {"type": "ai.offer", "offer": OFFER}})).status == 204
    for screen in screens:
        assert (await screen.hears("ai.offer"))["offer"] == OFFER
    for screen in (*screens, conversation):
        assert "ai.offer" not in [frame["type"] for frame in await screen.hears_nothing_before_pong()]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"frame": {"type": "chat_message", "conversation_id": "c", "message": {}}}, "frame.type"),
        ({"frame": {"type": "ai.delta", "job_id": "j"}}, "frame.kind"),
        ({"frame": delta(seq="eins")}, "frame.seq"),
        ({"user_ids": []}, "user_ids"),
        ({"user_ids": None}, "user_ids"),
        ({"user_ids": ["x"] * 11}, "user_ids"),
        ({"loud": True}, "loud"),
    ],
)
async def test_only_what_is_known_can_be_shown_and_only_whole(
    play: Play, minji: Person, change: Any, field: str
) -> None:
    screen = await minji.opens()
    body = {"user_ids": [minji.id], "frame": delta(), **change}
    refuses(await tells(play, body), 422, "validation_failed", field)
    await hears_no_delta(screen)
    assert play.rows("announcement") == []


async def test_nobody_but_a_service_that_may_shows_anything(play: Play, minji: Person, junho: Person) -> None:
    screen, body = await junho.opens(), {"user_ids": [junho.id], "frame": delta()}
    refuses(await minji.asks("POST", PATH, body), 403, "insufficient_scope")
    refuses(await tells(play, body, scope="conversations.read"), 403, "insufficient_scope")
    refuses(await call(play.app, "POST", PATH, body), 401, "not_authenticated")
    await hears_no_delta(screen)


class Wire:
    """What one process says, another hears."""

    are_heard = True

    def __init__(self) -> None:
        self.heard: dict[str, Callable[[bytes], None]] = {}
        self.other: Wire | None = None

    def say(self, kind: str, body: bytes) -> None:
        assert self.other is not None
        self.other.heard[kind](body)

    def listen(self, kind: str, listener: Callable[[bytes], None]) -> None:
        self.heard[kind] = listener


class Ears(Hub):
    def __init__(self) -> None:
        super().__init__(sockets_per_person=1)
        self.delivered: list[Delivery] = []

    def deliver(self, delivery: Delivery) -> int:
        self.delivered.append(delivery)
        return 1

    def announce(self, text: str) -> None:
        self.delivered.append(Delivery((), text, None))


@pytest.mark.parametrize(
    ("frame", "talk"),
    [
        (frames.AiDelta("j", "reply", "c", 1, 1, "일곱 시에"), "c"),
        (frames.UserUpdated("junho", frames.PublicProfile("이준호", None, "")), None),
    ],
)
async def test_it_is_shown_by_other_processes_as_well(frame: Any, talk: str | None) -> None:
    here, there, wires = Ears(), Ears(), (Wire(), Wire())
    wires[0].other, wires[1].other = wires[1], wires[0]
    screens, _ = Screens(here, wires[0]), Screens(there, wires[1])  # type: ignore[arg-type]
    await asyncio.to_thread(screens.show, ("minji",), frame, talk)
    await asyncio.sleep(0)
    await asyncio.to_thread(screens.show_everybody, 2, "the newer")
    await asyncio.to_thread(screens.show_everybody, 1, "the older, which was overtaken")
    await asyncio.sleep(0)
    shown = [(("minji",), frames.encode(frame).decode(), talk), ((), "the newer", None)]
    assert here.delivered == there.delivered == [Delivery(*one) for one in shown]


@pytest.mark.settings(revoked_poll_seconds=0.1)
async def test_what_everybody_was_told_elsewhere_is_found_where_it_was_not_heard(play: Play, minji: Person) -> None:
    """As it comes from another process, of which this one hears nothing: by the database alone."""
    assert (await tells(play, {"user_ids": None, "frame": {"type": "ai.offer", "offer": OFFER}})).status == 204
    screen = await minji.opens()
    on_again = frames.encode(frames.AiOffer(frames.ShopWindow([], None, None, [], is_off=False))).decode()
    stores.say(play.house.config.chat_database, f"UPDATE chat_announcement SET number = 2, frame = '{on_again}'")
    assert (await screen.hears("ai.offer"))["offer"]["is_off"] is False
    stores.say(play.house.config.chat_database, "UPDATE chat_announcement SET number = 3")
    assert (await screen.hears("ai.offer"))["offer"]["is_off"] is False
    assert await screen.hears_nothing_before_pong() == []


@pytest.mark.settings(revoked_poll_seconds=0.1)
async def test_who_comes_later_is_not_told_again(deployment: Deployment) -> None:
    async with deployment.day() as play:
        told = await tells(play, {"user_ids": None, "frame": {"type": "ai.offer", "offer": OFFER}})
        assert told.status == 204
    async with deployment.day() as play:
        hers, his = [
            await (await play.person(name, seconds=seconds)).opens() for name, seconds in (("민지", 600), ("준호", 2))
        ]
        assert await his.is_closed() == 4401  # so this process has looked around
        assert await hers.hears_nothing_before_pong() == []
