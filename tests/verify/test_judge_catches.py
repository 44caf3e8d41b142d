"""The judge is itself tried: a toy server with one fault at a time, and one without any."""

from __future__ import annotations

import pytest

from doran.verify.rules import RULES
from tests.verify.people import judged, spend
from tests.verify.toy import FAULTS

SEEDS = range(1, 6)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_server_is_caught(fault: str) -> None:
    """By one of its own rules, in two of at most five runs."""
    caught = 0
    for seed in SEEDS:
        caught += any(rule in judged(seed=seed, faults=[fault]).by_rule() for rule in FAULTS[fault])
        if caught == 2:
            return
    pytest.fail(f"caught in {caught} of {len(SEEDS)} runs")


@pytest.mark.parametrize("seed", range(100, 116))
def test_a_correct_server_is_not_accused(seed: int) -> None:
    verdict = judged(seed=seed)
    assert verdict.violations == ()
    assert verdict.silent == ()
    assert verdict.counts["send ok"] > 30


def test_the_table_of_faults_names_real_rules() -> None:
    assert {rule for rules in FAULTS.values() for rule in rules} <= set(RULES)
    assert len(FAULTS) >= 20


def test_the_same_seed_is_the_same_run() -> None:
    assert spend(seed=7) == spend(seed=7)
