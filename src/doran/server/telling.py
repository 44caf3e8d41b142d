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


class Progress:
    """How far something has got, how fast, and how long it will take: one line that is rewritten on a terminal, and
    said anew every ten seconds where somebody keeps what is said. `unit` names what is counted, `scale` how many
    of it make one that is shown."""

    def __init__(self, sentence: str, *, total: int, unit: str, scale: int = 1) -> None:
        self._sentence, self._unit, self._scale = sentence, unit, scale
        self._total, self._done, self._before = total, 0, 0
        self._began = self._told = time.perf_counter()
        self._seconds = 0.2 if sys.stdout.isatty() else 10.0

    def skip(self, count: int) -> None:
        """So much was there already; it says nothing about how fast this goes."""
        self._before += count
        self._done += count

    def add(self, count: int) -> None:
        self._done += count
        if time.perf_counter() - self._told >= self._seconds:
            self._told = time.perf_counter()
            self._say(self._as_it_goes())

    def end(self) -> None:
        passed = time.perf_counter() - self._began
        self._say(f"{self._counted(self._done)} {self._unit}, {passed:.1f} s", last=True)

    def _as_it_goes(self) -> str:
        rate = (self._done - self._before) / (time.perf_counter() - self._began)
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate > 0 else ""
        share = (
            f"{100 * self._done // max(1, self._total)} %, {self._counted(self._done)} of {self._counted(self._total)}"
        )
        return f"{share} {self._unit}, {self._counted(rate)} a second{left}"

    def _counted(self, count: float) -> str:
        return f"{count / self._scale:,.1f}" if self._scale > 1 else f"{count:,.0f}"

    def _say(self, words: str, *, last: bool = False) -> None:
        if sys.stdout.isatty():
            say(f"\r{self._sentence:<46} {words}\x1b[K", end="\n" if last else "")
        else:
            say(f"{self._sentence:<46} {words}")


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
