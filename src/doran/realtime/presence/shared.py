"""Presence of the people connected to any process, by leases: what a process says holds while it is heard.

Nothing is stored anywhere. A process says who came and who went, and every few seconds that it is there;
who watches somebody asks all processes, and keeps what they say of the people who are watched here. What a
process says is numbered: who missed something says so, and both ask each other anew until it is answered.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doran.realtime.hints import Hints
from doran.realtime.hub import Hub
from doran.realtime.presence.memory import MemoryPresence

if TYPE_CHECKING:
    from doran.realtime.connection import Connection

KIND: Final = "presence"
SIGN_SECONDS: Final = 5.0
LEASE_SECONDS: Final = 15.0
"""A process that was not heard for so long is taken for gone, and its people with it."""
ANSWER_SECONDS: Final = 0.1
AT_ONCE: Final = 500


class Said(msgspec.Struct, array_like=True, omit_defaults=True):
    """What one process says to the others, or to the process `of` in particular.

    People are `here`, `gone` just now, or `away`: asked for, and not there. `asks` who of these is there: asked in
    particular it answers for everybody, to that number; otherwise only if it has somebody. `missed`: it did not
    hear everything that `of` said, so questions may have been lost.
    """

    process: str
    number: int
    here: Sequence[str] = ()
    gone: Sequence[str] = ()
    away: Sequence[str] = ()
    asks: Sequence[str] = ()
    of: str = ""
    answers: int = 0
    missed: bool = False


@dataclass(slots=True)
class _Process:
    """Another process as it was heard: until when it counts, what it said last, whom of our watched people it has.

    `unanswered` are people of whom it has still to speak. `missed_at` is what we had said when we missed something.
    """

    until: float = 0.0
    number: int = 0
    people: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    missed_at: int | None = None

    @property
    def is_doubted(self) -> bool:
        return bool(self.unanswered) or self.missed_at is not None


_pack = msgspec.msgpack.Encoder().encode
_said = msgspec.msgpack.Decoder(Said)


class SharedPresence(MemoryPresence):
    """`hints` carry what processes say. While they are silent everybody elsewhere is offline after a while."""

    def __init__(self, hub: Hub, hints: Hints, *, grace: float = 3.0) -> None:
        super().__init__(hub, grace=grace)
        self._hints = hints
        self._me = secrets.token_hex(8)
        self._number = 0
        self._others: dict[str, _Process] = {}
        self._tending: asyncio.Task[None] | None = None
        hints.listen(KIND, self._hear)

    def start(self) -> None:
        self._tending = asyncio.ensure_future(self._tend())

    async def stop(self) -> None:
        """Without a word: our people come back elsewhere before our lease ends, and nobody sees them leave."""
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])

    def is_online(self, user_id: str) -> bool:
        return super().is_online(user_id) or any(user_id in other.people for other in self._others.values())

    def watch(self, connection: Connection, user_ids: list[str]) -> None:
        """Of whom nobody here knows anything, the first word waits a moment for what other processes say."""
        new = [one for one in user_ids if one not in self._watchers]
        for user_id in new:
            self._watch(connection, user_id)
        unknown = {one for one in new if one in self._watchers and self._hints.are_heard and not self.is_online(one)}
        super().watch(connection, [one for one in user_ids if one not in unknown])
        self._ask(new)
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._answer, connection, unknown)

    def _answer(self, connection: Connection, user_ids: Iterable[str]) -> None:
        """Who was found has been told by now; all others are offline, as far as anybody knows."""
        for user_id in user_ids:
            if not self.is_online(user_id) and connection.id in self._watchers.get(user_id, ()):
                connection.offer(self.of(user_id))

    # -- speaking ------------------------------------------------------------------------------------

    def _came(self, user_id: str) -> None:
        super()._came(user_id)
        self._say(here=[user_id])

    def _went(self, user_id: str) -> None:
        super()._went(user_id)
        self._say(gone=[user_id])

    def _say(self, **what: Any) -> None:
        self._number += 1
        self._hints.say(KIND, _pack(Said(self._me, self._number, **what)))

    def _ask(self, user_ids: Iterable[str]) -> None:
        for some in _pieces(user_ids):
            self._say(asks=some)

    def _ask_anew(self, name: str, other: _Process) -> None:
        other.unanswered &= self._watchers.keys()
        for some in list(_pieces(other.unanswered)) or [[]]:
            self._say(asks=some, of=name, missed=other.missed_at is not None)

    # -- hearing -------------------------------------------------------------------------------------

    def _hear(self, body: bytes) -> None:
        said = _said.decode(body)
        other = self._others.setdefault(said.process, _Process())
        if said.number <= other.number:
            return self._doubt(other)
        if said.number > other.number + 1:
            self._doubt(other)
        other.number, other.until = said.number, asyncio.get_running_loop().time() + LEASE_SECONDS
        self._learn(said, other)
        if said.of == self._me:
            self._is_addressed(said, other)
        elif not said.of and (here := self._here.intersection(said.asks)):
            self._say(here=list(here))

    def _doubt(self, other: _Process) -> None:
        """Something it said was not heard, or not in time: it is asked for everybody, at the next sign of life."""
        other.missed_at = self._number
        other.unanswered.update(self._watchers)

    def _learn(self, said: Said, other: _Process) -> None:
        for user_id in said.here:
            if user_id in self._watchers:
                self._change(user_id, partial(other.people.add, user_id))
        for user_id in said.gone:
            self._remember(user_id)
        for user_id in (*said.gone, *said.away):
            self._change(user_id, partial(other.people.discard, user_id))

    def _is_addressed(self, said: Said, other: _Process) -> None:
        """It asks in particular, or answers to such a question."""
        if said.answers:
            other.unanswered.difference_update(said.here, said.away)
            if other.missed_at is not None and said.answers > other.missed_at:
                other.missed_at = None
            return
        if said.missed:
            other.unanswered.update(self._watchers)
        here = self._here.intersection(said.asks)
        away = [one for one in said.asks if one not in here]
        self._say(here=list(here), away=away, of=said.process, answers=said.number)

    # -- what time does ------------------------------------------------------------------------------

    async def _tend(self) -> None:
        while True:
            self._say()
            self._end_leases()
            for name, other in self._others.items():
                if other.is_doubted:
                    self._ask_anew(name, other)
            await asyncio.sleep(SIGN_SECONDS)

    def _end_leases(self) -> None:
        now = asyncio.get_running_loop().time()
        for name in [name for name, other in self._others.items() if other.until <= now]:
            people = self._others[name].people
            for user_id in list(people):
                self._remember(user_id)
                self._change(user_id, partial(people.discard, user_id))
            del self._others[name]

    def _unwatch(self, connection: Connection, user_id: str) -> None:
        super()._unwatch(connection, user_id)
        if user_id not in self._watchers:
            for other in self._others.values():
                other.people.discard(user_id)


def _pieces(user_ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(sorted(user_ids))
    while some := list(islice(rest, AT_ONCE)):
        yield some
