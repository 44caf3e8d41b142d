"""The door of many: what comes while one transaction is written shares the next, and nobody suffers for another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connections, transaction

from doran.kernel import trouble
from doran.kernel.doors import Together, again_if_in_the_way, commit
from tests.kernel.shop import LABEL, Heard, heard

pytestmark = pytest.mark.usefixtures("database")


def kept(what: str) -> str:
    Heard.objects.create(key="minji-junho", what=what)
    return what


def test_what_comes_meanwhile_shares_one_transaction() -> None:
    door, begun, gate = Together(LABEL), threading.Event(), threading.Event()
    commits: list[int] = []

    def slow() -> str:
        begun.set()
        gate.wait(10)
        return kept("first")

    def quick(number: int) -> str:
        transaction.on_commit(lambda: commits.append(threading.get_ident()), using=LABEL)
        return kept(f"then {number}")

    def through(change: object) -> object:
        try:
            return door(change)  # type: ignore[arg-type]
        finally:
            connections[LABEL].close()

    with ThreadPoolExecutor(8) as hands:
        first = hands.submit(through, slow)
        begun.wait(10)
        others = [hands.submit(through, lambda number=number: quick(number)) for number in range(5)]
        while len(door._waiting) < 5:
            pass
        gate.set()
        assert first.result() == "first"
        assert [other.result() for other in others] == [f"then {number}" for number in range(5)]
    assert sorted(heard()) == ["first", *(f"then {number}" for number in range(5))]
    assert len(set(commits)) == 1


def test_one_that_fails_takes_nobody_with_it() -> None:
    door, begun, gate = Together(LABEL), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        gate.wait(10)

    def wrong() -> None:
        kept("half")
        raise ValueError("no")

    def through(change: object) -> object:
        try:
            return door(change)  # type: ignore[arg-type]
        except ValueError as failed:
            return failed
        finally:
            connections[LABEL].close()

    with ThreadPoolExecutor(4) as hands:
        hands.submit(through, slow)
        begun.wait(10)
        results = [hands.submit(through, change) for change in (lambda: kept("one"), wrong, lambda: kept("two"))]
        while len(door._waiting) < 3:
            pass
        gate.set()
        one, failed, two = (result.result() for result in results)
    assert (one, two) == ("one", "two")
    assert isinstance(failed, ValueError)
    assert sorted(heard()) == ["one", "two"]


def test_a_change_is_committed_when_the_door_returns() -> None:
    door = Together(LABEL)
    commit(door, LABEL, lambda: kept("안녕"))
    connections[LABEL].close()
    assert heard() == ["안녕"]


@pytest.mark.parametrize(("failures", "is_conflict", "made"), [(2, True, 3), (3, True, 3), (1, False, 1)])
def test_who_met_another_transaction_tries_again_and_leaves_nothing_of_the_tries(
    monkeypatch: pytest.MonkeyPatch, failures: int, is_conflict: bool, made: int
) -> None:
    monkeypatch.setattr(trouble, "is_conflict", lambda wrong: is_conflict)
    tries: list[str] = []

    def change() -> str:
        tries.append(kept(f"try {len(tries) + 1}"))
        if len(tries) <= failures:
            raise OperationalError("deadlock found")
        return tries[-1]

    if failures < made:
        assert again_if_in_the_way(LABEL, change) == f"try {made}"
    else:
        with pytest.raises(OperationalError):
            again_if_in_the_way(LABEL, change)
    assert len(tries) == made
    assert heard() == tries[failures:]
