"""Six people with two devices each use a real process that is killed with -9, and lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from doran.kernel.faults import FAULT_POINTS
from tests.crash.town import by_key, damage, founded, published, told_or_owed, waiting_events

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300), pytest.mark.judged]

POINTS = [point for point in FAULT_POINTS if not point.startswith("ai.")]
"""Nobody asks the AI in this town, so it never comes by its points."""

NTH = {"edit.before_commit": 1, "mark.before_commit": 2, "inbox.before_commit": 1}
"""At which hit of a fault point the process dies; elsewhere at the third."""

RANDOM_SECONDS = 18.0


async def test_killed_at_random_moments(tmp_path: Path) -> None:
    async with founded(tmp_path, seed=20) as town:
        verdict = await town.go_through(lambda: town.nemesis.at_random(RANDOM_SECONDS))
        assert verdict.clean, town.account(verdict)
        assert verdict.silent == ()
        assert verdict.counts["fault"] >= 3
        assert verdict.counts["send ok"] >= 100
        assert b"doran_" in town.metrics.read_bytes(), "there was nothing to search"
        assert told_or_owed(town) == by_key(published(town.data)), "webhooks were lost or out of order"
        assert damage(town.data) == []
        assert not any(waiting_events(town.data).values())


async def test_killed_at_every_named_point(tmp_path: Path) -> None:
    missed: list[str] = []

    async with founded(tmp_path, seed=21) as town:

        async def every_point() -> None:
            missed.extend(await town.nemesis.at_points(f"{point}:{NTH.get(point, 3)}" for point in POINTS))

        verdict = await town.go_through(every_point)
        assert missed == [], "the process did not die there"
        assert verdict.clean, town.account(verdict)
        assert verdict.silent == ()
        assert verdict.counts["send ok"] >= 30
        assert b"doran_" in town.metrics.read_bytes(), "there was nothing to search"
        assert told_or_owed(town) == by_key(published(town.data)), "webhooks were lost or out of order"
        assert damage(town.data) == []
        assert not any(waiting_events(town.data).values())
