"""What a rule is: a name, one sentence, and a function from the evidence to what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from doran.verify.evidence import Evidence
from doran.verify.history import Operation


class Violation(msgspec.Struct, frozen=True):
    """One breach: in words without any message text, and the numbers of the operations."""

    rule: str
    says: str
    operations: tuple[int, ...] = ()


Finding = tuple[str, tuple[Operation, ...]]
Findings = Iterator[Finding]


class Rule(msgspec.Struct, frozen=True):
    """One line of the table. `needs_end` rules stay silent without a final reading."""

    name: str
    sentence: str
    check: Callable[[Evidence], Findings]
    needs_end: bool = False

    def judge(self, evidence: Evidence) -> list[Violation]:
        return [
            Violation(self.name, says, tuple(operation.n for operation in operations))
            for says, operations in self.check(evidence)
        ]


RULES: Final[dict[str, Rule]] = {}


def rule(
    name: str, sentence: str, *, needs_end: bool = False
) -> Callable[[Callable[[Evidence], Findings]], Callable[[Evidence], Findings]]:
    """Put a function into the table."""

    def register(check: Callable[[Evidence], Findings]) -> Callable[[Evidence], Findings]:
        RULES[name] = Rule(name, sentence, check, needs_end)
        return check

    return register
