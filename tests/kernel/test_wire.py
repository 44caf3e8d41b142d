"""What an event looks like on a broker, and what is refused there."""

from __future__ import annotations

import re

import msgspec
import pytest

from doran.contracts.events import BadEvent
from doran.kernel.bus import wire
from tests.kernel.shop import envelope, sent

pytestmark = pytest.mark.stateless

SAID = envelope(sent(1))


def test_an_event_comes_back_as_it_went() -> None:
    assert wire.read(wire.headers(SAID, "ce_"), bytes(SAID.data)) == SAID


def test_brokers_may_give_bytes() -> None:
    headers = {name: value.encode() for name, value in wire.headers(SAID, "ce_").items()}
    assert wire.read(headers, bytes(SAID.data)) == SAID


def test_it_is_a_cloud_event_in_binary_mode() -> None:
    headers = wire.headers(SAID, "ce_")
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce_")}
    assert attributes["specversion"] == "1.0"
    assert {"id", "source", "type", "time", "subject", "partitionkey"} <= attributes.keys()
    assert all(re.fullmatch("[a-z0-9]+", name) for name in attributes)
    assert all(attributes.values())


def test_the_names_of_the_contract_stand_beside() -> None:
    headers = wire.headers(SAID, "cloudEvents_")
    assert headers["event_type"] == "message.created"
    assert {"timestamp", "event_id", "schema_version", "producer", "key", "trace_id"} <= headers.keys()
    assert "안녕 1" not in str(headers)


REFUSED = {
    "no headers": ({}, b"{}"),
    "an id that is none": ({"event_id": "17"}, b"{}"),
    "a key that no database keeps": ({"key": "a\x00b"}, b"{}"),
    "a key that is too long": ({"key": "k" * 256}, b"{}"),
    "a version that is no number": ({"schema_version": "one"}, b"{}"),
    "a trace that would end up in a log": ({"trace_id": "x\ny"}, b"{}"),
    "no JSON": ({}, b"\xff\xfe"),
    "half of JSON": ({}, b'{"a":'),
    "text that is not UTF-8": ({}, b'{"a":"\xff"}'),
    "too much": ({}, b'"' + b"a" * wire.LARGEST + b'"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_ours_is_refused_without_being_quoted(case: str) -> None:
    changes, body = REFUSED[case]
    headers = {} if case == "no headers" else {**wire.headers(SAID, "ce_"), **changes}
    with pytest.raises(BadEvent) as refusal:
        wire.read(headers, body)
    assert not any(value in str(refusal.value) for value in changes.values())


def test_what_no_reader_would_take_is_not_sent() -> None:
    with pytest.raises(BadEvent, match="key"):
        wire.check(msgspec.structs.replace(SAID, key=""))
    with pytest.raises(BadEvent, match="bytes"):
        wire.check(msgspec.structs.replace(SAID, data=msgspec.Raw(b"1" * (wire.LARGEST + 1))))
