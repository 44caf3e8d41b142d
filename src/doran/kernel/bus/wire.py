"""An event on a broker: CloudEvents 1.0 in binary mode, and beside it the names of our own envelope.

The body is the event's data alone. What is said about it are headers: CloudEvents' attributes with
the prefix of the broker's binding, and our names, which CloudEvents readers leave alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doran.contracts.events import BadEvent, Envelope, cloud_attributes

CONTENT_TYPE: Final = "application/json"
LARGEST: Final = 512 * 1024
"""Bytes of data in one event. Ours are far below; who sends more is not one of us."""

_FORMS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(form)
    for name, form in {
        "event_type": r"[a-z0-9_.]{1,64}",
        "timestamp": r"[0-9TZ:.+-]{1,40}",
        "event_id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "schema_version": r"[0-9]{1,4}",
        "producer": r"[a-z]{1,32}",
        "key": r"[^\x00-\x1f\x7f]{1,255}",
        "trace_id": r"[0-9a-f]{0,32}",
    }.items()
}


def check(envelope: Envelope) -> None:
    """Raises `BadEvent` for one that no reader would take."""
    _check(_own(envelope), bytes(envelope.data))


def headers(envelope: Envelope, prefix: str) -> dict[str, str]:
    """What is said about the data."""
    return {f"{prefix}{name}": value for name, value in cloud_attributes(envelope).items()} | _own(envelope)


def read(headers: Mapping[str, Any], body: bytes) -> Envelope:
    """The envelope that `headers` and the data were made from.

    Raises `BadEvent` for what is not ours or could not even be put aside; its text says what is
    wrong and quotes nothing.
    """
    own = {name: _text(headers.get(name)) for name in _FORMS}
    _check(own, body)
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadEvent("the data is not JSON") from None
    return msgspec.convert({**own, "data": msgspec.Raw(body)}, Envelope, strict=False)


def _own(envelope: Envelope) -> dict[str, str]:
    return {name: str(getattr(envelope, name)) for name in _FORMS}


def _check(own: Mapping[str, str], body: bytes) -> None:
    if len(body) > LARGEST:
        raise BadEvent(f"more than {LARGEST} bytes")
    for name, form in _FORMS.items():
        if not form.fullmatch(own[name]):
            raise BadEvent(f"{name} is missing or malformed")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
