"""What chat offers to other services: a conversation and its messages, by the rights of who they ask for."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from joserfc import jwt

from doran.contracts import events
from doran.kernel import auth, clock
from tests.cast import Person
from tests.chat.conftest import Play
from tests.wire import Answer, call, refuses

ABSENT = str(uuid.uuid4())


def of_ai(play: Play, **claims: Any) -> str:
    """The token that core gives ai for its questions to chat, but for these differences."""
    mint, now = play.mint, int(time.time())
    said = {
        "iss": mint.issuer, "aud": "chat", "sub": "ai", "scope": "conversations.read",
        "jti": uuid.uuid4().hex, "iat": now, "exp": now + 300, **claims,
    }  # fmt: skip
    header = {"alg": "ES256", "kid": mint.key.kid, "typ": auth.SERVICE_TYPE}
    return jwt.encode(header, said, mint.key, algorithms=["ES256"])


async def asks(play: Play, path: str, *, acting_for: str | None, token: str = "", method: str = "GET") -> Answer:
    headers = {"Authorization": f"Bearer {token or of_ai(play)}"}
    if acting_for is not None:
        headers[auth.ACTING_FOR] = acting_for
    return await call(play.app, method, path, headers=headers)


READABLE = (
    "/api/chat/conversations/{talk}/",
    "/api/chat/conversations/{talk}/messages/",
    "/api/chat/conversations/{talk}/messages/?after_seq=1&page_size=3",
    "/api/chat/conversations/{talk}/changes/?since=2",
    "/api/chat/messages/{message}/",
)


@pytest.mark.parametrize("path", READABLE)
async def test_ai_sees_what_minji_would(play: Play, minji: Person, junho: Person, talk: str, path: str) -> None:
    said = [await junho.sends(talk, words) for words in ("오늘 어때", "저녁 먹자", "아니 내일", "취소")]
    await junho.deletes(said[3])
    await minji.deletes(said[2], scope="me")
    path = path.format(talk=talk, message=said[1]["id"])
    seen = await asks(play, path, acting_for=minji.id)
    assert (seen.status, seen.json) == (200, await minji.gets(path))
    assert "취소" not in seen.body.decode()
    assert "아니 내일" not in seen.body.decode()


@pytest.mark.parametrize("path", READABLE)
async def test_ai_sees_nothing_for_the_outsider(play: Play, minji: Person, sora: Person, talk: str, path: str) -> None:
    said = await minji.sends(talk, "우리끼리")
    there, absent = (path.format(talk=one, message=other) for one, other in ((talk, said["id"]), (ABSENT, ABSENT)))
    refused = refuses(await asks(play, there, acting_for=sora.id), 404, "not_found")
    missing = refuses(await asks(play, absent, acting_for=minji.id), 404, "not_found")
    assert missing | {"trace_id": ""} == refused | {"trace_id": ""}


@pytest.mark.parametrize("name", [None, "", "x" * 256])
async def test_ai_must_say_for_whom(play: Play, talk: str, name: str | None) -> None:
    refuses(await asks(play, f"/api/chat/conversations/{talk}/", acting_for=name), 400, "bad_request")


@pytest.mark.parametrize("path", READABLE)
async def test_ai_sees_nothing_for_somebody_who_was_switched_off(
    play: Play, minji: Person, talk: str, path: str
) -> None:
    said = await minji.sends(talk, "잠깐만")
    await play.happens(events.UserDeactivated(minji.id, False, clock.rfc3339(clock.now())))
    refuses(await asks(play, path.format(talk=talk, message=said["id"]), acting_for=minji.id), 404, "not_found")


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"aud": "core"}, 401, "not_authenticated"),
        ({"exp": 1, "iat": 0}, 401, "not_authenticated"),
        ({"scope": "users.read"}, 403, "insufficient_scope"),
    ],
)
async def test_another_token_is_refused_precisely(
    play: Play, minji: Person, talk: str, claims: dict[str, Any], status: int, code: str
) -> None:
    token = of_ai(play, **claims)
    path = f"/api/chat/conversations/{talk}/"
    refuses(await asks(play, path, acting_for=minji.id, token=token), status, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/api/chat/conversations/{talk}/"),
        ("POST", "/api/chat/conversations/{talk}/messages/send/"),
        ("PATCH", "/api/chat/messages/{talk}/"),
        ("DELETE", "/api/chat/messages/{talk}/"),
        ("GET", "/api/chat/users/me/conversations/"),
        ("POST", "/api/chat/conversations/"),
    ],
)
async def test_a_service_may_read_and_do_nothing_else(
    play: Play, minji: Person, talk: str, method: str, path: str
) -> None:
    before = play.stored()
    refuses(await asks(play, path.format(talk=talk), acting_for=minji.id, method=method), 401, "not_authenticated")
    assert play.stored() == before


async def test_a_persons_token_is_not_turned_into_somebody_elses(
    play: Play, sora: Person, minji: Person, talk: str
) -> None:
    answer = await asks(play, f"/api/chat/conversations/{talk}/", acting_for=minji.id, token=sora.token)
    refuses(answer, 404, "not_found")


# -- one message, for its people ---------------------------------------------------------------------


async def test_a_message_is_shown_as_it_stands(minji: Person, junho: Person, talk: str) -> None:
    said = await minji.sends(talk, "일곱 시")
    edited = (await minji.edits(said, "여덟 시")).json
    assert await junho.gets(f"/api/chat/messages/{said['id']}/") == edited


async def test_a_message_i_hid_is_a_tombstone_for_me_alone(minji: Person, junho: Person, talk: str) -> None:
    said = await junho.sends(talk, "부끄러운 말")
    await minji.deletes(said, scope="me")
    mine, theirs = [await one.gets(f"/api/chat/messages/{said['id']}/") for one in (minji, junho)]
    assert (mine["is_deleted"], mine["content"]) == (True, "")
    assert (theirs["is_deleted"], theirs["content"]) == (False, "부끄러운 말")


@pytest.mark.parametrize("message_id", [ABSENT, "nonsense"])
async def test_the_outsider_finds_no_message(minji: Person, sora: Person, talk: str, message_id: str) -> None:
    said = await minji.sends(talk, "비밀")
    theirs = refuses(await sora.asks("GET", f"/api/chat/messages/{said['id']}/"), 404, "not_found")
    absent = refuses(await sora.asks("GET", f"/api/chat/messages/{message_id}/"), 404, "not_found")
    assert theirs | {"trace_id": ""} == absent | {"trace_id": ""}
