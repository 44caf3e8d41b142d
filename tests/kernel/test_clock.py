"""Stamps and ids never go back, whatever the machine's clock does; the present moment follows it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from doran.kernel import clock
from tests.clock import Hands

pytestmark = pytest.mark.stateless


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hands]:
    moved = Hands()
    monkeypatch.setattr(clock, "now", moved.now)
    clock.begin_stamps()
    clock.forget_disagreements()
    yield moved
    clock.begin_stamps()
    clock.forget_disagreements()


def test_stamps_follow_each_other_when_the_clock_is_set_back(hands: Hands) -> None:
    stamps = [clock.stamp()]
    for by in (2, -2, -2, 1, 3):
        hands.move(hours=by)
        stamps += [clock.stamp(), clock.stamp()]
    assert stamps == sorted(set(stamps))
    assert timedelta() <= clock.now() - stamps[-1] < timedelta(minutes=1)


def test_the_present_moment_follows_the_clock(hands: Hands) -> None:
    before = clock.now()
    clock.stamp()
    hands.move(hours=-2)
    assert clock.now() < before
    assert clock.not_before(before) == before


def test_threads_never_share_a_stamp(hands: Hands) -> None:
    clock.follow(clock.now() + timedelta(hours=2))
    with ThreadPoolExecutor(8) as pool:
        stamps = list(pool.map(lambda _: clock.stamp(), range(400)))
    assert len(set(stamps)) == 400


def test_a_process_follows_what_another_has_stored(hands: Hands) -> None:
    theirs = clock.now() + timedelta(hours=2)
    clock.follow(theirs)
    assert clock.stamp() > theirs
    assert clock.new_id().int >> 80 >= int(theirs.timestamp() * 1000)
    assert "-72" in clock.disagreements()
    clock.follow(None)
    hands.move(hours=3)
    clock.follow(theirs)
    assert clock.disagreements() == ""
    assert clock.stamp() - theirs > timedelta(minutes=59)
