"""Words for the person who started the command."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def say(words: str, *, end: str = "\n") -> None:
    """One line, at once. Nobody may be listening any more; that must not keep a server from stopping."""
    with suppress(BrokenPipeError):
        sys.stdout.write(words + end)
        sys.stdout.flush()


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """Say what is being done, then how long it took."""
    say(f"{sentence:<46} ", end="")
    began = time.perf_counter()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.perf_counter() - began:.2f} s")


def table(rows: list[tuple[str, ...]], *, markdown: bool = False) -> str:
    """Rows, the first of them the heading, as Markdown or in aligned columns."""
    if markdown:
        cells = [tuple(cell.replace("|", "\\|") for cell in row) for row in rows]
        lines = [f"| {' | '.join(row)} |" for row in cells]
        return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
