"""Is this process alive, and can it do its work? Each dependency is asked by name, with a time-out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypedDict

from doran.kernel.telemetry.readings import Reading

Check = Callable[[], str | None]
FRESH_SECONDS = 1.0
SELDOM_SECONDS: Final = 15.0


class Unwell(Exception):
    """A dependency is not well; the sentence is fit to be shown."""


class Finding(TypedDict):
    ok: bool
    needed: bool
    detail: str


Answer = tuple[bool, dict[str, Finding]]


class _Asked(Reading[str | None]):
    """One dependency."""

    def __init__(self, check: Check, *, source: str, timeout: float, fresh: float, needed: bool, quiet: bool) -> None:
        super().__init__(check, source=source, timeout=timeout, fresh=fresh)
        self._needed, self.quiet = needed, quiet

    def finding(self) -> Finding:
        if not self.wait(float("inf")):
            return self._found(f"no answer in {self.timeout:g} s", ok=False)
        if self.error is None:
            return self._found(self.answer or "", ok=True)
        said = str(self.error) if isinstance(self.error, Unwell) else type(self.error).__name__
        return self._found(said, ok=False)

    def _found(self, detail: str, *, ok: bool) -> Finding:
        return Finding(ok=ok, needed=self._needed, detail=detail)


_registered: dict[str, _Asked] = {}


def register(
    name: str,
    check: Check,
    *,
    source: str = "",
    timeout: float = 1.0,
    fresh: float | None = None,
    needed: bool = True,
    quiet: bool = False,
) -> None:
    """`check` returns nothing or a short remark when all is well, and raises when it is not.

    It runs in a thread that all checks of one `source` share, by default its own, and may keep open there what it
    needs of databases. Its answer is good for `fresh` seconds, by default one. Of an exception only the class is shown,
    unless it is `Unwell`. What is not `needed` is shown as well, but work goes on without it. What is `quiet` is shown
    only while it is not well.
    """
    unregister(name)
    fresh = FRESH_SECONDS if fresh is None else fresh
    source = source or name
    _registered[name] = _Asked(check, source=source, timeout=timeout, fresh=fresh, needed=needed, quiet=quiet)


def unregister(name: str) -> None:
    if (asked := _registered.pop(name, None)) is not None:
        asked.close()


def live() -> Answer:
    """This process answers. Asks nobody else, so that a sick database does not restart it."""
    return True, {}


def ready() -> Answer:
    """Whether work can be taken, and each dependency by name. Blocks up to the longest time-out, counted from when
    a question was asked: what hangs already is not waited for again."""
    asked = list(_registered.items())
    for _, one in asked:
        one.begin()
    answers = [(name, one.finding(), one.quiet) for name, one in asked]
    shown = {name: finding for name, finding, quiet in answers if not (quiet and finding["ok"])}
    return all(finding["ok"] for finding in shown.values() if finding["needed"]), shown
