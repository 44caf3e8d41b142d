"""Frames longer than promised are evidence, also where their content is in order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doran.verify.client import LONGEST_FRAME, _NetworkWire
from doran.verify.device import Device
from doran.verify.history import Garbled, Recorder
from doran.verify.memory import Account
from doran.verify.witness import Link


class Library:
    """A socket as the websockets library gives it."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame

    async def recv(self, *, decode: bool) -> bytes:
        assert not decode
        return self.frame


@pytest.mark.parametrize(("size", "count"), [(LONGEST_FRAME, 0), (LONGEST_FRAME + 1, 1), (2_600_000, 1)])
async def test_a_frame_that_is_too_long_is_written_down(size: int, count: int) -> None:
    recorder = Recorder(lambda: 1)
    device = Device(Account(id="minji", name="minji", username="minji", password=""), "phone", None, recorder)  # type: ignore[arg-type]
    wire: Any = _NetworkWire(Library(msgspec.json.encode({"type": "pong"}).ljust(size)))  # type: ignore[arg-type]
    device._heard(Link(1, "", wire), await wire.hear())
    found = [one for one in recorder.operations.values() if isinstance(one, Garbled)]
    assert len(found) == count
    assert all(str(size) in one.what for one in found)
