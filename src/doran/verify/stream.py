"""Integration events that a consumer recorded, one envelope per line in the order of delivery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from doran.verify.client import Json
from doran.verify.history import BadHistory, Heard


def events(file: Path) -> Iterator[Heard]:
    """Each line as the contract's envelope. Raises `BadHistory` for a line that is none, OSError."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield heard(msgspec.json.decode(line))
            except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
                raise BadHistory(f"line {number} of {file.name}: no event envelope") from None


def heard(envelope: Json) -> Heard:
    """An envelope without its content. Raises KeyError, TypeError, AttributeError."""
    data = envelope["data"]
    return Heard(
        event_id=envelope["event_id"],
        event_type=envelope["event_type"],
        conversation=data.get("conversation_id", ""),
        message_id=data.get("message_id", ""),
        seq=data.get("seq", 0),
    )
