"""No frame is longer than 256 KiB, whatever an account holds; what does not fit comes with the next question."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doran.chat import sync
from doran.contracts import frames
from tests.cast import Person
from tests.chat.conftest import Play
from tests.chat.device import Device, fresh
from tests.wire import LONGEST_FRAME, Socket, refuses

UNHURRIED = {"send_burst": 100_000, "sends_per_second": 100_000, "frames_per_second": 100_000}

LONG = "가" * 4000
ESCAPED = '"\\\n\t' * 1000
EMOJI = "🫶" * 4000


async def says_all(socket: Socket, contents: list[tuple[str, str]]) -> None:
    """Send these texts into these conversations, and wait until all are stored."""
    for talk, content in contents:
        socket.says(type="chat_message", conversation_id=talk, content=content)
    for _ in contents:
        await socket.hears("ack")


class SocketDevice(Device):
    """A device that asks by its socket, where every frame is measured."""

    def __init__(self, person: Person, socket: Socket) -> None:
        super().__init__(person)
        person_syncs, self.person = person.syncs, Person(person.app, person.name, person.id, person.token)
        assert person_syncs is not None
        self.person.syncs = self._asks  # type: ignore[method-assign]
        self.socket = socket

    async def _asks(self, **known: Any) -> Any:
        self.socket.says(type="sync", **known)
        return await self.socket.hears("sync")


@pytest.mark.settings(**UNHURRIED)
async def test_fifty_conversations_of_twenty_long_messages_come_in_frames_that_fit(play: Play, minji: Person) -> None:
    """In one frame it was 2.6 MB: a stock client closes at 1 MiB and could never log in."""
    friends = [await play.person(f"{number}") for number in range(50)]
    talks = [await minji.starts(friend) for friend in friends]
    hers = await minji.opens()
    await says_all(hers, [(talk, f"{number} " + "가" * 600) for talk in talks for number in range(20)])
    device = SocketDevice(minji, await minji.opens())
    await device.catches_up()
    assert len(device.conversations) == 50
    assert device.view() == await fresh(minji)
    first = await minji.asks("POST", "/api/chat/sync/", {})
    assert (len(first.body) <= LONGEST_FRAME, first.json["has_more"]) == (True, True)


@pytest.mark.settings(content_limit=20_000, **UNHURRIED)
@pytest.mark.parametrize("content", [LONG, ESCAPED, EMOJI * 5])
async def test_a_history_shows_the_newest_that_fit(minji: Person, talk: str, content: str) -> None:
    await says_all(await minji.opens(), [(talk, f"{number} {content}"[:20_000]) for number in range(50)])
    history = await (await minji.opens(talk)).hears("conversation_history")
    shown = [one["seq"] for one in history["messages"]]
    assert shown == list(range(51 - len(shown), 51))
    assert (history["has_more"], history["last_seq"]) == (len(shown) < 50, 50)
    if shown[0] > 1:  # one more would not have fitted
        before = (await minji.gets(f"/api/chat/conversations/{talk}/messages/?before_seq={shown[0]}&page_size=1"))[
            "results"
        ]
        assert len(frames.encode(history)) + len(frames.encode(before[0])) > frames.LIST_BYTES


@pytest.mark.settings(content_limit=20_000, **UNHURRIED)
@pytest.mark.parametrize("content", [LONG, ESCAPED, EMOJI * 5, "짧다"])
async def test_changes_go_on_where_a_frame_was_full(minji: Person, junho: Person, talk: str, content: str) -> None:
    await says_all(await minji.opens(), [(talk, f"{number} {content}"[:20_000]) for number in range(60)])
    his, since, met, has_more = await junho.opens(talk), 0, [], True
    while has_more:
        his.says(type="changes", since=since)
        answer = await his.hears("changes")
        assert answer["results"]
        assert answer["next_since"] > since
        met += [one["seq"] for one in answer["results"]]
        since, has_more = answer["next_since"], answer["has_more"]
        page = await junho.asks("GET", f"/api/chat/conversations/{talk}/changes/?since={since}")
        assert len(page.body) <= LONGEST_FRAME
    assert (met, since) == (list(range(1, 61)), 60)


@pytest.mark.settings(content_limit=20_000, **UNHURRIED)
@pytest.mark.parametrize("draft", ["🫶" * 20_000, "\x01" * 13_333])
async def test_the_longest_draft_beside_the_longest_messages_still_fits(minji: Person, talk: str, draft: str) -> None:
    hers = await minji.opens()
    away = SocketDevice(minji, await minji.opens())
    await away.catches_up()
    await says_all(hers, [(talk, EMOJI * 5)] * 4)
    await hers.hears_nothing_before_pong()
    first = (await minji.gets(f"/api/chat/conversations/{talk}/messages/"))["results"][-1]
    await minji.deletes(first, scope="me")
    await minji.changes(talk, draft=draft)
    assert (await hers.hears("conversation_updated"))["conversation"]["me"]["draft"] == draft
    new = SocketDevice(minji, await minji.opens())
    for device, held in ((away, [1, 2, 3, 4]), (new, [4])):
        await device.catches_up()
        assert (device.conversations[talk]["me"]["draft"], sorted(device.messages[talk])) == (draft, held)
    history = await (await minji.opens(talk)).hears("conversation_history")
    assert ([one["seq"] for one in history["messages"]], history["has_more"]) == ([3, 4], True)


@pytest.mark.settings(content_limit=20_000, **UNHURRIED)
async def test_a_message_that_is_long_only_in_bytes_is_refused(minji: Person, talk: str) -> None:
    """A decomposed syllable is one character of nine bytes."""
    fits, longer = "\u1112\u1161\u11ab" * 8_888, "\u1112\u1161\u11ab" * 8_889
    refuses(await minji.tries_to_send(talk, longer), 422, "validation_failed", "content")
    assert (await minji.sees(talk))["messages"] == []
    await minji.sends(talk, fits)
    await minji.changes(talk, draft=fits)
    device = SocketDevice(minji, await minji.opens())
    await device.catches_up()
    assert device.messages[talk][1]["content"] == fits


async def test_a_draft_that_is_long_only_in_json_is_refused(minji: Person, talk: str) -> None:
    answer = await minji.asks("PATCH", f"/api/chat/conversations/{talk}/", {"draft": "\x01" * 13_334})
    refuses(answer, 422, "validation_failed", "draft")
    assert (await minji.sees(talk))["me"]["draft"] == ""


@pytest.mark.settings(**UNHURRIED)
async def test_hundreds_of_messages_deleted_for_oneself_reach_the_other_device(
    play: Play, minji: Person, sora: Person, talk: str
) -> None:
    """They come part by part, and no state of another conversation is lost on the way."""
    other = await minji.starts(sora)
    hers = await minji.opens()
    await says_all(hers, [(talk, f"{number}") for number in range(180)])
    away, known = SocketDevice(minji, await minji.opens()), await fresh(minji)
    await away.catches_up()
    away.messages[talk] = {one["seq"]: one for one in (await _all(minji, talk))}
    for message in (await _all(minji, talk))[:170]:
        hers.says(type="delete_message", message_id=message["id"], **{"for": "me"}, ref=message["seq"])
    for _ in range(170):
        await hers.hears("done")
    await minji.changes(other, draft="끝")
    await minji.sends(talk, "또")
    away.rounds = 0
    await away.catches_up()
    assert known != await fresh(minji) == away.view()
    assert away.rounds >= 170 // sync.HIDDEN_AT_ONCE


async def _all(person: Person, talk: str) -> list[dict[str, Any]]:
    found = []
    for number in (1, 2):
        found += (await person.gets(f"/api/chat/conversations/{talk}/messages/?page_size=100&page={number}"))["results"]
    return found


async def test_a_device_that_knows_too_much_for_one_frame_asks_part_by_part(play: Play, minji: Person) -> None:
    talks = sorted([await minji.starts(await play.person(f"{number}")) for number in range(6)])
    for talk in talks:
        await minji.sends(talk, "하나")
    epoch = (await minji.syncs())["epoch"]
    known = dict.fromkeys(talks, 1)
    await minji.sends(talks[1], "둘")
    await minji.sends(talks[4], "둘")
    hers = await minji.opens()
    for part, differs in (
        ({"until": talks[2], "known": dict.fromkeys(talks[:3], 1)}, [talks[1]]),
        ({"after": talks[2], "known": dict.fromkeys(talks[3:], 1)}, [talks[4]]),
        ({"after": talks[1], "until": talks[3], "known": dict.fromkeys(talks[2:4], 1)}, []),
        ({"after": talks[1], "until": talks[3], "known": {}}, [talks[3], talks[2]]),
        ({"known": known}, [talks[4], talks[1]]),
    ):
        hers.says(type="sync", epoch=epoch, **part)
        found = [[one["id"] for one in answer["conversations"]]
                 for answer in (await minji.syncs(epoch=epoch, **part), await hers.hears("sync"))]  # fmt: skip
        assert found == [differs, differs]


async def test_the_fields_of_a_question_that_come_back_are_bounded(minji: Person, talk: str) -> None:
    hers = await minji.opens()
    for said in (
        {"type": "ping", "ref": "r" * 257},
        {"type": "chat_message", "content": "x", "conversation_id": talk, "ref": "\x01" * 60_000},
    ):
        hers.says(said)
        assert (await hers.hears()).get("code") == "invalid_frame"
    hers.says_text(json.dumps({"type": "ping", "x" * 200_000: 1}))
    assert len((await hers.hears("error"))["detail"]) < 600
    assert (await minji.gets(f"/api/chat/conversations/{talk}/messages/"))["results"] == []


async def test_too_much_knowledge_is_told_what_to_do(minji: Person) -> None:
    answer = await minji.asks("POST", "/api/chat/sync/", {"known": {f"{number}": 0 for number in range(10_001)}})
    assert "after and until" in str(refuses(answer, 422, "validation_failed", "known"))


def test_what_is_taken_for_the_most_a_message_can_be_is_more() -> None:
    """The estimate that saves the encoding must never say that something fits which does not."""
    view = frames.MessageView(
        id="i" * 36, conversation_id="c" * 36, seq=2**53, change_seq=2**53, sender_id="가" * 255, content="\x01" * 1000,
        message_type="image", created_at="2026-01-01T00:00:00.000000Z", updated_at="2026-01-01T00:00:00.000000Z",
        edited_at="2026-01-01T00:00:00.000000Z", is_deleted=False, reply_to="r" * 36, client_message_id='"' * 64,
    )  # fmt: skip
    for count in (1, 7):
        encoded = len(frames.encode([view] * count))
        assert frames.fitting([view] * count, room=encoded) == count
        for room in (encoded // count + 1, encoded - 3) if count > 1 else ():
            fits = frames.fitting([view] * count, room=room)
            assert (fits < count, len(frames.encode([view] * fits)) <= room + 2) == (True, True)
        assert frames.fitting([view] * count, room=0) == 1
    assert frames.fitting([], room=0) == 0
