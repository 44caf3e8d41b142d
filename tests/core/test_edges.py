"""Core's table of calls: each asks who you are, takes both spellings of its path, and is described."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import validate

from doran.core.http import ROUTES
from doran.core.models import Outbox, User
from doran.kernel import clock
from doran.kernel.http.openapi import document, operations
from tests.core.people import Person, refuses

PUBLIC = {
    ("POST", "service-tokens/"),
    ("POST", "users/"),
    ("POST", "tokens/"),
    ("POST", "tokens/refresh/"),
    ("POST", "tokens/revoke/"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/openid-configuration"),
}
PRIVATE = {
    ("GET", "users/"),
    ("GET", "users/me/"),
    ("PATCH", "users/me/"),
    ("DELETE", "users/me/"),
    ("GET", "users/{id}/"),
    ("GET", "sessions/"),
    ("DELETE", "sessions/{id}/"),
    ("GET", "blocks/"),
    ("PUT", "blocks/{id}/"),
    ("DELETE", "blocks/{id}/"),
}

OPERATORS = {
    ("GET", "webhooks/"),
    ("POST", "webhooks/"),
    ("GET", "webhooks/{id}/"),
    ("PATCH", "webhooks/{id}/"),
    ("DELETE", "webhooks/{id}/"),
    ("POST", "webhooks/{id}/rotate/"),
    ("GET", "webhooks/{id}/deliveries/"),
    ("POST", "webhooks/{id}/replay/"),
    ("POST", "webhooks/{id}/test/"),
}
"""Their stories are in tests/webhooks."""


def every_call() -> set[tuple[str, str]]:
    """Method and path of every operation, with `{id}` for what varies."""
    found = set()
    for path, verb, _ in operations(document({"core": ROUTES})):
        for name in ("user_id", "session_id", "endpoint_id"):
            path = path.replace(f"{{{name}}}", "{id}")
        found.add((verb.upper(), path.removeprefix("/api/core/")))
    return found


def test_this_file_knows_every_call() -> None:
    assert every_call() == PUBLIC | PRIVATE | OPERATORS


@pytest.mark.parametrize(("method", "path"), sorted(PRIVATE))
@pytest.mark.parametrize("token", [None, "Bearer nonsense", "Basic bWluamk6eA=="])
def test_nobody_gets_in_without_saying_who(method: str, path: str, token: str | None, minji: Person) -> None:
    minji.joins()
    before = list(User.objects.values()), Outbox.objects.count()
    minji.access = ""
    more = {} if token is None else {"HTTP_AUTHORIZATION": token}
    refuses(
        minji.ask(method, path.replace("{id}", minji.id), {"password": minji.password}, **more),
        401,
        "not_authenticated",
    )
    assert (list(User.objects.values()), Outbox.objects.count()) == before


@pytest.mark.parametrize(("method", "path"), sorted(PRIVATE))
def test_an_ended_session_gets_nowhere(method: str, path: str, minji: Person) -> None:
    minji.joins()
    minji.post("tokens/revoke/", {"refresh_token": minji.refresh})
    more = "?username=민지" if (method, path) == ("GET", "users/") else ""
    body = (
        {"password": minji.password}
        if path == "users/me/" and method == "DELETE"
        else {}
        if method == "PATCH"
        else None
    )
    refuses(minji.ask(method, path.replace("{id}", minji.id) + more, body), 401, "not_authenticated")
    assert User.objects.get().erased_at is None


@pytest.mark.parametrize(("method", "path"), sorted(PUBLIC | PRIVATE))
def test_each_path_answers_with_and_without_its_slash(method: str, path: str, minji: Person) -> None:
    minji.joins()
    if path.startswith("/.well-known"):
        assert minji.ask(method, path, None).status_code == minji.ask(method, path + "/", None).status_code == 200
        return
    wanted = path.replace("{id}", str(clock.new_id()))
    slash, bare = (minji.ask(method, spelling, {"x": 1}) for spelling in (wanted, wanted.rstrip("/")))
    assert slash.status_code == bare.status_code
    assert {**slash.json(), "trace_id": ""} == {**bare.json(), "trace_id": ""} if slash.content else not bare.content


@pytest.mark.parametrize(("method", "path"), sorted((m, p) for m, p in PUBLIC | PRIVATE if m in ("POST", "PATCH")))
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (
            b'{"username": "\\ud800", "password": "x", "refresh_token": "\\udfff", "display_name": "\\ud800"}',
            400,
            "malformed_json",
        ),
        (b"\xff\xfe", 400, "malformed_json"),
        (b'{"x":' * 30_000 + b"1" + b"}" * 30_000, 400, "malformed_json"),
        (b"[]", 422, "validation_failed"),
        (b"null", 422, "validation_failed"),
        (b'"text"', 422, "validation_failed"),
        (b'{"no_such_field": 1}', 422, "validation_failed"),
    ],
)
def test_bad_bodies_are_refused_precisely(
    method: str, path: str, body: bytes, status: int, code: str, minji: Person
) -> None:
    minji.joins()
    before = list(User.objects.values()), Outbox.objects.count()
    answer = minji.ask(method, path, body)
    if (answer.status_code, path, body) == (200, "users/me/", b""):
        return  # a change without a body changes nothing
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert (list(User.objects.values()), Outbox.objects.count()) == before


def test_a_form_is_not_json(minji: Person) -> None:
    minji.signs_up()
    answer = minji.client.post("/api/core/tokens/", {"username": "민지", "password": minji.password})
    refuses(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "users/me/"), ("GET", "tokens/"), ("DELETE", "users/"), ("POST", "sessions/")]
)
def test_other_methods_are_named_as_such(method: str, path: str, minji: Person) -> None:
    minji.joins()
    answer = minji.ask(method, path, {})
    refuses(answer, 405, "method_not_allowed")
    assert answer["Allow"]


def test_what_is_personal_is_never_cached(minji: Person) -> None:
    minji.joins()
    for path in ("users/me/", f"users/{minji.id}/", "sessions/", "blocks/", "users/?username=민지"):
        assert minji.get(path)["Cache-Control"] == "no-store"


def test_core_is_described_in_openapi() -> None:
    described: dict[str, Any] = document({"core": ROUTES})
    validate(json.loads(msgspec.json.encode(described)))
    for path, verb, operation in operations(described):
        needs = {name for one in operation["security"] for name in one}
        known = OPERATORS if "operator" in needs else PRIVATE if needs else PUBLIC
        short = path.removeprefix("/api/core/")
        for name in ("user_id", "session_id", "endpoint_id"):
            short = short.replace(f"{{{name}}}", "{id}")
        assert (verb.upper(), short) in known
        assert operation["summary"]


def test_core_stands_alone() -> None:
    script = """
import sys, django
from doran.kernel import config
config.use(config.load({"DORAN_SERVICES": "core"}))
django.setup()
import doran.core.urls, doran.core.subscribers
print(*sorted(name for name in sys.modules if name.startswith(("doran.chat", "doran.ai", "doran.realtime"))))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), "DJANGO_SETTINGS_MODULE": "doran.server.settings"},
    )
    assert done.stdout.strip() == ""
