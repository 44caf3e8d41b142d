"""A key is always in the same lane, wherever and whenever somebody asks."""

from __future__ import annotations

from collections import Counter
from uuid import uuid4

import pytest

from doran.kernel.lanes import LANES, lane

pytestmark = pytest.mark.stateless


@pytest.mark.parametrize(
    ("key", "where"), [("minji-junho", 4), ("민지-준호", 2), ("0193aa00-0000-7000-8000-000000000001", 7), ("", 0)]
)
def test_a_lane_never_changes(key: str, where: int) -> None:
    assert lane(key) == where


def test_keys_are_spread_over_all_lanes() -> None:
    found = Counter(lane(str(uuid4())) for _ in range(8000))
    assert set(found) == set(range(LANES))
    assert min(found.values()) > 800
