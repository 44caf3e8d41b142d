"""The steps of each conversation in their order, whoever brings them in whatever order.

A conversation that somebody here may see is a line: up to where it has been shown, and the steps
that wait for an earlier one. What does not come by itself within a moment is a hole, to be read
from where everything is stored. Where nobody is here to see it, nothing is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final, NamedTuple

from doran.realtime.fanout import Step
from doran.realtime.hub import Delivery, Hub

UNKNOWN: Final = -1
LINES_AT_MOST: Final = 50_000
FAILURES_AT_MOST: Final = 100


class Told(NamedTuple):
    """A step with the frames that show it; None: they are not known here, and to be read when `due` is past.

    Until then they, or what comes before them, may still arrive. `due` is on the caller's clock.
    """

    step: Step
    deliveries: Sequence[Delivery] | None
    due: float = 0.0


class Hole(NamedTuple):
    """What is missing of one conversation, for these people: changes after `after`, messages after `last`.

    Up to and with change `until` and message `last_until`. `states` are the people whose private
    state is to be shown anew, with the last private change that they know; `is_new`: they do not
    know the conversation yet.
    """

    conversation_id: str
    people: tuple[str, ...]
    after: int
    last: int
    until: int
    last_until: int
    states: Mapping[str, int]
    is_new: bool


@dataclass(slots=True)
class _Wait:
    """What cannot be shown yet; when to look what is missing; what of it is being read."""

    told: list[Told] = field(default_factory=list)
    due: float = 0.0
    reading: list[Told] | None = None
    failures: int = 0


@dataclass(slots=True)
class _Line:
    """Shown up to change `at` and message `last`; `states`: the newest private change shown, by person."""

    at: int = UNKNOWN
    last: int = 0
    states: dict[str, int] | None = None
    wait: _Wait | None = None

    def knows(self, step: Step) -> bool:
        """Whether something as new of its people's private state was shown."""
        known = self.states or {}
        return any(known.get(who, 0) >= number for who, number in step.states.items())

    def move(self, step: Step) -> None:
        self.at, self.last = step.after, step.last_after
        if step.states:
            self.states = {**(self.states or {}), **step.states}


class Order:
    """Used from the event loop only. `shown` is called with every step whose frames were offered."""

    def __init__(self, hub: Hub, *, shown: Callable[[Step], None]) -> None:
        self._hub = hub
        self._shown = shown
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._late: set[str] = set()
        self._unsure: set[str] = set()

    def __len__(self) -> int:
        """Conversations whose order is kept."""
        return len(self._lines)

    # -- in --------------------------------------------------------------------------------------

    def concerns(self, step: Step) -> bool:
        """Whether anybody is here to see it. If not, the conversation is forgotten: whoever comes later reads first."""
        if any(map(self._hub.is_here, step.people)):
            return True
        self._forget(step.conversation_id)
        return False

    def take(self, told: Told) -> None:
        """Show it now if its turn has come; else it waits for what is missing before it."""
        line = self._line(told.step.conversation_id)
        if line.wait is None and self._is_next(line, told):
            return self._show(line, told)
        wait = line.wait = line.wait or _Wait()
        same = [one for one in wait.told if one.step == told.step]
        wait.told = [one for one in wait.told if one not in same]
        wait.told.append(next((one for one in same if one.deliveries is not None), told))
        self._advance(told.step.conversation_id, line)

    def _line(self, conversation_id: str) -> _Line:
        line = self._lines.get(conversation_id)
        if line is None:
            line = self._lines[conversation_id] = _Line()
            self._unsure.add(conversation_id)
            self._make_room()
        else:
            self._lines.move_to_end(conversation_id)
        return line

    def _make_room(self) -> None:
        """A line that is forgotten begins anew; the oldest is, unless something waits there."""
        if len(self._lines) > LINES_AT_MOST:
            oldest, line = next(iter(self._lines.items()))
            if line.wait is None:
                self._forget(oldest)
            else:
                self._lines.move_to_end(oldest)

    def _forget(self, conversation_id: str) -> None:
        if self._lines.pop(conversation_id, None) is not None:
            self._late.discard(conversation_id)
            self._unsure.discard(conversation_id)

    # -- out, in order -----------------------------------------------------------------------------

    @staticmethod
    def _is_next(line: _Line, told: Told) -> bool:
        step = told.step
        return told.deliveries is not None and step.before == line.at and (step.after > line.at or not line.knows(step))

    def _show(self, line: _Line, told: Told) -> None:
        line.move(told.step)
        for delivery in told.deliveries or ():
            self._hub.deliver(delivery)
        self._shown(told.step)

    def _advance(self, conversation_id: str, line: _Line) -> None:
        """Show all whose turn has come; forget what was shown; keep the rest."""
        wait = line.wait
        if wait is None or wait.reading is not None or line.at == UNKNOWN:
            return
        kept = []
        for told in sorted(wait.told, key=_place):
            if self._is_next(line, told):
                self._show(line, told)
            elif told.step.before >= line.at and told.step.after > line.at:
                kept.append(told)
            elif told.step.after > line.at or told.step.states or told.step.is_new:
                kept.append(Told(told.step, None))  # overtaken: its frames may be older than what was shown
        if kept:
            wait.told, wait.due = kept, min(told.due for told in kept)
            self._late.add(conversation_id)
        else:
            line.wait = None
            self._late.discard(conversation_id)

    # -- the first step of a conversation ----------------------------------------------------------

    def unsure(self) -> set[str]:
        """Conversations of which it is not known whether an earlier step is on its way. The caller finds out."""
        taken, self._unsure = self._unsure, set()
        return taken

    @property
    def is_unsure(self) -> bool:
        return bool(self._unsure)

    def remain_unsure(self, conversation_ids: Iterable[str]) -> None:
        """It could not be found out."""
        self._unsure |= self._lines.keys() & conversation_ids

    def settle(self, conversation_ids: Iterable[str]) -> None:
        """Every earlier step was taken by now: what waits begins with the first."""
        for conversation_id in conversation_ids:
            line = self._lines.get(conversation_id)
            if line is not None and line.wait is not None and line.at == UNKNOWN:
                first = min((told.step for told in line.wait.told), key=lambda step: step.before)
                line.at, line.last = first.before, first.last_before
                self._advance(conversation_id, line)

    # -- holes -------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """When something is to be read; None: nothing is missing."""
        waits = (self._lines[one].wait for one in self._late)
        return min((wait.due for wait in waits if wait is not None and wait.reading is None), default=None)

    def holes(self, now: float, *, at_most: int) -> list[Hole]:
        """What is to be read now. Each is to be answered by `fill`, `leave` or `postpone`."""
        found: list[Hole] = []
        for conversation_id in list(self._late):
            wait = self._lines[conversation_id].wait
            if wait is None or wait.reading is not None or wait.due > now or len(found) >= at_most:
                continue
            if hole := self._hole(conversation_id, self._lines[conversation_id], wait, now):
                found.append(hole)
        return found

    def _hole(self, conversation_id: str, line: _Line, wait: _Wait, now: float) -> Hole | None:
        """From where the line is to the first step that is at hand or may still come; else to the last one known."""
        people = self._hub.here(wait.told[0].step.people)
        if not people:
            self._forget(conversation_id)
            return None
        waiting = sorted(wait.told, key=_place)
        unknown = list(takewhile(lambda told: told.deliveries is None and told.due <= now, waiting))
        end = waiting[len(unknown)] if len(unknown) < len(waiting) else None
        if end is not None and not unknown and end.step.before <= line.at:
            wait.due = end.due
            return None
        until, last_until = _end(unknown[-1].step, line) if end is None else (end.step.before, end.step.last_before)
        wait.reading = unknown
        return Hole(
            conversation_id,
            people,
            line.at,
            line.last,
            until,
            last_until,
            _since(told.step for told in unknown),
            any(told.step.is_new for told in unknown),
        )

    def fill(self, told: Told) -> None:
        """A hole as it was read: a step from where it began to where it ended."""
        line = self._lines.get(told.step.conversation_id)
        if line is None or line.wait is None or line.wait.reading is None or not self.concerns(told.step):
            return
        wait, covered = line.wait, [one.step for one in line.wait.reading]
        wait.told, wait.reading, wait.failures = [one for one in wait.told if one.step not in covered], None, 0
        self._show(line, told)
        self._advance(told.step.conversation_id, line)

    def postpone(self, conversation_id: str, *, due: float) -> None:
        """It could not be read now. What cannot be read again and again is left."""
        line = self._lines.get(conversation_id)
        if line is not None and line.wait is not None:
            line.wait.reading, line.wait.due = None, due
            line.wait.failures += 1
            if line.wait.failures > FAILURES_AT_MOST:
                self.leave(conversation_id)

    def leave(self, conversation_id: str) -> None:
        """It will never be read: whoever may see the conversation here is told to come back and read it all."""
        line = self._lines.get(conversation_id)
        if line is not None and line.wait is not None:
            people = {who for told in (*line.wait.told, *(line.wait.reading or ())) for who in told.step.people}
            for who in people:
                self._hub.resync(who, conversation_id)
        self._forget(conversation_id)


def _place(told: Told) -> tuple[int, int, int]:
    step = told.step
    return step.before, step.after, max(step.states.values(), default=0)


def _end(step: Step, line: _Line) -> tuple[int, int]:
    return max(step.after, line.at), max(step.last_after, line.last)


def _since(steps: Iterable[Step]) -> dict[str, int]:
    """Of each person, the private change before the first one that is missing."""
    since: dict[str, int] = {}
    for step in steps:
        for who, number in step.states.items():
            since[who] = min(number - 1, since.get(who, number))
    return since
