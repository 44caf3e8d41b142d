"""A person of the stories: speaks REST to core and remembers what was answered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client

from doran.core.models import Outbox

JSON = "application/json"


@dataclass
class Person:
    username: str
    password: str
    address: str = "127.0.0.1"
    id: str = ""
    access: str = ""
    refresh: str = ""
    session: str = ""
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    # -- what a person does ----------------------------------------------------------------------

    def signs_up(self, **more: Any) -> Person:
        answer = self.post("users/", {"username": self.username, "password": self.password, **more})
        assert answer.status_code == 201, answer.content
        self.id = answer.json()["id"]
        return self

    def logs_in(self, **more: Any) -> Person:
        answer = self.tries_to_log_in(self.password, **more)
        assert answer.status_code == 200, answer.content
        return self.takes(answer)

    def joins(self) -> Person:
        return self.signs_up().logs_in()

    def tries_to_log_in(self, password: str, **more: Any) -> HttpResponse:
        return self.post("tokens/", {"username": self.username, "password": password, **more})

    def refreshes(self, token: str | None = None, **headers: Any) -> HttpResponse:
        return self.post("tokens/refresh/", {"refresh_token": token or self.refresh}, **headers)

    def takes(self, answer: HttpResponse) -> Person:
        pair = answer.json()
        self.id, self.session = pair["user_id"], pair["session_id"]
        self.access, self.refresh = pair["access_token"], pair["refresh_token"]
        return self

    def elsewhere(self, address: str = "127.0.0.1") -> Person:
        """The same person at another device, not logged in there."""
        return Person(self.username, self.password, address=address, id=self.id)

    # -- what goes over the wire -------------------------------------------------------------------

    def get(self, path: str, **headers: Any) -> HttpResponse:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, body: Any = None, **headers: Any) -> HttpResponse:
        return self.ask("POST", path, body, **headers)

    def patch(self, path: str, body: Any) -> HttpResponse:
        return self.ask("PATCH", path, body)

    def put(self, path: str) -> HttpResponse:
        return self.ask("PUT", path, None)

    def delete(self, path: str, body: Any = None) -> HttpResponse:
        return self.ask("DELETE", path, body)

    def ask(self, method: str, path: str, body: Any, **headers: Any) -> HttpResponse:
        if self.access:
            headers.setdefault("HTTP_AUTHORIZATION", f"Bearer {self.access}")
        whole = path if path.startswith("/") else f"/api/core/{path}"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if body is None else JSON
        return self.client.generic(method, whole, data, content_type=kind, REMOTE_ADDR=self.address, **headers)


def said(name: str | None = None) -> list[dict[str, Any]]:
    """What core has said so far, oldest first: data of events, of one kind or of all."""
    rows = Outbox.objects.order_by("id")
    return [json.loads(row.data) for row in rows if name in (None, row.event_type)]


def told() -> list[str]:
    """The kinds of events that core has said so far."""
    return list(Outbox.objects.order_by("id").values_list("event_type", flat=True))


def refuses(answer: HttpResponse, status: int, code: str, *fields: str) -> dict[str, Any]:
    """Check a refusal: status, stable code, problem details, and which fields are named."""
    problem = json.loads(answer.content)
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer["Content-Type"] == "application/problem+json"
    assert [error["field"] for error in problem.get("errors", [])] == list(fields), problem
    assert status != 401 or answer["WWW-Authenticate"].startswith("Bearer")
    assert status not in (429, 503) or int(answer["Retry-After"]) >= 1
    return problem
