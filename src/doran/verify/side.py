"""Looking for what must not be there: texts, passwords and tokens in logs and other side outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from doran.verify.history import Recorder, Spilled


def keep(file: Path, content: bytes) -> None:
    """Put what a server said beside the logs, to be searched with them."""
    file.write_bytes(content)


def search(recorder: Recorder, files: Iterable[Path], *, run: str, secrets: Mapping[str, str]) -> int:
    """Write down every line that holds a text of this run or a secret; how many there were."""
    spills = [spill for file in files if file.exists() for spill in _spills(file, run, secrets)]
    for spill in spills:
        recorder.note(spill)
    return len(spills)


def _spills(file: Path, run: str, secrets: Mapping[str, str]) -> Iterator[Spilled]:
    text = re.compile(re.escape(run) + r"x\d+-\d+")
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            found = {what for secret, what in secrets.items() if secret in line}
            if text.search(line):
                found.add("a text")
            for what in sorted(found):
                yield Spilled(where=file.name, what=what, place=f"line {number}")
