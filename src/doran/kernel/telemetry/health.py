"""Is this process alive, and can it do its work? Each dependency is asked by name, with a time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypedDict

Check = Callable[[], str | None]
FRESH_SECONDS = 1.0


class Unwell(Exception):
    """A dependency is not well; the sentence is fit to be shown."""


class Finding(TypedDict):
    ok: bool
    needed: bool
    detail: str


Answer = tuple[bool, dict[str, Finding]]


@dataclass(slots=True)
class _Asked:
    """One dependency. A check that hangs is not asked again before it returns."""

    check: Check
    timeout: float
    needed: bool
    quiet: bool = False
    finding: Finding = field(init=False)
    asked_at: float = float("-inf")
    running: threading.Thread | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.finding = self._found("not asked yet", ok=False)

    def answer(self, running: threading.Thread | None, until: float) -> Finding:
        if running is not None:
            running.join(max(0.0, until - time.monotonic()))
            if running.is_alive():
                return self._found(f"no answer in {self.timeout:g} s", ok=False)
        return self.finding

    def begin(self) -> threading.Thread | None:
        """Who is finding out now; None where the last answer is fresh."""
        with self.lock:
            if self.running is not None and self.running.is_alive():
                return self.running
            if time.monotonic() - self.asked_at < FRESH_SECONDS:
                return None
            self.running = threading.Thread(target=self._ask, name="health", daemon=True)
            self.running.start()
            return self.running

    def _ask(self) -> None:
        try:
            self.finding = self._found(self.check() or "", ok=True)
        except Unwell as unwell:
            self.finding = self._found(str(unwell), ok=False)
        except Exception as wrong:
            self.finding = self._found(type(wrong).__name__, ok=False)
        self.asked_at = time.monotonic()

    def _found(self, detail: str, *, ok: bool) -> Finding:
        return Finding(ok=ok, needed=self.needed, detail=detail)


_registered: dict[str, _Asked] = {}


def register(name: str, check: Check, *, timeout: float = 1.0, needed: bool = True, quiet: bool = False) -> None:
    """`check` returns nothing or a short remark when all is well, and raises when it is not.

    It runs in a thread of its own and must close what it opens. Of an exception only the class
    is shown, unless it is `Unwell`. What is not `needed` is shown as well, but work goes on without it.
    What is `quiet` is shown only while it is not well.
    """
    _registered[name] = _Asked(check, timeout, needed, quiet)


def unregister(name: str) -> None:
    _registered.pop(name, None)


def live() -> Answer:
    """This process answers. Asks nobody else, so that a sick database does not restart it."""
    return True, {}


def ready() -> Answer:
    """Whether work can be taken, and each dependency by name. Blocks up to the longest time-out."""
    begun = time.monotonic()
    asked = [(name, one, one.begin()) for name, one in list(_registered.items())]
    answers = [(name, one.answer(running, begun + one.timeout), one.quiet) for name, one, running in asked]
    shown = {name: finding for name, finding, quiet in answers if not (quiet and finding["ok"])}
    return all(finding["ok"] for finding in shown.values() if finding["needed"]), shown
