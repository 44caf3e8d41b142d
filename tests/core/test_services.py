"""Services prove themselves to core, get what the table grants them, and may do that and nothing else."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from doran.core import keys
from doran.kernel import auth
from doran.kernel.auth import OwnIssuer, Verifier
from doran.kernel.config import BadSetting, load
from doran.kernel.jwks import KeyRing
from doran.kernel.siblings import fingerprint
from tests.clock import Hands
from tests.core.conftest import Settings
from tests.core.people import JSON, Person

CHATS, NEXT, AIS = "chat's secret " * 4, "chat's next secret " * 3, "ai's secret " * 4


@pytest.fixture(autouse=True)
def _known(core: None, settings: Settings) -> None:
    pairs = (("chat", CHATS), ("chat", NEXT), ("ai", AIS))
    settings(service_secrets=tuple((name, fingerprint(secret)) for name, secret in pairs))


def asks(service: str, secret: str, audience: str) -> HttpResponse:
    body = {"service": service, "secret": secret, "audience": audience}
    answer: Any = Client().post("/api/core/service-tokens/", json.dumps(body), content_type=JSON)
    return answer  # type: ignore[no-any-return]


def token(service: str = "chat", secret: str = CHATS, audience: str = "core") -> str:
    answer = asks(service, secret, audience)
    assert answer.status_code == 200, answer.content
    return str(json.loads(answer.content)["access_token"])


def gets(path: str, bearer: str, **headers: str) -> tuple[int, Any]:
    answer = Client().get(f"/api/core/{path}", HTTP_AUTHORIZATION=f"Bearer {bearer}", **headers)
    return answer.status_code, json.loads(answer.content)


@pytest.mark.parametrize("secret", [CHATS, NEXT])
def test_chat_gets_a_token_for_core_with_each_of_its_secrets(secret: str) -> None:
    answer = json.loads(asks("chat", secret, "core").content)
    assert {**answer, "access_token": ""} == {
        "access_token": "", "token_type": "Bearer", "expires_in": 300, "scope": "users.read",
    }  # fmt: skip
    header, claims = (
        json.loads(base64.urlsafe_b64decode(part + "==")) for part in answer["access_token"].split(".")[:2]
    )
    assert (header["typ"], header["alg"]) == (auth.SERVICE_TYPE, "ES256")
    assert header["kid"] in keys.published().decode()
    assert (claims["sub"], claims["aud"], claims["scope"]) == ("chat", "core", "users.read")
    assert claims["exp"] - claims["iat"] == 300


@pytest.mark.parametrize(
    ("service", "secret"),
    [
        ("chat", AIS),
        ("ai", CHATS),
        ("core", CHATS),
        ("nobody", CHATS),
        ("chat", ""),
        ("chat", fingerprint(CHATS)),
        ("", ""),
    ],
)
def test_a_secret_that_is_not_its_own_proves_nothing(
    service: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = asks(service, secret, "core")
    assert (answer.status_code, json.loads(answer.content)["code"]) == (401, "invalid_credentials")
    assert not secret or secret not in caplog.text


@pytest.mark.parametrize(
    ("service", "secret", "audience"), [("chat", CHATS, "ai"), ("chat", CHATS, "chat"), ("ai", AIS, "x")]
)
def test_who_has_nothing_to_ask_there_gets_nothing(service: str, secret: str, audience: str) -> None:
    answer = asks(service, secret, audience)
    assert (answer.status_code, json.loads(answer.content)["code"]) == (403, "insufficient_scope")


def test_without_secrets_in_the_settings_no_service_is_believed(settings: Settings) -> None:
    settings(service_secrets=())
    assert asks("chat", CHATS, "core").status_code == 401


def test_chat_sees_a_person_as_others_do(minji: Person, junho: Person) -> None:
    minji.joins()
    status, seen = gets(f"users/{minji.id}/", token())
    assert (status, seen) == (200, junho.joins().get(f"users/{minji.id}/").json())
    assert gets(f"users/{minji.id[:-1]}0/", token())[0] in (200, 404)
    assert gets("users/0197a8a0-0000-7000-8000-000000000000/", token())[0] == 404


@pytest.mark.parametrize("path", ["users/me/", "users/?username=minji", "sessions/", "blocks/"])
def test_a_service_is_nobody_where_people_are_asked_for(minji: Person, path: str) -> None:
    minji.joins()
    for more in ({}, {"HTTP_DORAN_ACTING_FOR": minji.id}):
        status, problem = gets(path, token(), **more)
        assert (status, problem["code"]) == (401, "not_authenticated")


def test_a_token_for_chat_means_nothing_to_core(minji: Person) -> None:
    minji.joins()
    status, problem = gets(f"users/{minji.id}/", token("ai", AIS, "chat"))
    assert (status, problem["code"]) == (401, "not_authenticated")


def test_a_token_ends_in_time(minji: Person, hands: Hands) -> None:
    minji.joins()
    old = token()
    hands.move(seconds=300 + auth.LEEWAY_SECONDS)
    assert gets(f"users/{minji.id}/", old)[0] == 401
    assert gets(f"users/{minji.id}/", token())[0] == 200


def test_a_withdrawn_key_takes_services_tokens_with_it(minji: Person) -> None:
    minji.joins()
    old = token()
    keys.rotate(at_once=True)
    auth.use(
        Verifier(
            [OwnIssuer("https://chat.example.test", audience="doran", keys=KeyRing(keys.published, cache_seconds=1))],
            is_revoked=lambda _: False,
        )
    )
    assert gets(f"users/{minji.id}/", old)[0] == 401
    assert gets(f"users/{minji.id}/", token())[0] == 200


@pytest.mark.parametrize("text", ["chat", "chat:abc", "minji:" + "0" * 64, "chat:" + "G" * 64, "chat=" + "0" * 64])
def test_a_list_of_hashes_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(BadSetting, match="DORAN_SERVICE_SECRETS") as refused:
        load({"DORAN_SERVICE_SECRETS": text})
    assert text not in str(refused.value)


def test_a_short_secret_stops_the_start() -> None:
    with pytest.raises(BadSetting, match="DORAN_SERVICE_SECRET") as refused:
        load({"DORAN_SERVICE_SECRET": "hunter2"})
    assert "hunter2" not in str(refused.value)
