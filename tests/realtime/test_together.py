"""Many processes, one store: every screen is shown everything once and in order, whatever becomes of the hints."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.realtime.town import PEOPLE, Town, Weather
from tests.realtime.virtual import run

pytestmark = pytest.mark.judged

KINDS = ("message", "message", "message", "edit", "mark", "state")


async def lived(town: Town, *, deeds: int, pause: float, talks: int) -> None:
    """People open screens and do things at all processes at once; then it is quiet for some seconds."""
    await town.begins()
    for _ in range(deeds):
        if town.rng.random() < 0.15:
            await town.opens(town.rng.choice(PEOPLE), town.rng.choice([None, f"talk {town.rng.randrange(talks)}"]))
        town.happens(f"talk {town.rng.randrange(talks)}", town.rng.choice(KINDS))
        await town.moment(pause)
    await asyncio.sleep(10)
    for screen in town.screens:
        assert not screen.was_sent_away
        screen.check()
    await town.ends()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    hint=st.sampled_from([0.001, 0.02, 0.2, 3.0]),
    pause=st.sampled_from([0.0, 0.002, 0.05]),
    commit=st.sampled_from([0.0, 0.003, 0.03]),
)
def test_every_screen_is_shown_all_of_it_once_and_in_order(
    seed: int, loss: float, hint: float, pause: float, commit: float
) -> None:
    town_weather = Weather(loss=loss, hint=hint, commit=commit)

    async def story() -> None:
        await lived(Town(seed, weather=town_weather), deeds=120, pause=pause, talks=3)

    run(story())
