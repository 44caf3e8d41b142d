"""Copies of a relay are killed and frozen while events flow: nothing is lost, doubled or out of order."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections

from tests import stores
from tests.house.running import ROOT
from tests.kernel.copy_of_a_relay import LEASE
from tests.kernel.shop import LABEL, DeadLetter, Heard, Inbox, Outbox, OutboxLease, say, sent

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.timeout(180), pytest.mark.judged]

TALKS = [f"talk-{number}" for number in range(40)]
SECONDS = 6 * LEASE


class Copy:
    """One process, and what can happen to it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        command = [sys.executable, "-m", "tests.kernel.copy_of_a_relay", url, str(folder)]
        with (folder / "said").open("ab") as said:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said,
            )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", (folder / "said").read_text()

    def is_told(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, number: signal.Signals) -> None:
        self.is_told(number)
        self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def copies(url: str, folder: Path, count: int) -> Iterator[list[Copy]]:
    here = [Copy(url, folder) for _ in range(count)]
    try:
        yield here
    finally:
        for copy in here:
            if copy.process.poll() is None:
                copy.ends(signal.SIGKILL)


class Talkers:
    """Messages are sent all the time; `said` is what was committed."""

    def __init__(self) -> None:
        self.said: dict[str, int] = dict.fromkeys(TALKS, 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Talkers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        dice = random.Random(7)
        while not self._stopping.wait(0.005):
            chosen = dice.sample(TALKS, 5)
            say(*(sent(self.said[talk] + 1, talk) for talk in chosen))
            for talk in chosen:
                self.said[talk] += 1
        connections[LABEL].close()


def until(true: Callable[[], bool], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def owners() -> set[str]:
    return set(OutboxLease.objects.values_list("owner", flat=True)) - {""}


def published(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """By key: number and event id of everything that was published, repetitions too."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for line in (folder / "published").read_text().splitlines():
        key, number, event_id = line.split()
        found[key].append((int(number), event_id))
    return found


def test_the_lanes_of_a_copy_that_is_killed_are_taken_over_in_time(database: str, tmp_path: Path) -> None:
    with copies(stores.url(LABEL, tmp_path), tmp_path, 2) as here:
        until(lambda: len(owners()) == 2, seconds=30)
        here[0].ends(signal.SIGKILL)
        killed = time.monotonic()
        with Talkers() as talkers:
            until(lambda: len(owners()) == 1, seconds=30)
            took = time.monotonic() - killed
        until(lambda: not Outbox.objects.exists(), seconds=30)
    assert took < 1.5 * LEASE + 8, "with a lease of ten seconds this is fifteen, and a busy machine takes its time"
    assert heard() == {talk: list(range(1, last + 1)) for talk, last in talkers.said.items()}


def test_killed_and_frozen_at_random_every_event_is_heard_once_and_in_order(database: str, tmp_path: Path) -> None:
    dice = random.Random()
    with copies(stores.url(LABEL, tmp_path), tmp_path, 3) as here:
        with Talkers() as talkers:
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                one = dice.randrange(3)
                if dice.random() < 0.5:
                    here[one].ends(signal.SIGKILL)
                    here[one] = Copy(here[one].url, tmp_path)
                else:
                    here[one].is_told(signal.SIGSTOP)
                    time.sleep(1.3 * LEASE)
                    here[one].is_told(signal.SIGCONT)
        until(lambda: not Outbox.objects.exists(), seconds=60)
        until(lambda: len(owners()) == 3, seconds=60)
        for copy in here:
            copy.ends(signal.SIGTERM)
    assert owners() == set()
    everything = {talk: list(range(1, last + 1)) for talk, last in talkers.said.items()}
    assert min(map(len, everything.values())) > 10
    assert heard() == everything
    assert Inbox.objects.count() == Heard.objects.count()
    assert not DeadLetter.objects.exists()
    assert {talk: first_said(lines) for talk, lines in published(tmp_path).items()} == everything


def heard() -> dict[str, list[int]]:
    """By talk: the numbers in the order in which they took effect."""
    found: dict[str, list[int]] = {talk: [] for talk in TALKS}
    for key, what in Heard.objects.order_by("id").values_list("key", "what"):
        found[key].append(int(what.split()[1]))
    return found


def first_said(lines: list[tuple[int, str]]) -> list[int]:
    """The numbers of one talk in the order in which each was published first; again only under the same id."""
    ids: dict[int, str] = {}
    for number, event_id in lines:
        assert ids.setdefault(number, event_id) == event_id
    return list(ids)
