"""What is not yours looks exactly like what does not exist, at every call and in every frame."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from doran.chat import http
from tests.cast import Person
from tests.chat.conftest import Play
from tests.wire import Answer, Socket, call, refuses

CALLS: list[tuple[str, str, Any]] = [
    ("GET", "conversations/{talk}/", None),
    ("PATCH", "conversations/{talk}/", {"archived": True}),
    ("GET", "conversations/{talk}/messages/", None),
    ("GET", "conversations/{talk}/messages/?before_seq=2", None),
    ("POST", "conversations/{talk}/messages/send/", {"content": "나도 끼워 줘"}),
    ("POST", "conversations/{talk}/messages/send/", {"content": "첫마디", "client_message_id": "m-1"}),
    ("GET", "conversations/{talk}/changes/?since=0", None),
    ("GET", "conversations/{talk}/changes/?since=99", None),
    ("GET", "users/{person}/conversations/", None),
    ("PATCH", "messages/{message}/", {"content": "바꿔치기"}),
    ("DELETE", "messages/{message}/", None),
    ("DELETE", "messages/{message}/?for=me", None),
    ("POST", "messages/{message}/read/", {}),
    ("POST", "messages/{message}/delivered/", {}),
]
FRAMES: list[dict[str, Any]] = [
    {"type": "chat_message", "content": "나도 끼워 줘", "conversation_id": "{talk}"},
    {"type": "chat_message", "content": "첫마디", "client_message_id": "m-1", "conversation_id": "{talk}"},
    {"type": "mark_as_read", "message_id": "{message}"},
    {"type": "mark_as_read", "up_to_seq": 1, "conversation_id": "{talk}"},
    {"type": "mark_as_read", "up_to_seq": 99, "conversation_id": "{talk}"},
    {"type": "mark_as_delivered", "message_id": "{message}", "conversation_id": "{talk}"},
    {"type": "typing", "is_typing": True, "conversation_id": "{talk}"},
    {"type": "edit_message", "message_id": "{message}", "content": "바꿔치기"},
    {"type": "delete_message", "message_id": "{message}"},
    {"type": "delete_message", "message_id": "{message}", "for": "me"},
    {"type": "changes", "since": 0, "conversation_id": "{talk}"},
    {"type": "changes", "since": 99, "conversation_id": "{talk}"},
]


def filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def without_trace(answer: Answer) -> tuple[int, dict[str, str], bytes]:
    """Everything the answer shows but its trace id."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-trace-id"}
    return answer.status, headers, re.sub(rb'"trace_id":"[0-9a-f]{32}"', b"", answer.body)


@pytest.fixture
async def names(minji: Person, junho: Person, talk: str) -> list[dict[str, str]]:
    """Ids that exist but are not 소라's, that do not exist, and that cannot be ids."""
    sent = await minji.sends(talk, "첫마디", client_message_id="m-1")
    return [
        {"talk": talk, "message": sent["id"], "person": minji.id},
        {"talk": str(uuid.uuid4()), "message": str(uuid.uuid4()), "person": str(uuid.uuid4())},
        {"talk": sent["id"], "message": talk, "person": "nobody"},
        {"talk": "x", "message": talk.upper(), "person": "x"},
        {"talk": talk.replace("-", ""), "message": f"{{{sent['id']}}}", "person": "안녕"},
    ]


def test_every_path_is_tried() -> None:
    """A new route must be thought of here."""
    tried = {re.sub(r"\{\w+\}", "*", path.partition("?")[0]) for _, path, _ in CALLS}
    offered = {re.sub(r"<id:\w+>", "*", line.path.removeprefix("api/chat/")) for line in http.ROUTES}
    assert offered - tried == {"conversations/", "sync/", "screens/"}  # `screens/` is for services: test_screens


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_a_strangers_call_is_answered_as_if_nothing_were_there(
    play: Play, sora: Person, names: list[dict[str, str]], method: str, path: str, body: Any
) -> None:
    before = play.stored()
    answers = [await sora.asks(method, f"/api/chat/{filled(path, one)}", body) for one in names]
    refuses(answers[0], 404, "not_found")
    assert {without_trace(one)[2] for one in answers} == {without_trace(answers[0])[2]}
    assert [without_trace(one)[:2] for one in answers] == [without_trace(answers[0])[:2]] * len(answers)
    assert play.stored() == before


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: f"{frame['type']}-{len(frame)}")
async def test_a_strangers_frame_is_answered_as_if_nothing_were_there(
    play: Play, sora: Person, junho: Person, names: list[dict[str, str]], frame: dict[str, Any]
) -> None:
    his, outside = await junho.opens(), await sora.opens()
    before = play.stored()
    heard = []
    for one in names:
        said = {key: filled(value, one) if isinstance(value, str) else value for key, value in frame.items()}
        heard.append(await answered(outside, said))
    assert heard == [heard[0]] * len(names)
    assert heard[0]["code"] == "not_found"
    assert play.stored() == before
    assert await his.hears_nothing_before_pong() == []


async def answered(socket: Socket, frame: dict[str, Any]) -> dict[str, Any]:
    socket.says(ref="r", **frame)
    return await socket.hears("error")


async def test_nothing_of_it_reaches_the_outsider(
    minji: Person, junho: Person, sora: Person, names: list[dict[str, str]]
) -> None:
    talk = names[0]["talk"]
    outside = await sora.opens()
    outside.says(type="presence", user_ids=[minji.id, junho.id])
    hers = await minji.opens(talk)
    hers.says(type="typing", is_typing=True)
    sent = await minji.sends(talk, "우리끼리")
    await junho.marks(sent)
    await minji.edits(sent, "우리끼리만")
    await minji.deletes(sent)
    assert await outside.hears_nothing_before_pong() == []
    assert (await sora.gets("/api/chat/users/me/conversations/"))["count"] == 0
    assert (await sora.syncs(known={talk: 1}, epoch=None))["conversations"] == []


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic x", "Bearer x.y.z", "bearer nonsense", "Bearer a b"],
)
async def test_every_route_refuses_the_anonymous(play: Play, names: list[dict[str, str]], header: str | None) -> None:
    before = play.stored()
    calls = [*CALLS, ("POST", "conversations/", {"participant_id": "x"}), ("POST", "sync/", {})]
    headers = {} if header is None else {"Authorization": header}
    for method, path, body in calls:
        answer = await call(play.app, method, f"/api/chat/{filled(path, names[0])}", body, headers=headers)
        refuses(answer, 401, "not_authenticated")
    assert play.stored() == before
