"""A frame to every screen of a person, wherever it is connected.

A commit is told as steps: for each conversation it moved, from which change number to which, and
the frames that show it. The numbers are dense, so whoever misses a step knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from doran.realtime.hub import Delivery


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One conversation's share of a commit, without a word of what was said.

    It led from change `before` to change `after`, and from message `last_before` to `last_after`.
    `states` are the private changes of its people made at `after`, by person: numbers that only
    rise. `authors` wrote messages in it; `is_new`: the conversation began; `is_shut`: nothing may
    pass between the two any more.
    """

    conversation_id: str
    people: tuple[str, ...]
    before: int
    after: int
    last_before: int
    last_after: int
    states: Mapping[str, int] = {}
    authors: tuple[str, ...] = ()
    is_new: bool = False
    is_shut: bool = False

    def then(self, later: Step) -> Step:
        """Both as one: what happened to one conversation in one transaction."""
        return Step(
            self.conversation_id,
            self.people,
            self.before,
            later.after,
            self.last_before,
            later.last_after,
            {**self.states, **later.states},
            (*self.authors, *later.authors),
            self.is_new or later.is_new,
            self.is_shut or later.is_shut,
        )


class Batch(NamedTuple):
    """What one commit moved. `node` and `number` name it among all processes' commits, `number` without a hole."""

    node: int
    number: int
    steps: Sequence[Step]


def as_one(steps: Iterable[Step]) -> list[Step]:
    """The steps of one transaction, in their order, one for each conversation."""
    joined: dict[str, Step] = {}
    for step in steps:
        before = joined.get(step.conversation_id)
        joined[step.conversation_id] = step if before is None else before.then(step)
    return list(joined.values())


class Fanout(Protocol):
    """Used from the event loop only; nothing here waits."""

    def publish(self, deliveries: Sequence[Delivery], batch: Batch | None) -> None:
        """Offer a commit's frames, in order, to every screen they are for. `batch`: where processes share a database."""
        ...

    def start(self) -> None: ...

    async def stop(self) -> None: ...
