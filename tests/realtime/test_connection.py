"""One socket from handshake to close: who comes in, what is answered, how it ends."""

from __future__ import annotations

import asyncio

import pytest

from doran.contracts.frames import Pong, Typing
from doran.realtime.connection import Connection
from tests.realtime.gate import BinaryFrame, Gate, Gone, news
from tests.stage import eventually


async def test_a_header_or_the_first_frame_lets_in() -> None:
    gate = Gate()
    by_header, by_frame = gate.enters("minji"), gate.enters(None)
    by_frame.wire.says.put_nowait({"type": "auth", "token": "junho"})
    assert await by_header.settles() == await by_frame.settles() == ["ready"]
    assert (by_header.wire.told[0]["user_id"], by_frame.wire.told[0]["user_id"]) == ("minji", "junho")
    assert by_frame.wire.told[0]["session_id"] == "session of junho"


@pytest.mark.parametrize(("token", "code"), [("bad", 4401), ("away", 1013)])
async def test_who_cannot_be_believed_is_sent_away(token: str, code: int) -> None:
    gate = Gate()
    visit = gate.enters(token)
    assert await visit.ends() == code
    assert (visit.wire.told, len(gate.hub), gate.gateway.unauthenticated.total) == ([], 0, 0)


@pytest.mark.parametrize("first", ["x", {"type": "ping"}, BinaryFrame, Gone, "[" * 5000])
async def test_a_first_frame_that_is_no_token_is_the_last(first: object) -> None:
    gate = Gate()
    visit = gate.enters(None)
    visit.wire.says.put_nowait(first)
    assert await visit.ends() == (None if first is Gone else 4401)
    assert (visit.wire.told, gate.gateway.unauthenticated.total, gate.heard) == ([], 0, [])


async def test_silence_is_not_waited_for() -> None:
    gate = Gate(auth_seconds=0.05)
    visit = gate.enters(None)
    await asyncio.sleep(0)
    assert gate.gateway.unauthenticated.total == 1
    assert await visit.ends() == 4401
    assert gate.gateway.unauthenticated.total == 0


@pytest.mark.parametrize("by_header", [True, False])
async def test_who_came_in_time_and_was_not_looked_at_in_time_is_told_to_come_back(by_header: bool) -> None:
    gate = Gate(auth_seconds=0.05)
    visit = gate.enters("slow" if by_header else None)
    visit.wire.says.put_nowait({"type": "auth", "token": "slow"})
    assert await visit.ends() == 1013
    assert (visit.wire.told, len(gate.hub)) == ([], 0)


async def test_what_is_not_yours_is_closed_and_forgotten() -> None:
    gate = Gate()
    visit = gate.enters(conversation_id="not yours")
    assert await visit.ends() == 4404
    assert (visit.wire.told, len(gate.hub)) == ([], 0)
    assert not gate.presence.of("minji").online


async def test_an_unexpected_error_is_answered_and_the_socket_stays(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    visit = gate.enters()
    visit.wire.says.put_nowait({"type": "typing", "is_typing": True, "ref": 1})
    visit.wire.says.put_nowait({"type": "edit_message", "message_id": "m", "content": "x", "ref": 2})
    assert await visit.settles() == ["ready", "error", "error"]
    assert [(one["ref"], one["code"]) for one in visit.wire.told[1:3]] == [(1, "internal_error"), (2, "too_late")]
    assert "nobody thought of" not in str(visit.wire.told)
    assert "a frame could not be handled" in caplog.text


async def test_frames_are_dealt_with_one_after_the_other() -> None:
    gate = Gate()
    visit = gate.enters()
    for number in range(20):
        visit.wire.says.put_nowait({"type": "changes", "since": number})
    await visit.settles()
    assert [frame.since for frame in gate.heard] == list(range(20))


async def test_the_end_comes_after_what_was_said_before_it() -> None:
    gate = Gate()
    visit = gate.enters()
    await visit.settles()
    for number in range(3):
        gate.hub.deliver(news(number))
    visit.connection.end(1012)
    visit.connection.end(4409)
    assert await visit.ends() == 1012
    assert [one["number"] for one in visit.wire.told if one["type"] == "news"] == [0, 1, 2]
    assert len(gate.hub) == 0


async def test_an_end_in_the_middle_of_opening_is_an_end() -> None:
    gate = Gate()
    opening = asyncio.Event()

    async def never(_connection: object) -> None:
        opening.set()
        await asyncio.Event().wait()

    gate.gateway.open_conversation = never  # type: ignore[assignment]
    visit = gate.enters(conversation_id="talk")
    await opening.wait()
    visit.connection.end(1012)
    assert await visit.ends() == 1012
    assert len(gate.hub) == 0


async def test_a_handler_that_is_under_way_does_not_hold_up_the_end() -> None:
    gate = Gate()
    begun = asyncio.Event()

    async def slow(_connection: object, _frame: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    gate.gateway.handlers = dict.fromkeys(gate.gateway.handlers, slow)
    visit = gate.enters()
    visit.wire.says.put_nowait({"type": "sync"})
    await begun.wait()
    visit.connection.end(4401)
    assert await visit.ends() == 4401


async def test_who_cancels_from_outside_is_obeyed() -> None:
    gate = Gate()
    visit = gate.enters()
    await visit.settles()
    visit.life.cancel()
    with pytest.raises(asyncio.CancelledError):
        await visit.life
    assert len(gate.hub) == 0


async def test_who_does_not_read_is_let_go_without_a_farewell() -> None:
    gate = Gate(send_queue_bytes=65_536)
    stuck, well = gate.enters("minji"), gate.enters("junho")
    await stuck.settles()
    await well.settles()
    stuck.wire.reads.clear()
    for number in range(3000):
        gate.hub.deliver(news(number)._replace(user_ids=("minji", "junho")))
    assert await stuck.ends() is None
    assert stuck.wire.aborted
    assert well.wire.told[-1]["number"] == 2999
    assert not gate.hub.is_here("minji")


async def test_a_restart_waits_for_what_was_said() -> None:
    gate = Gate()
    gate.settled.clear()
    visit = gate.enters()
    await visit.settles()
    visit.connection.end(1012)
    await eventually(lambda: not gate.hub.is_here("minji"))
    assert visit.wire.closed is None
    visit.connection.offer(Pong(ref="the answer"))
    gate.settled.set()
    assert await visit.ends() == 1012
    assert visit.wire.told[-1]["ref"] == "the answer"


@pytest.mark.parametrize(("code", "answered"), [(1012, True), (4401, False)])
async def test_a_frame_being_handled_is_finished_by_a_restart_only(code: int, answered: bool) -> None:
    gate, begun, go_on = Gate(), asyncio.Event(), asyncio.Event()

    async def slowly(connection: Connection, frame: Typing) -> None:
        begun.set()
        await go_on.wait()
        connection.offer(Pong(ref=frame.ref))

    gate.gateway.handlers = {Typing: slowly}
    visit = gate.enters()
    await visit.settles()
    visit.wire.says.put_nowait({"type": "typing", "is_typing": True, "ref": "slow"})
    await begun.wait()
    visit.connection.end(code)
    go_on.set()
    assert await visit.ends() == code
    assert ("slow" in [one.get("ref") for one in visit.wire.told]) is answered


async def test_who_does_not_even_read_the_farewell_is_let_go() -> None:
    gate = Gate(send_seconds=0.1)
    visit = gate.enters()
    await visit.settles()
    visit.wire.reads.clear()
    visit.connection.end(1012)
    assert await visit.ends() is None
    assert visit.wire.aborted


async def test_a_socket_whose_other_end_is_gone_fails_nobody(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    visit, other = gate.enters(), gate.enters()
    await visit.settles()
    await other.settles()

    async def broken(_text: str) -> None:
        raise ConnectionResetError

    visit.connection._outbound._write = broken  # type: ignore[assignment]
    for number in range(3):
        gate.hub.deliver(news(number))
    assert [one["number"] for one in other.wire.told if one["type"] == "news"] == [0, 1, 2]
    await visit.leaves()
    assert "Traceback" not in caplog.text


async def test_renewal_takes_the_new_session_over() -> None:
    gate = Gate()
    visit = gate.enters("minji")
    visit.wire.says.put_nowait({"type": "auth", "token": "minji", "ref": 1})
    visit.wire.says.put_nowait({"type": "auth", "token": "junho", "ref": 2})
    visit.wire.says.put_nowait({"type": "auth", "token": "bad", "ref": 3})
    visit.wire.says.put_nowait({"type": "auth", "token": "away", "ref": 4})
    assert await visit.settles() == ["ready", "ready", "error", "error", "error"]
    codes = ["not_authenticated", "not_authenticated", "unavailable"]
    assert [one["code"] for one in visit.wire.told[2:5]] == codes
    assert visit.connection.user_id == "minji"


async def test_five_hundred_half_open_sockets_keep_nobody_out() -> None:
    gate = Gate()
    half_open = [gate.enters(None) for _ in range(500)]
    await eventually(lambda: gate.gateway.unauthenticated.total == 500)
    assert await gate.enters("junho").settles() == ["ready"]
    for one in half_open:
        await one.leaves()
    assert gate.gateway.unauthenticated.total == 0
