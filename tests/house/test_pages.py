"""The pages tell the truth: reference, journey, guarantees and links agree with the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from doran.server import reference
from tests.house.running import ROOT

PAGES = reference.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_reference_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert written == PAGES[name], "run `.venv/bin/doran reference` and commit what changed"


def names_in(path: Path) -> set[str]:
    """`function`, `Class` and `Class.method` of a module."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else []
            found |= {
                f"{node.name}.{one.name}" for one in inner if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


def steps(text: str) -> list[tuple[str, str]]:
    """Every `file :: name` of a page; a name without a file is in the file before it."""
    found = []
    for row in text.splitlines():
        file = ""
        for code in re.findall(r"`([^`]+)`", row):
            before, separator, name = code.rpartition(" :: ")
            file = before if separator else file
            if separator or (file and re.fullmatch(r"[A-Z]\w+\.\w+", code)):
                found.append((file, name))
    return found


def test_the_journey_names_functions_that_exist() -> None:
    journey = steps((ROOT / "docs" / "journey.md").read_text(encoding="utf-8"))
    assert len(journey) >= 10
    missing = [(file, name) for file, name in journey if name not in names_in(ROOT / "src" / "doran" / file)]
    assert missing == []


def promises(text: str) -> dict[int, list[str]]:
    """The tests named under each numbered guarantee."""
    parts = re.split(r"^## (\d+)\. ", text, flags=re.MULTILINE)[1:]
    return {
        int(number): re.findall(r"`(tests/[^`]+)`", part) for number, part in zip(parts[::2], parts[1::2], strict=True)
    }


def test_every_guarantee_names_tests_that_exist() -> None:
    named = promises((ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"))
    assert sorted(named) == list(range(1, 11))
    assert [number for number, tests in named.items() if not tests] == []
    missing = [test for tests in named.values() for test in tests if not exists(test)]
    assert missing == []


def test_the_threat_model_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "security" / "threat-model.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[^`]+)`", text)
    assert named
    assert [test for test in named if not exists(test)] == []
    rows = [row for row in re.findall(r"^\| .+$", text, flags=re.MULTILINE) if not row.startswith("| threat |")]
    assert [row for row in rows if "`tests/" not in row] == []


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    path = ROOT / file
    return path.is_file() and name.replace("::", ".") in names_in(path)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    broken = []
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|mailto:|/)([^)]+)", page.read_text(encoding="utf-8")):
            file, _, place = target.partition("#")
            led_to = page.parent / file if file else page
            if not led_to.exists() or (place and place not in places(led_to)):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert broken == []


def places(page: Path) -> set[str]:
    """What a link may name after `#`: the headings, as they are written in addresses."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
