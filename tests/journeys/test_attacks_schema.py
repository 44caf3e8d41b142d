"""Every call as its own document describes it, and as it does not: schemathesis against a real port."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from django.test import Client
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    ensure_resource_availability,
    negative_data_rejection,
    positive_data_acceptance,
    use_after_free,
)

from tests.journeys.town import OPERATOR_TOKEN, PASSWORD, served


@dataclass(frozen=True)
class Known:
    """What stands in the house when the attack begins, and who attacks."""

    url: str
    token: str
    ids: dict[str, str]

    def headers(self, case: Case) -> dict[str, str]:
        """민지 asks; what is for the operator alone is asked by the operator."""
        is_for_the_operator = {"operator": []} in case.operation.definition.raw.get("security", [])
        return {"Authorization": f"Bearer {OPERATOR_TOKEN if is_for_the_operator else self.token}"}


def ask(url: str, path: str, body: Any, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def known() -> Iterator[Known]:
    with served(operator_token=OPERATOR_TOKEN, outward_loopback=True) as config:
        url = config.url
        people = [{"username": name, "password": PASSWORD} for name in ("minji", "junho")]
        junho = [ask(url, "/api/core/users/", one) for one in people][1]["id"]
        token = ask(url, "/api/core/tokens/", people[0])["access_token"]
        spare = ask(url, "/api/core/tokens/", people[0])["session_id"]
        talk = ask(url, "/api/chat/conversations/", {"participant_id": junho}, token)["id"]
        message = ask(url, f"/api/chat/conversations/{talk}/messages/send/", {"content": "첫마디"}, token)["id"]
        hook = {"url": "http://127.0.0.1:9/hook", "event_types": ["*"], "enabled": False}
        endpoint = ask(url, "/api/core/webhooks/", hook, OPERATOR_TOKEN)["endpoint"]["id"]
        ids = {
            "conversation_id": talk, "message_id": message, "user_id": junho, "session_id": spare, "endpoint_id": endpoint,
        }  # fmt: skip
        yield Known(url, token, ids)


document = schemathesis.openapi.from_dict(Client().get("/api/schema/", headers={"host": "localhost"}).json())
QUICK = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
# A document cannot say that text must be visible or a name free, nor that a deleted message is still looked at.
UNFIT = [positive_data_acceptance, use_after_free, ensure_resource_availability]


@document.parametrize()
@QUICK
def test_every_call_keeps_its_word(case: Case, known: Known) -> None:
    answer = case.call(base_url=known.url, headers=known.headers(case))
    unfit = [*UNFIT, not_a_server_error] if b'"code":"no_provider"' in answer.content else UNFIT
    case.validate_response(answer, excluded_checks=unfit)


@document.include(path_regex=r"\{(conversation|message|user|session|endpoint)_id\}").parametrize()
@QUICK
def test_every_call_keeps_its_word_where_there_is_something(case: Case, known: Known) -> None:
    case.path_parameters = {name: known.ids.get(name, value) for name, value in case.path_parameters.items()}
    answer = case.call(base_url=known.url, headers=known.headers(case))
    case.validate_response(answer, excluded_checks=[*UNFIT, negative_data_rejection])
