"""Judging: every rule over one history, and the verdict that comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from doran.verify.evidence import Evidence
from doran.verify.history import Operation
from doran.verify.rules import RULES, Violation


class Verdict(msgspec.Struct, frozen=True):
    """What was judged, what was found, and which rules had too little to go by."""

    operations: int
    counts: dict[str, int]
    """How many operations of each kind and outcome the history holds."""
    violations: tuple[Violation, ...]
    silent: tuple[str, ...] = ()
    """Rules that could not judge because the history has no final reading."""

    @property
    def clean(self) -> bool:
        return not self.violations

    def by_rule(self) -> Counter[str]:
        return Counter(violation.rule for violation in self.violations)


def judge(operations: Iterable[Operation]) -> Verdict:
    """Every rule over the history. Costs n log n in its length."""
    evidence = Evidence(operations)
    able = [rule for rule in RULES.values() if evidence.finals or not rule.needs_end]
    return Verdict(
        operations=len(evidence.operations),
        counts=_counts(evidence.operations),
        violations=tuple(found for rule in able for found in rule.judge(evidence)),
        silent=tuple(rule.name for rule in RULES.values() if rule not in able),
    )


def _counts(operations: list[Operation]) -> dict[str, int]:
    counts = Counter(_label(operation) for operation in operations)
    return dict(sorted(counts.items()))


def _label(operation: Operation) -> str:
    kind = type(operation).__name__.lower()
    outcome = getattr(operation, "outcome", "")
    return f"{kind} {outcome}".strip()
