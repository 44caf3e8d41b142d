"""Frames nobody thought of: the socket answers or refuses each, breaks on none, and stays correct."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cast import Mint, Person
from tests.chat.conftest import Play
from tests.stage import awake, ground
from tests.wire import Closed, Socket

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
IDS = ("{talk}", "{message}", "{unknown}", "x", "")
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from([
        "auth", "chat_message", "mark_as_read", "mark_as_delivered", "typing", "edit_message", "delete_message", "changes",
        "sync", "presence", "ping", "ack", "error", "nonsense",
    ]),
    "ref": st.one_of(st.none(), st.text(max_size=5), st.integers()),
    "token": st.text(max_size=20),
    "content": st.one_of(st.text(max_size=30), st.sampled_from(["안녕", "", "\u3164", "x" * 4001])),
    "message_type": st.sampled_from(["text", "image", "file", "banana"]),
    "client_message_id": st.sampled_from(["m-1", "m-2", "", "é", "x" * 65]),
    "conversation_id": st.sampled_from(IDS),
    "message_id": st.sampled_from(IDS),
    "reply_to": st.sampled_from(IDS),
    "up_to_seq": st.one_of(st.integers(-2, 5), st.integers()),
    "since": st.one_of(st.integers(-2, 5), st.integers()),
    "is_typing": st.booleans(),
    "for": st.sampled_from(["everyone", "me", "nobody"]),
    "epoch": st.one_of(st.none(), st.text(max_size=5)),
    "known": st.dictionaries(st.sampled_from(IDS), st.integers(), max_size=3),
    "state_since": st.integers(),
    "user_ids": st.lists(st.sampled_from([*IDS, "{junho}"]), max_size=4),
    "user_id": st.sampled_from(IDS),
    "sender_id": st.sampled_from(IDS),
}  # fmt: skip
NEEDED = {
    "auth": ("token",), "chat_message": ("content",), "mark_as_read": ("up_to_seq",), "mark_as_delivered": ("message_id",),
    "typing": ("is_typing",), "edit_message": ("message_id", "content"), "delete_message": ("message_id",),
    "changes": ("since",), "presence": ("user_ids",),
}  # fmt: skip
OPTIONAL = {
    "chat_message": ("client_message_id", "reply_to", "message_type", "conversation_id", "sender_id"),
    "mark_as_read": ("message_id", "conversation_id"), "mark_as_delivered": ("up_to_seq", "conversation_id", "user_id"),
    "typing": ("conversation_id",), "delete_message": ("for",), "changes": ("conversation_id",),
    "sync": ("epoch", "known", "state_since"),
}  # fmt: skip


@st.composite
def frames(draw: st.DrawFn) -> Any:
    """A frame as a client could say it, and often with something wrong in one place."""
    kind = draw(FIELDS["type"])
    optional = OPTIONAL.get(kind, ())
    names = [
        *NEEDED.get(kind, ()),
        *(draw(st.lists(st.sampled_from(optional), unique=True)) if optional else ()),
        "ref",
    ]
    frame = {"type": kind, **{name: draw(FIELDS[name]) for name in names}}
    fault = draw(st.sampled_from(["none", "none", "none", "drop", "swap", "add", "other"]))
    name = draw(st.sampled_from(sorted(frame)))
    if fault == "drop":
        del frame[name]
    elif fault == "swap":
        frame[name] = draw(ANY)
    elif fault == "add":
        frame[draw(st.text(max_size=6))] = draw(ANY)
    return draw(ANY) if fault == "other" else frame


@QUICK
@given(said=st.lists(frames(), min_size=1, max_size=8), everything=st.booleans())
def test_no_frame_breaks_a_socket(said: list[Any], everything: bool) -> None:
    asyncio.run(attack([json.dumps(frame) for frame in said], everything=everything))


@QUICK
@given(said=st.lists(st.text(max_size=40), min_size=1, max_size=4), everything=st.booleans())
def test_no_text_breaks_a_socket(said: list[str], everything: bool) -> None:
    asyncio.run(attack([text.encode("utf-8", "ignore").decode() for text in said], everything=everything))


async def attack(said: list[str], *, everything: bool) -> None:
    """Say it all on 민지's socket; then everything still has to be right."""
    mint = Mint()
    async with ground(services=("chat",)) as config, awake(config, own_keys=mint.published) as house:
        play = Play(house, mint)
        minji, junho = await play.person("민지"), await play.person("준호")
        talk = await minji.starts(junho)
        first = await minji.sends(talk, "첫마디", client_message_id="m-1")
        names = {"talk": talk, "message": first["id"], "unknown": str(uuid.uuid4()), "junho": junho.id}
        his = await junho.opens(talk)
        socket = await minji.opens(None if everything else talk)
        for text in said:
            for name, value in names.items():
                text = text.replace(f"{{{name}}}", value)
            socket.says_text(text)
        await is_well(socket)
        await is_right(play, minji, junho, talk, his)


async def is_well(socket: Socket) -> None:
    """Every answer is one of ours, none is an accident, and only the third bad frame closes."""
    socket.says(type="ping", ref="that was all")
    heard = [frame async for frame in until(socket, "that was all")]
    assert not [frame for frame in heard if frame.get("code") == "internal_error"]
    strikes = sum(frame.get("code") == "invalid_frame" for frame in heard)
    assert (strikes, socket.close_code) == (3, 4400) or (strikes < 3 and socket.close_code is None)


async def until(socket: Socket, ref: str) -> AsyncIterator[dict[str, Any]]:
    """What is said before the answer to `ref`, or before the socket closes."""
    with suppress(Closed):
        while (frame := await socket.hears()).get("ref") != ref:
            yield frame


async def is_right(play: Play, minji: Person, junho: Person, talk: str, his: Socket) -> None:
    """One dense order; both see the same; what was stored is what was shown."""
    page = (await minji.gets(f"/api/chat/conversations/{talk}/messages/?page_size=100"))["results"]
    assert [one["seq"] for one in page] == list(range(len(page), 0, -1))
    his_page = (await junho.gets(f"/api/chat/conversations/{talk}/messages/?page_size=100"))["results"]
    assert [one["id"] for one in his_page] == [one["id"] for one in page]
    assert all(one["sender_id"] == minji.id for one in page)
    heard = [frame["message"] for frame in await his.hears_nothing_before_pong() if frame["type"] == "chat_message"]
    assert [one["seq"] for one in heard] == list(range(2, len(page) + 1))
    (conversation,) = play.rows("conversation")
    assert conversation["last_seq"] == len(page)
    for member in play.rows("member"):
        assert 0 <= member["last_read_seq"] <= member["last_delivered_seq"] <= len(page)
