"""The machine-readable documents are valid, whole, and served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from doran.contracts import errors, events, frames
from doran.kernel import asyncapi
from tests.stage import staged
from tests.wire import call


async def served(path: str) -> Any:
    async with staged(services=("core", "chat", "ai")) as house:
        answer = await call(house.app, "GET", path)
        assert answer.status == 200
        return answer.json


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def follow(document: Any, reference: str) -> Any:
    place = document
    for step in reference.removeprefix("#/").split("/"):
        place = place[step.replace("~1", "/").replace("~0", "~")]
    return place


async def test_openapi_is_valid_and_served() -> None:
    document = await served("/api/schema/")
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    assert {path.split("/")[2] for path in document["paths"] if path.startswith("/api/")} == {"core", "chat", "ai"}


async def test_openapi_names_only_codes_of_the_table() -> None:
    document = json.dumps(await served("/api/schema/"))
    said = {word for word in errors.PROBLEMS if f"`{errors.Problem(word).code}`" in document}
    assert {"not_authenticated", "not_found", "validation_failed", "no_provider"} <= said


async def test_asyncapi_is_served_as_it_is_made() -> None:
    assert await served("/asyncapi.json") == asyncapi.document()


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    document = asyncapi.document()
    assert [bad for bad in set(references(document)) if not isinstance(follow(document, bad), dict)] == []


def test_asyncapi_tells_every_frame_and_event() -> None:
    document = asyncapi.document()
    said = {message["name"] for message in document["components"]["messages"].values()}
    spoken = {kind.__struct_config__.tag for kind in (*frames.CLIENT_FRAMES, *frames.SERVER_FRAMES)}
    assert said == spoken | set(events.EVENTS)
    assert {operation["action"] for operation in document["operations"].values()} == {"send", "receive"}
    for operation in document["operations"].values():
        channel = follow(document, operation["channel"]["$ref"])
        named = {message["$ref"].rpartition("/")[2] for message in operation["messages"]}
        assert named <= channel["messages"].keys()


def judge(document: Any, message: str) -> jsonschema.Draft202012Validator:
    payload = document["components"]["messages"][message]["payload"]
    return jsonschema.Draft202012Validator({**payload, "components": document["components"]})


def test_asyncapi_agrees_with_what_is_really_said() -> None:
    document = asyncapi.document()
    heard = {"ack": frames.Ack("r", "c", msgspec.Raw(frames.encode(MESSAGE))), "pong": frames.Pong(ref=7)}
    for name, frame in heard.items():
        judge(document, f"frames.{type(frame).__name__}").validate(json.loads(frames.encode(frame)))
        assert document["components"]["messages"][f"frames.{type(frame).__name__}"]["name"] == name
    event = events.UserErased("u", "2026-01-01T00:00:00Z")
    wire = json.loads(events.cloud_event(enveloped(event)))
    judge(document, "user.erased").validate(wire)
    for part in ("data", "event_id", "type"):
        with pytest.raises(jsonschema.ValidationError):
            judge(document, "user.erased").validate({key: value for key, value in wire.items() if key != part})


MESSAGE = frames.MessageView(
    id="m", conversation_id="c", seq=1, change_seq=1, sender_id="u", content="안녕", message_type="text",
    created_at="t", updated_at="t", edited_at=None, is_deleted=False, reply_to=None, client_message_id=None,
)  # fmt: skip


def enveloped(event: events.Event) -> events.Envelope:
    return events.Envelope(
        event.NAME, "2026-01-01T00:00:00Z", msgspec.Raw(events.encode(event)), "e", 1, "core", event.key(), "t"
    )
