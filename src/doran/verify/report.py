"""The verdict in words for people and in JSON for machines; never with any message text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

import msgspec

from doran.verify.history import Operation
from doran.verify.judge import Verdict
from doran.verify.rules import RULES, Violation

CLEAN, GUILTY, UNABLE, EMPTY = 0, 1, 2, 3
"""Exit codes: nothing found; something found; could not run; too little happened to judge."""

SHOWN = 5
"""Violations shown per rule; all of them stand in the JSON."""


def exit_code(verdict: Verdict) -> int:
    """What a shell is told. A run in which nothing was sent proves nothing."""
    if not verdict.clean:
        return GUILTY
    enough = verdict.counts.get("send ok", 0) > 0 and not verdict.silent
    return CLEAN if enough else EMPTY


def as_json(verdict: Verdict) -> str:
    told = {"exit_code": exit_code(verdict), "by_rule": dict(verdict.by_rule())}
    return msgspec.json.encode(told | msgspec.to_builtins(verdict)).decode()


def as_text(verdict: Verdict, operations: Mapping[int, Operation]) -> str:
    """The whole report; `operations` by number, to show what a violation is about."""
    return "\n".join(_lines(verdict, operations))


def _lines(verdict: Verdict, operations: Mapping[int, Operation]) -> Iterator[str]:
    counts = ", ".join(f"{count} {what}" for what, count in verdict.counts.items())
    yield f"{verdict.operations} operations: {counts}."
    yield from _found(verdict, operations)
    if verdict.silent:
        yield f"No final reading, so these rules could not judge: {', '.join(verdict.silent)}."
    yield _sentence(verdict)


def _found(verdict: Verdict, operations: Mapping[int, Operation]) -> Iterator[str]:
    grouped: dict[str, list[Violation]] = defaultdict(list)
    for violation in verdict.violations:
        grouped[violation.rule].append(violation)
    for name, violations in grouped.items():
        yield f"\n{name} ({len(violations)}): {RULES[name].sentence}"
        for violation in violations[:SHOWN]:
            yield f"  - {violation.says}"
            for number in violation.operations[:4]:
                yield f"      {describe(operations[number])}"
        if len(violations) > SHOWN:
            yield f"  … and {len(violations) - SHOWN} more"
    if grouped:
        yield ""


def describe(operation: Operation) -> str:
    """One operation in a line: number, time, who, what; ids instead of texts."""
    facts = msgspec.to_builtins(operation)
    hidden = {"n", "inv", "ret", "op", "user", "device", "rows", "row", "body"}
    shown = " ".join(f"{name}={value}" for name, value in facts.items() if name not in hidden)
    row = facts.get("row") or (facts.get("rows") or [{}])[-1]
    place = f" → seq {row['seq']} change {row.get('change_seq', 0)}" if row else ""
    when = f"{operation.inv / 1e9:.3f}–{operation.ret / 1e9:.3f} s"
    return f"#{operation.n} {when} {operation.device or '-'} {facts['op']} {shown}{place}"


def _sentence(verdict: Verdict) -> str:
    match exit_code(verdict):
        case 0:
            return f"Clean: none of {len(RULES)} rules is broken."
        case 1:
            names = ", ".join(f"{name} ×{count}" for name, count in verdict.by_rule().items())
            return f"Guilty: {len(verdict.violations)} violations ({names})."
        case _:
            return "Inconclusive: too little happened to judge."
