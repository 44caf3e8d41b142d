"""Sockets: who gets in, what they hear first, and how they end."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from doran.chat import opening, service
from doran.chat.writer import Work, Writer
from doran.contracts import events
from doran.contracts.errors import Problem
from doran.kernel import clock
from tests.cast import Mint, Person
from tests.chat.conftest import Deployment, Play
from tests.stage import eventually
from tests.wire import Closed, Socket, refuses


def door(talk: str | None) -> str:
    return "/ws/" if talk is None else f"/ws/chat/{talk}/"


# -- getting in ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
async def test_both_doors_open_with_and_without_a_slash(minji: Person, talk: str, slash: str) -> None:
    for path in ("/ws", f"/ws/chat/{talk}"):
        headers = {"Authorization": f"Bearer {minji.token}"}
        socket = await Socket(minji.app, path + slash, headers=headers).accepted()
        assert (await socket.hears())["type"] == "ready"


async def test_the_first_frame_may_be_the_token(play: Play, minji: Person, talk: str) -> None:
    socket = await Socket(play.app, door(talk)).accepted()
    socket.says(type="auth", token=minji.token)
    ready = await socket.hears()
    assert ready | {"server_time": "", "session_id": ""} == {
        "type": "ready", "user_id": minji.id, "session_id": "", "epoch": play.rows("store")[0]["epoch"],
        "server_time": "", "heartbeat": 25,
    }  # fmt: skip
    assert (await socket.hears())["type"] == "conversation_history"


async def test_a_first_frame_with_a_ref_is_answered_with_it(play: Play, minji: Person) -> None:
    socket = await Socket(play.app, door(None)).accepted()
    socket.says(type="auth", token=minji.token, ref="in")
    assert (await socket.hears("ready"))["ref"] == "in"


@pytest.mark.settings(auth_seconds=0.1)
async def test_who_says_nothing_is_sent_away(play: Play, talk: str) -> None:
    for path in (door(None), door(talk)):
        assert await (await Socket(play.app, path).accepted()).is_closed() == 4401


@pytest.mark.parametrize(
    "first",
    [
        '{"type":"ping"}', '{"type":"auth"}', '{"type":"auth","token":""}', '{"type":"auth","token":"x.y.z"}',
        '{"type":"auth","token":7}', "hello", "", "[]", "null", '{"type":"chat_message","content":"x"}', "[" * 10_000,
        b"\x00", '{"type":"auth","token":"\x00"}',
    ],
)  # fmt: skip
async def test_a_first_frame_that_is_no_token_is_the_last(play: Play, talk: str, first: Any) -> None:
    before = play.stored()
    socket = await Socket(play.app, door(talk)).accepted()
    if isinstance(first, bytes):
        socket.says_bytes(first)
    else:
        socket.says_text(first)
    with pytest.raises(Closed) as closed:
        await socket.hears()
    assert closed.value.code == 4401
    assert play.stored() == before


async def test_a_bad_token_in_the_header_is_not_followed_by_a_second_chance(
    play: Play, minji: Person, talk: str
) -> None:
    for token in ("x", Mint().token(minji.id), play.mint.token(minji.id, seconds=-60, iat=int(time.time()) - 120)):
        socket = await Socket(play.app, door(talk), headers={"Authorization": f"Bearer {token}"}).accepted()
        socket.says(type="auth", token=minji.token)
        assert await socket.is_closed() == 4401


async def test_a_token_in_the_address_is_no_token(play: Play, minji: Person) -> None:
    socket = await Socket(play.app, "/ws/", query=f"token={minji.token}").accepted()
    socket.says(type="ping")
    assert await socket.is_closed() == 4401


@pytest.mark.parametrize("which", ["unknown", "no id", "a stranger's"])
async def test_a_conversation_that_is_not_mine_is_none(play: Play, sora: Person, talk: str, which: str) -> None:
    path = {"unknown": str(clock.new_id()), "no id": "x", "a stranger's": talk}[which]
    socket = await sora.connects(path)
    with pytest.raises(Closed) as closed:
        await socket.hears()
    assert closed.value.code == 4404
    assert play.house.chat is not None
    assert not play.house.chat.hub.is_here(sora.id)


async def test_other_paths_are_no_doors(play: Play, minji: Person) -> None:
    for path in ("/", "/ws/chat/", "/ws/other", "/ws2/", "/api/chat/conversations/"):
        with pytest.raises(Closed) as closed:
            await Socket(play.app, path, headers={"Authorization": f"Bearer {minji.token}"}).accepted()
        assert closed.value.code == 4404


@pytest.mark.settings(
    allowed_origins=("https://shop.example.com",), public_url="https://Chat.Example.com:443/", issuer=Mint().issuer
)
async def test_pages_of_others_may_not_connect(play: Play, minji: Person) -> None:
    token = {"Authorization": f"Bearer {minji.token}"}
    for origin in ("https://shop.example.com", "https://chat.example.com", "http://localhost"):
        socket = await Socket(play.app, "/ws/", headers={"Origin": origin, **token}).accepted()
        assert (await socket.hears())["type"] == "ready"
    for origin in ("https://evil.example.com", "null", "http://[", "https://shop.example.com.evil.com", "", "file://",
                   "https://localhost.evil.com", "http://localhost:81", "http://chat.example.com"):  # fmt: skip
        with pytest.raises(Closed) as closed:
            await Socket(play.app, "/ws/", headers={"Origin": origin, **token}).accepted()
        assert closed.value.code == 403


@pytest.mark.settings(auth_seconds=5.0, unready_sockets_per_address=1000)
async def test_five_hundred_who_say_nothing_keep_nobody_out(play: Play, minji: Person, talk: str) -> None:
    silent = [await Socket(play.app, "/ws/").accepted() for _ in range(500)]
    socket = await Socket(play.app, door(talk)).accepted()
    socket.says(type="auth", token=minji.token)
    assert (await socket.hears())["type"] == "ready"
    socket.says(type="chat_message", content="나는 들어왔다")
    assert (await socket.hears("ack"))["message"]["seq"] == 1
    await asyncio.gather(*(one.leaves() for one in silent))


@pytest.mark.settings(unready_sockets=2)
async def test_too_many_who_say_nothing_are_not_let_in(play: Play, minji: Person) -> None:
    for _ in range(2):
        await Socket(play.app, "/ws/").accepted()
    await eventually(lambda: play.house.chat.gateway.unauthenticated.total == 2)  # type: ignore[union-attr]
    with pytest.raises(Closed, match="503"):
        await Socket(play.app, "/ws/").accepted()


@pytest.mark.settings(unready_sockets_per_address=2)
async def test_a_network_that_fills_its_share_keeps_nobody_else_out(play: Play, minji: Person) -> None:
    for host in ("2001:db8::1", "2001:db8::2"):
        await Socket(play.app, "/ws/", address=host).accepted()
    unauthenticated = play.house.chat.gateway.unauthenticated  # type: ignore[union-attr]
    await eventually(lambda: unauthenticated.total == 2)
    refused = Socket(play.app, "/ws/", address="2001:db8::3")
    with pytest.raises(Closed, match="503"):
        await refused.accepted()
    assert unauthenticated.total == 2
    await Socket(play.app, "/ws/", address="2001:db8:0:1::1").accepted()
    known = Socket(play.app, "/ws/", address="2001:db8::4", headers={"Authorization": f"Bearer {minji.token}"})
    await known.accepted()
    assert (await known.hears())["type"] == "ready"


# -- subscribe, read, live -----------------------------------------------------------------------------


@pytest.mark.judged
async def test_what_commits_while_i_connect_is_neither_missed_nor_doubled(
    monkeypatch: pytest.MonkeyPatch, minji: Person, junho: Person, talk: str
) -> None:
    first, second = await minji.sends(talk, "하나"), await minji.sends(talk, "둘")
    read, loop = opening.history, asyncio.get_running_loop()

    def now(action: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(action, loop).result(5)

    def paused(*what: str) -> Any:
        monkeypatch.setattr(opening, "history", read)
        now(minji.sends(talk, "셋, 앞"))
        now(minji.edits(first, "하나, 앞"))
        history = read(*what)
        now(minji.sends(talk, "넷, 뒤"))
        now(minji.edits(second, "둘, 뒤"))
        now(minji.deletes(first))
        return history

    monkeypatch.setattr(opening, "history", paused)
    his = await junho.opens(talk)
    history = await his.hears()
    assert [one["content"] for one in history["messages"]] == ["하나, 앞", "둘", "셋, 앞"]
    live = await his.hears_nothing_before_pong()
    assert [(one["type"], one["message"]["seq"], one["message"]["content"]) for one in live if "message" in one] == [
        ("chat_message", 4, "넷, 뒤"), ("message_updated", 2, "둘, 뒤"), ("message_deleted", 1, ""),
    ]  # fmt: skip


@pytest.mark.judged
async def test_connecting_during_traffic_shows_every_message_once(minji: Person, junho: Person, talk: str) -> None:
    hers = await minji.opens(talk)

    async def writes() -> None:
        for number in range(60):
            hers.says(type="chat_message", content=f"{number}")
            await asyncio.sleep(0)

    async def sees() -> list[int]:
        his = await junho.opens(talk)
        seqs = [one["seq"] for one in (await his.hears())["messages"]]
        while not seqs or seqs[-1] < 60:
            seqs.append((await his.hears("chat_message"))["message"]["seq"])
        return seqs

    seen, _ = await asyncio.gather(asyncio.gather(*(sees() for _ in range(8))), writes())
    for seqs in seen:
        assert seqs == list(range(seqs[0], 61))


async def test_a_conversations_socket_hears_of_no_other(
    play: Play, minji: Person, junho: Person, sora: Person, talk: str
) -> None:
    other = await minji.starts(sora)
    hers = await minji.opens(talk)
    await hers.hears("conversation_history")
    await sora.sends(other, "여기는 다른 방")
    assert await hers.hears_nothing_before_pong() == []
    hers.says(type="chat_message", content="x", conversation_id=other, ref=1)
    assert (await hers.hears("error"))["code"] == "not_found"
    hers.says(type="chat_message", content="x", conversation_id=talk, ref=2)
    assert (await hers.hears("ack"))["ref"] == 2


async def test_the_socket_for_everything_must_be_told_where(play: Play, minji: Person, talk: str) -> None:
    hers = await minji.opens()
    for frame in ({"type": "chat_message", "content": "x"}, {"type": "typing", "is_typing": True},
                  {"type": "changes", "since": 0}, {"type": "mark_as_read", "up_to_seq": 1}):  # fmt: skip
        hers.says(frame, ref="where")
        refused = await hers.hears("error")
        assert (refused["code"], refused["ref"]) == ("validation_failed", "where")
    hers.says(type="chat_message", content="x", conversation_id=talk)
    assert (await hers.hears("ack"))["message"]["conversation_id"] == talk


# -- frames --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", ["", "a" * 200, 0, -1, 2**53, 10**40, "안녕", None])
async def test_ref_comes_back_as_it_was(minji: Person, talk: str, ref: Any) -> None:
    hers = await minji.opens(talk)
    await hers.hears("conversation_history")
    for frame, answer in (
        ({"type": "ping"}, "pong"), ({"type": "chat_message", "content": "x"}, "ack"),
        ({"type": "chat_message", "content": ""}, "error"), ({"type": "changes", "since": 0}, "changes"),
        ({"type": "sync"}, "sync"), ({"type": "nonsense"}, "error"),
    ):  # fmt: skip
        hers.says(frame, ref=ref)
        heard = await hers.hears(answer)
        assert heard.get("ref") == ref


BAD = [
    "", "x", "{", "[]", "7", "null", '"ping"', "{}", '{"type":null}', '{"type":7}', '{"type":"nonsense"}',
    '{"type":"ping","extra":1}', '{"type":"ping","ref":{}}', '{"type":"ping","ref":1.5}', '{"type":"chat_message"}',
    '{"type":"chat_message","content":null}', '{"type":"typing","is_typing":"yes"}', '{"type":"changes","since":"0"}',
    '{"type":"presence","user_ids":"x"}', '{"type":"presence","user_ids":[1]}', '{"type":"sync","known":[]}',
    '{"type":"sync","known":{"x":"y"}}', '{"type":"delete_message","message_id":"x","for":"all"}',
    "[" * 30_000, '{"type":' * 5000, '{"type":"ping"}{"type":"ping"}', '{"type":"ping","ref":NaN}', "\ufeff{}",
    '{"type":"ping","ref":' + "9" * 5000 + "}",
]  # fmt: skip


@pytest.mark.parametrize("everything", [False, True])
async def test_the_third_bad_frame_closes(play: Play, minji: Person, talk: str, everything: bool) -> None:
    before = play.stored()
    for start in range(0, len(BAD) - 2, 3):
        hers = await minji.opens(None if everything else talk)
        for text in BAD[start : start + 3]:
            hers.says_text(text)
            refused = await hers.hears("error")
            assert (refused["code"], refused["ref"]) == ("invalid_frame", None), text[:80]
            assert len(refused["detail"]) < 500
            assert not re.search("Expected|`|malformed|truncated|codec", refused["detail"])
        assert await hers.is_closed() == 4400
    assert play.stored() == before


async def test_binary_frames_are_bad_frames(minji: Person, talk: str) -> None:
    hers = await minji.opens(talk)
    for data in (b'{"type":"ping"}', b"\x00\xff", b""):
        hers.says_bytes(data)
        assert (await hers.hears("error"))["code"] == "invalid_frame"
    assert await hers.is_closed() == 4400


async def test_two_bad_frames_are_forgiven(minji: Person, talk: str) -> None:
    hers = await minji.opens(talk)
    for _ in range(2):
        hers.says_text("x")
        await hers.hears("error")
    hers.says(type="ping", ref=1)
    assert (await hers.hears("pong"))["ref"] == 1


async def test_a_refused_frame_is_no_bad_frame(minji: Person, talk: str) -> None:
    hers = await minji.opens(talk)
    for number in range(10):
        hers.says(type="chat_message", content="", ref=number)
        assert (await hers.hears("error"))["ref"] == number
    hers.says(type="ping")
    await hers.hears("pong")


# -- tokens on a live socket ---------------------------------------------------------------------------


@pytest.fixture
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open sockets are looked over all the time."""
    monkeypatch.setattr(service, "SWEEP_SECONDS", 0.02)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let so many seconds pass for whoever looks over the sockets."""

    def pass_(seconds: float) -> None:
        moved = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
        monkeypatch.setattr(service, "time", moved)

    return pass_


@pytest.mark.usefixtures("quick_sweep")
async def test_a_token_that_is_accepted_because_clocks_differ_keeps_its_socket_for_as_long(
    play: Play, minji: Person, later: Any
) -> None:
    hers = await play.again(minji, seconds=-20, iat=int(time.time()) - 600).opens()
    assert await hers.hears_nothing_before_pong() == []
    later(30)
    assert await hers.hears_nothing_before_pong() == []
    later(45)
    assert await hers.is_closed() == 4401


@pytest.mark.usefixtures("quick_sweep")
async def test_a_socket_ends_with_its_token_unless_renewed(play: Play, minji: Person, talk: str, later: Any) -> None:
    short = play.again(minji, seconds=60)
    renewed, forgotten, waiting = await short.opens(talk), await short.opens(talk), await short.opens()
    await renewed.hears("conversation_history")
    renewed.says(type="auth", token=play.mint.token(minji.id, seconds=600), ref=1)
    ready = await renewed.hears()
    assert (ready["type"], ready["ref"]) == ("ready", 1)
    later(300)
    assert [await forgotten.is_closed(), await waiting.is_closed()] == [4401, 4401]
    assert await renewed.hears_nothing_before_pong() == []


@pytest.mark.parametrize("whose", ["another's", "nobody's", "an expired"])
async def test_only_ones_own_token_renews(play: Play, minji: Person, junho: Person, talk: str, whose: str) -> None:
    hers = await minji.opens(talk)
    token = {
        "another's": junho.token, "nobody's": Mint().token(minji.id),
        "an expired": play.mint.token(minji.id, seconds=-60, iat=int(time.time()) - 120),
    }[whose]  # fmt: skip
    hers.says(type="auth", token=token, ref=9)
    refused = await hers.hears("error")
    assert (refused["code"], refused["ref"]) == ("not_authenticated", 9)
    hers.says(type="chat_message", content="아직 나")
    assert (await hers.hears("ack"))["message"]["sender_id"] == minji.id


async def revoked(play: Play, person: Person, session_id: str | None) -> None:
    await play.happens(events.SessionRevoked(person.id, session_id, "logged_out", clock.rfc3339(clock.now())))


async def test_a_revoked_session_ends_at_once_and_alone(play: Play, minji: Person, talk: str) -> None:
    lost, kept = play.again(minji, session_id="lost"), play.again(minji, session_id="kept")
    hers = [await lost.opens(talk), await lost.opens(), await kept.opens(talk)]
    await revoked(play, minji, "lost")
    assert [await hers[0].is_closed(), await hers[1].is_closed()] == [4401, 4401]
    assert [one["type"] for one in await hers[2].hears_nothing_before_pong()] == ["conversation_history"]
    refuses(await lost.asks("GET", f"/api/chat/conversations/{talk}/"), 401, "not_authenticated")
    assert await (await lost.connects(talk)).is_closed() == 4401
    hers[2].says(type="auth", token=lost.token)
    assert (await hers[2].hears("error"))["code"] == "not_authenticated"
    await kept.sees(talk)


async def test_all_sessions_of_a_person_may_be_revoked(play: Play, minji: Person, junho: Person, talk: str) -> None:
    hers = [await play.again(minji).opens(talk), await play.again(minji).opens()]
    his = await junho.opens(talk)
    await revoked(play, minji, None)
    assert [await one.is_closed() for one in hers] == [4401, 4401]
    await his.hears_nothing_before_pong()


async def test_a_restart_does_not_let_a_revoked_session_back_in(deployment: Deployment) -> None:
    async with deployment.day() as play:
        minji = await play.person("민지", session_id="lost")
        await revoked(play, minji, "lost")
    async with deployment.day() as play:
        minji.app = play.app
        assert await (await minji.connects()).is_closed() == 4401
        refuses(await minji.asks("GET", "/api/chat/users/me/conversations/"), 401, "not_authenticated")


# -- how they end --------------------------------------------------------------------------------------


@pytest.mark.settings(sockets_per_person=2)
async def test_the_oldest_of_too_many_makes_room(play: Play, minji: Person, junho: Person, talk: str) -> None:
    oldest, older = await minji.opens(), await minji.opens(talk)
    his = await junho.opens(talk)
    newest = await minji.opens(talk)
    assert await oldest.is_closed() == 4409
    for socket in (older, newest, his):
        await socket.hears_nothing_before_pong()


@pytest.mark.settings(frames_per_second=5)
async def test_who_is_too_fast_is_told_and_who_goes_on_is_closed(minji: Person, junho: Person, talk: str) -> None:
    hers, his = await minji.opens(talk), await junho.opens(talk)
    for number in range(12):
        hers.says(type="ping", ref=number)
    heard = [await hers.hears() for _ in range(13)][1:]
    refused = [frame for frame in heard if frame["type"] == "error"]
    assert 1 <= len(refused) <= 7
    assert {frame["code"] for frame in refused} == {"too_many_requests"}
    assert all(0 < frame["retry_after_ms"] <= 3000 for frame in refused)
    assert refused[-1]["ref"] == 11
    for number in range(30):
        hers.says(type="ping", ref=number)
    assert await hers.is_closed() == 4429
    his.says(type="ping")
    await his.hears("pong")


@pytest.mark.settings(send_queue_bytes=65_536)
async def test_a_client_that_never_reads_is_let_go_and_nobody_else_waits(
    play: Play, minji: Person, junho: Person, talk: str
) -> None:
    hers, his, stuck = await minji.opens(talk), await junho.opens(talk), await junho.opens()
    stuck.is_reading.clear()
    for number in range(30):
        hers.says(type="chat_message", content=f"{number}".ljust(4000, "."))
    assert [(await his.hears("chat_message"))["message"]["seq"] for _ in range(30)] == list(range(1, 31))
    chat = play.house.chat
    assert chat is not None
    await eventually(lambda: len(list(chat.hub.of(junho.id))) == 1)
    stuck.is_reading.set()
    assert await stuck.is_closed() in (0, 4408)


@pytest.mark.settings(send_seconds=0.1)
async def test_one_write_may_not_take_for_ever(play: Play, minji: Person, junho: Person, talk: str) -> None:
    stuck = await junho.opens(talk)
    stuck.is_reading.clear()
    await minji.sends(talk, "받아")
    chat = play.house.chat
    assert chat is not None
    await eventually(lambda: not chat.hub.is_here(junho.id))


async def test_a_restart_tells_every_socket_to_come_back(play: Play, minji: Person, junho: Person, talk: str) -> None:
    sockets = [await minji.opens(talk), await minji.opens(), await junho.opens(talk)]
    sockets[0].says(type="chat_message", content="끝으로")
    await play.house.drain()
    assert [await one.is_closed() for one in sockets] == [1012, 1012, 1012]
    late = await Socket(play.app, "/ws/").accepted()
    assert await late.is_closed() == 1012


@pytest.mark.settings(drain_seconds=20.0)
async def test_a_restart_does_not_send_everybody_away_at_one_moment(
    play: Play, minji: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "COME_BACKS_PER_SECOND", 12)
    sockets = [await minji.opens() for _ in range(12)]

    async def when(socket: Socket) -> float:
        assert await socket.is_closed() == 1012
        return time.monotonic()

    moments = asyncio.gather(*map(when, sockets))
    begun = time.monotonic()
    await play.house.drain()
    assert time.monotonic() - begun < 10.0
    assert max(await moments) - min(await moments) > 0.05


async def test_what_was_accepted_is_answered_before_the_goodbye(play: Play, minji: Person, talk: str) -> None:
    hers = await minji.opens(talk)
    await hers.hears("conversation_history")
    async with play.held_up() as waiting:
        for number in range(5):
            hers.says(type="chat_message", content=f"{number}")
        await eventually(lambda: waiting() == 5)
        draining = asyncio.create_task(play.house.drain())
        await eventually(lambda: play.house.is_draining)
    heard = [(await hers.hears())["type"] for _ in range(5)]
    await draining
    assert (heard, await hers.is_closed()) == (["ack"] * 5, 1012)


async def test_what_was_accepted_is_answered_before_the_goodbye_where_nothing_more_is_taken(
    play: Play, minji: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = play.house.chat
    assert chat is not None
    submit, refused = Writer.submit, threading.Event()

    def watched(writer: Writer, work: Work) -> None:
        try:
            submit(writer, work)
        except Problem:
            refused.set()
            raise

    hers = await minji.opens(talk)
    await hers.hears("conversation_history")
    async with play.held_up() as waiting:
        for number in range(5):
            hers.says(type="chat_message", content=f"{number}")
        await eventually(lambda: waiting() == 5)
        monkeypatch.setattr(chat.writer, "limit", 5)
        monkeypatch.setattr(Writer, "submit", watched)
        draining = asyncio.create_task(play.house.drain())
        await eventually(refused.is_set)
    heard = [(await hers.hears())["type"] for _ in range(5)]
    await draining
    assert (heard, await hers.is_closed()) == (["ack"] * 5, 1012)


async def test_who_leaves_is_forgotten(play: Play, minji: Person, talk: str) -> None:
    socket = await minji.opens(talk)
    socket.says(type="chat_message", content="그리고 안녕")
    await socket.leaves()
    chat = play.house.chat
    assert chat is not None
    assert len(chat.hub) == 0
    await eventually(lambda: len(play.rows("message")) == 1)
