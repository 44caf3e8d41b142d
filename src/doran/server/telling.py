"""Words for the person who started the command; where nobody sits at a terminal, log lines for a collector."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from doran.kernel.config import Config

_log = logging.getLogger("doran.server")
_is_logging = False


def log_instead(config: Config) -> None:
    """From now on say everything as log lines, also warnings and failures, if logs are JSON and no terminal is here."""
    global _is_logging
    from doran.kernel import telemetry

    if not telemetry.is_json(config) or sys.stdout.isatty():
        return
    _is_logging = True
    telemetry.configure(config)
    logging.captureWarnings(True)
    sys.excepthook = lambda *trail: _log.critical("the process failed", exc_info=trail)
    threading.excepthook = lambda failed: _log.error(
        "a thread failed", exc_info=(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    )


def refuse(sentence: str, code: int) -> None:
    """The last words of a command that cannot go on."""
    if _is_logging:
        _log.error(sentence, extra={"code": code})
    else:
        sys.stderr.write(f"{sentence}\n")


def say(words: str, *, end: str = "\n") -> None:
    """One line, at once. Nobody may be listening any more; that must not keep a server from stopping."""
    if _is_logging:
        _log.info(words)
        return
    with suppress(BrokenPipeError):
        sys.stdout.write(words + end)
        sys.stdout.flush()


@contextmanager
def step(sentence: str) -> Iterator[None]:
    """Say what is being done, then how long it took."""
    if _is_logging:
        yield from _logged(sentence)
        return
    say(f"{sentence:<46} ", end="")
    began = time.perf_counter()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.perf_counter() - began:.2f} s")


def _logged(sentence: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    _log.info(sentence, extra={"seconds": round(time.perf_counter() - began, 2)})


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
