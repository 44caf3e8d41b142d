"""Which engines there are behind each Protocol. A driver joins by one line here and meets the same suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from doran.kernel.bus import Bus
from doran.kernel.bus.memory import MemoryBus

BUSES: dict[str, Callable[[], Bus]] = {"memory": MemoryBus}


@pytest.fixture(params=sorted(BUSES))
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    """A bus that nobody has subscribed to yet; the test starts it."""
    made = BUSES[request.param]()
    yield made
    made.stop()
