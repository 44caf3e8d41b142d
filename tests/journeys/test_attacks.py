"""Bad input over the whole house: it gets a precise refusal, changes nothing, and learns nothing."""

from __future__ import annotations

import asyncio
import base64
import hmac
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from doran.core import keys
from doran.server.wiring import House
from tests import stores
from tests.cast import Person
from tests.journeys.town import OPERATOR_TOKEN, PASSWORD, arriving, newcomer, town
from tests.stage import eventually
from tests.wire import Answer, Closed, Socket, call, refuses

OPEN_TO_ALL = {
    ("POST", "/api/core/users/"), ("POST", "/api/core/tokens/"), ("POST", "/api/core/tokens/refresh/"),
    ("POST", "/api/core/tokens/revoke/"), ("POST", "/api/core/service-tokens/"), ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/openid-configuration"),
}  # fmt: skip


@pytest.fixture
async def house(request: pytest.FixtureRequest) -> AsyncIterator[House]:
    marker = request.node.get_closest_marker("settings")
    async with town(operator_token=OPERATOR_TOKEN, **(marker.kwargs if marker else {})) as house:
        yield house


minji, junho, sora = map(arriving, ("minji", "junho", "sora"))


@pytest.fixture
def operator(house: House) -> Person:
    """Nobody of the town: whoever holds the token of the settings."""
    return Person(house.app, "the operator", "", OPERATOR_TOKEN)


@pytest.fixture
async def talk(minji: Person, junho: Person) -> str:
    return await minji.starts(junho)


async def operations(app: Any) -> dict[tuple[str, str], Any]:
    """Every method and path the house says it has, each with what it says of it."""
    document = (await call(app, "GET", "/api/schema/")).json
    verbs = ("get", "post", "put", "patch", "delete")
    return {
        (verb.upper(), path): found[verb]
        for path, found in document["paths"].items()
        for verb in verbs
        if verb in found
    }


def is_for_the_operator(operation: Any) -> bool:
    return {"operator": []} in operation.get("security", [])


def somewhere(path: str) -> str:
    """The path with some id in each of its places."""
    return "/".join(str(uuid.uuid4()) if part.startswith("{") else part for part in path.split("/"))


async def stored(house: House) -> dict[str, list[Any]]:
    """Every row of every service, once all events have arrived."""
    for relay in house.relays:
        await asyncio.to_thread(relay.drain)
    return await asyncio.to_thread(_stored, house)


def _stored(house: House) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for service in house.config.services:
        where = getattr(house.config, f"{service}_database")
        for table in stores.tables(where):
            if not table.endswith(("_outbox", "_inbox")):
                found[table] = stores.say(where, f"SELECT * FROM {table} ORDER BY 1")
    return found


def says_nothing_inward(answer: Answer) -> None:
    """A refusal shows nothing of what is behind the border."""
    for word in (b"Traceback", b"/src/", b"sqlite", b"django", b"SELECT", b"doran."):
        assert word not in answer.body, answer.body


# -- who may come in -----------------------------------------------------------------------------------


async def test_every_route_refuses_the_anonymous(house: House) -> None:
    offered = await operations(house.app)
    assert len(offered) > 25
    refused = set()
    for method, path in offered:
        answer = await call(house.app, method, somewhere(path), None if method in ("GET", "DELETE") else {})
        says_nothing_inward(answer)
        if answer.status == 401:
            refuses(answer, 401, answer.code)
            refused.add((method, path))
    assert offered.keys() - refused == OPEN_TO_ALL


async def test_nobodys_own_token_opens_the_operators_calls(house: House, minji: Person, operator: Person) -> None:
    before = await stored(house)
    offered = [named for named, said in (await operations(house.app)).items() if is_for_the_operator(said)]
    assert len(offered) > 5
    for method, path in offered:
        refuses(await minji.asks(method, somewhere(path), {}), 401, "not_authenticated")
    refuses(await operator.asks("GET", "/api/core/users/me/"), 401, "not_authenticated")
    assert await stored(house) == before


def part(data: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def keyed(secret: bytes, header: str, claims: str) -> str:
    """A token with an HMAC where a signature should be."""
    mark = hmac.digest(secret, f"{header}.{claims}".encode(), "sha256")
    return f"{header}.{claims}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


async def forged(house: House, minji: Person, junho: Person) -> dict[str, str]:
    """Tokens nobody may believe, by what is wrong with them. All but their fault is right, also the signature."""
    header, claims, signature = minji.token.split(".")
    published = json.loads(await asyncio.to_thread(keys.published))["keys"][0]
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    head = json.loads(base64.urlsafe_b64decode(header + "=="))
    mine = ECKey.generate_key("P-256", {"kid": published["kid"]})
    secret = ECKey.import_key(published).as_pem(private=False)

    ours = (await asyncio.to_thread(keys.signer)).key

    def signed(key: ECKey = ours, *, head: dict[str, Any] = head, **changed: Any) -> str:
        made = {name: value for name, value in {**said, **changed}.items() if value is not None}
        return jwt.encode(head, made, key, algorithms=["ES256"])

    now = int(time.time())
    real = Person(house.app, "민지", minji.id, signed(jti="new"))
    await real.gets("/api/core/users/me/")
    return {
        "no signature": f"{part({**head, 'alg': 'none'})}.{claims}.",
        "alg none, signature kept": f"{part({**head, 'alg': 'none'})}.{claims}.{signature}",
        "our public key as a secret": keyed(secret, part({**head, "alg": "HS256"}), claims),
        "another key under our kid": signed(mine),
        "a kid of nobody": signed(head={**head, "kid": "nobody"}),
        "no kid": signed(head={name: value for name, value in head.items() if name != "kid"}),
        "a key of its own inside": signed(mine, head={**head, "jwk": mine.as_dict(private=False)}),
        "keys from elsewhere": signed(mine, head={**head, "jku": "https://evil.example.com/keys"}),
        "claims of another": f"{header}.{junho.token.split('.')[1]}.{signature}",
        "longer life": f"{header}.{part({**said, 'exp': now + 9_999_999})}.{signature}",
        "another audience": signed(aud="elsewhere"), "another issuer": signed(iss="https://evil.example.com"),
        "expired": signed(iat=now - 700, exp=now - 100), "not yet": signed(nbf=now + 1000, iat=now + 1000, exp=now + 1300),
        "an id token": signed(head={**head, "typ": "JWT"}), "no subject": signed(sub=None), "no session": signed(sid=None),
        "too long a life": signed(exp=now + 3600),
        "not three parts": "a.b", "not base64": "!!!.???.***", "endless": "a" * 9000, "deep": part({"a": 1}) * 3,
        "a cut signature": minji.token[:-4], "json": '{"sub":"minji"}', "nothing of a token": "null",
    }  # fmt: skip


async def test_no_forged_token_is_believed_anywhere(house: House, minji: Person, junho: Person, talk: str) -> None:
    before = await stored(house)
    for what, token in (await forged(house, minji, junho)).items():
        for path in ("/api/core/users/me/", f"/api/chat/conversations/{talk}/", f"/api/ai/jobs/{uuid.uuid4()}/"):
            answer = await call(house.app, "GET", path, headers={"Authorization": f"Bearer {token}"})
            assert (what, answer.status, answer.code) == (what, 401, "not_authenticated")
            says_nothing_inward(answer)
        socket = await Socket(house.app, f"/ws/chat/{talk}/", headers={"Authorization": f"Bearer {token}"}).accepted()
        assert (what, await socket.is_closed()) == (what, 4401)
        by_frame = await Socket(house.app, "/ws/").accepted()
        by_frame.says(type="auth", token=token)
        assert (what, await by_frame.is_closed()) == (what, 4401)
    assert await stored(house) == before
    await minji.sees(talk)


async def test_a_token_in_the_address_is_no_token(house: House, minji: Person) -> None:
    for name in ("token", "access_token", "authorization"):
        answer = await call(house.app, "GET", f"/api/core/users/me/?{name}={minji.token}")
        refuses(answer, 401, "not_authenticated")


# -- bodies --------------------------------------------------------------------------------------------


async def bodies(person: Person, operator: Person, talk: str) -> list[tuple[Person, str, str]]:
    """Every call that takes a body, and who may make it, with ids that exist where there are some."""
    message = await person.sends(talk, "첫마디")
    known = {"{conversation_id}": talk, "{message_id}": message["id"], "{user_id}": "me"}
    found = []
    for (method, path), said in (await operations(person.app)).items():
        if "requestBody" in said:
            for name, value in known.items():
                path = path.replace(name, value)
            found.append((operator if is_for_the_operator(said) else person, method, path))
    return found


BROKEN: dict[str, tuple[bytes, set[int]]] = {
    "not JSON": (b"hello", {400}),
    "half a body": (b'{"content": "x', {400}),
    "two bodies": (b"{}{}", {400}),
    "deep": (b"[" * 20_000 + b"]" * 20_000, {400, 422}),
    "deep inside": (b'{"content":' * 5000 + b"1" + b"}" * 5000, {400, 422}),
    "a lone surrogate": (rb'{"content":"\ud800","username":"\ud800"}', {400, 422}),
    "not UTF-8": (b'{"content":"\xff\xfe"}', {400, 422}),
    "UTF-16": ('{"content":"x"}'.encode("utf-16"), {400, 422}), "a list": (b"[]", {422}), "a word": (b'"x"', {422}),
    "null": (b"null", {422}), "not a number": (b'{"content":NaN}', {400}), "endless number": (b"9" * 5000, {400, 422}),
    "unknown fields": (b'{"is_admin":true,"__class__":"x","$where":"1"}', {422}),
    "an HTML form": (b"content=x&username=y", {400}),
}  # fmt: skip


async def test_a_broken_body_is_refused_everywhere(house: House, minji: Person, operator: Person, talk: str) -> None:
    paths = await bodies(minji, operator, talk)
    assert len(paths) > 12
    before = await stored(house)
    for what, (raw, allowed) in BROKEN.items():
        for one, method, path in paths:
            answer = await one.asks(method, path, raw=raw)
            assert answer.status in allowed, (what, method, path, answer.body)
            assert answer.headers["content-type"] == "application/problem+json"
            says_nothing_inward(answer)
    assert await stored(house) == before


async def test_two_megabytes_are_too_many(house: House, minji: Person, operator: Person, talk: str) -> None:
    paths = await bodies(minji, operator, talk)
    before = await stored(house)
    for one, method, path in paths:
        answer = await one.asks(method, path, raw=json.dumps({"content": "x" * 2_000_000}).encode())
        refuses(answer, 413, "payload_too_large")
    assert await stored(house) == before


async def test_only_json_is_understood(house: House, minji: Person, operator: Person, talk: str) -> None:
    paths = await bodies(minji, operator, talk)
    before = await stored(house)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
    ):
        for one, method, path in paths:
            answer = await one.asks(method, path, raw=b'{"content":"x"}', headers={"Content-Type": kind})
            refuses(answer, 415, "unsupported_media_type")
    assert await stored(house) == before


# -- addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/", "/api/chat/", "/api/chat/nothing/", "/api/chat/conversations/../users/me/conversations/",
        "/api/chat/conversations/\x00/", "/api/chat/conversations/%00/", "/api/chat/conversations//", "/admin/", "/.env",
        "/api/chat/conversations/" + "x" * 5000 + "/", "/static/../../etc/passwd", "/..%2f..%2fetc/passwd", "//evil.com/",
        "/api/core/users/\u202e/", "/api/core/users/' OR 1=1 --/", "/api/core/users/{user_id}/", "/api/core/users/%/",
        "/assets/../index.html", "/assets/%2e%2e/%2e%2e/secret_key",
    ],
)  # fmt: skip
async def test_there_is_nothing_where_nothing_is(house: House, minji: Person, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = await minji.asks(method, path)
        assert answer.status in (400, 404, 405), (method, answer.body)
        says_nothing_inward(answer)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "GETT", "PUT", "POST"])
async def test_methods_nobody_offers_are_refused(minji: Person, method: str) -> None:
    answer = await minji.asks(method, "/api/core/users/me/")
    refuses(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize("host", ["evil.example.com", "", "localhost.evil.example.com", "[", "a b"])
async def test_other_names_for_this_house_are_not_answered(house: House, minji: Person, host: str) -> None:
    before = await stored(house)
    mine = {"Authorization": f"Bearer {minji.token}"}
    for path in ("/api/core/users/me/", "/", "/health", "/health/live/x", "/metrics/x", "//health/live"):
        answer = await call(house.app, "GET", path, headers=mine, host=host)
        assert answer.status == 400
        assert minji.id not in answer.body.decode()
    assert await stored(house) == before


@pytest.mark.parametrize("host", ["evil.example.com", "", "localhost.evil.example.com", "[", "a b"])
async def test_probes_are_answered_under_any_name_and_numbers_only_under_ours(
    house: House, minji: Person, host: str
) -> None:
    before = await stored(house)
    mine = {"Authorization": f"Bearer {minji.token}"}
    for path, headers in itertools.product(("/health/live", "/health/ready", "/metrics"), ({}, mine)):
        own = await call(house.app, "GET", path, headers=headers)
        answer = await call(house.app, "GET", path, headers=headers, host=host)
        assert (own.status, answer.status) == (200, 404 if path == "/metrics" else 200)
        assert minji.id not in answer.body.decode()
    assert await stored(house) == before


async def test_pages_of_others_may_not_read_answers(minji: Person) -> None:
    for origin in ("https://evil.example.com", "null", "http://["):
        answer = await minji.asks("GET", "/api/core/users/me/", headers={"Origin": origin})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = await call(minji.app, "OPTIONS", "/api/chat/sync/", headers=preflight)
        assert not [name for name in answer.headers if name.startswith("access-control")]


# -- people --------------------------------------------------------------------------------------------


async def test_what_is_anothers_looks_like_nothing(house: House, minji: Person, sora: Person, talk: str) -> None:
    hers = (await minji.gets("/api/core/sessions/"))["results"][0]["id"]
    before = await stored(house)
    for path, nothing in ((f"/api/core/sessions/{hers}/", f"/api/core/sessions/{uuid.uuid4()}/"),
                          ("/api/core/sessions/x/", f"/api/core/sessions/{uuid.uuid4()}/")):  # fmt: skip
        one, other = await sora.asks("DELETE", path), await sora.asks("DELETE", nothing)
        assert {**one.json, "trace_id": ""} == {**other.json, "trace_id": ""}
        refuses(one, 404, "not_found")
    assert await stored(house) == before
    public = await sora.gets(f"/api/core/users/{minji.id}/")
    assert set(public) <= {"id", "username", "profile", "created_at", "kind"}


async def test_who_erases_themselves_is_out_at_once(house: House, minji: Person, junho: Person, talk: str) -> None:
    await minji.sends(talk, "곧 사라질 사람")
    hers, his = await minji.opens(talk), await junho.opens()
    answer = await minji.asks("DELETE", "/api/core/users/me/", {"password": PASSWORD})
    assert answer.status == 204
    assert await hers.is_closed() == 4401
    for path in ("/api/core/users/me/", f"/api/chat/conversations/{talk}/"):
        refuses(await minji.asks("GET", path), 401, "not_authenticated")
    assert (await his.hears("conversation_updated"))["conversation"]["is_active"] is False
    refuses(await junho.tries_to_send(talk), 403, "recipient_unavailable")
    refuses(await junho.asks("GET", f"/api/core/users/{minji.id}/"), 404, "user_erased")
    again = await junho.asks("POST", "/api/chat/conversations/", {"participant_id": minji.id})
    refuses(again, 404, "recipient_unavailable")


async def test_an_ended_session_closes_its_sockets_and_nobody_elses(
    house: House, minji: Person, junho: Person, talk: str
) -> None:
    phone = (await call(house.app, "POST", "/api/core/tokens/", {"username": "minji", "password": PASSWORD})).json
    other = Person(house.app, "민지의 전화", minji.id, phone["access_token"])
    on_phone, at_desk, his = await other.opens(talk), await minji.opens(talk), await junho.opens(talk)
    assert (await minji.asks("DELETE", f"/api/core/sessions/{phone['session_id']}/")).status == 204
    assert await on_phone.is_closed() == 4401
    refuses(await other.asks("GET", f"/api/chat/conversations/{talk}/"), 401, "not_authenticated")
    for socket in (at_desk, his):
        socket.says(type="ping")
        await socket.hears("pong")


async def test_a_block_stops_both_and_tells_neither(house: House, minji: Person, junho: Person, talk: str) -> None:
    his = await junho.opens()
    assert (await minji.asks("PUT", f"/api/core/blocks/{junho.id}/")).status == 204
    assert (await his.hears("conversation_updated"))["conversation"]["is_active"] is False
    refusals = [refuses(await one.tries_to_send(talk), 403, "recipient_unavailable") for one in (minji, junho)]
    assert {**refusals[0], "trace_id": ""} == {**refusals[1], "trace_id": ""}
    assert (await minji.asks("DELETE", f"/api/core/blocks/{junho.id}/")).status == 204
    assert (await his.hears("conversation_updated"))["conversation"]["is_active"] is True
    await junho.sends(talk, "다시 왔다")


async def test_somebody_who_signed_up_a_moment_ago_can_be_written_to(house: House, minji: Person) -> None:
    """Ahead of the event that says they exist."""
    for number in range(5):
        await minji.starts(await newcomer(house.app, f"new{number}"))


@pytest.mark.settings(failed_logins_per_minute=3)
async def test_guessing_a_password_is_slow(house: House, minji: Person) -> None:
    guesses = [
        await call(house.app, "POST", "/api/core/tokens/", {"username": "minji", "password": f"wrong wrong {number}"})
        for number in range(6)
    ]
    assert [one.status for one in guesses[:3]] == [401] * 3
    assert guesses[-1].status == 429
    refuses(guesses[-1], 429, "too_many_requests")


async def test_whether_a_name_exists_cannot_be_told_from_a_failed_log_in(house: House, minji: Person) -> None:
    one, other = [
        await call(house.app, "POST", "/api/core/tokens/", {"username": name, "password": "wrong wrong wrong"})
        for name in ("minji", "nobody")
    ]
    refuses(one, 401, "invalid_credentials")
    assert {**one.json, "trace_id": ""} == {**other.json, "trace_id": ""}


async def test_two_hundred_who_create_one_pair_at_once_make_one(house: House, minji: Person, junho: Person) -> None:
    talks = await asyncio.gather(*(minji.starts(junho) if number % 2 else junho.starts(minji) for number in range(200)))
    assert len(set(talks)) == 1
    assert len((await stored(house))["chat_conversation"]) == 1


async def test_while_the_house_drains_nobody_new_comes_in(house: House, minji: Person, talk: str) -> None:
    hers = await minji.opens(talk)
    await house.drain()
    assert await hers.is_closed() == 1012
    late = await Socket(house.app, "/ws/", headers={"Authorization": f"Bearer {minji.token}"}).accepted()
    with pytest.raises(Closed, match="1012"):
        await late.hears()
    assert (await call(house.app, "GET", "/health/ready")).status == 503
    await eventually(lambda: house.is_draining)
