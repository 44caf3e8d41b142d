"""Writing down: whatever a device asks, hears and sees goes into the history under its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from doran.verify.client import Json, Wire
from doran.verify.history import Garbled, Looked, Recorder, Saw
from doran.verify.memory import Account, Memory, row_of


@dataclass
class Link:
    """One open socket of a device; `room` is empty for the door to everything of mine."""

    number: int
    room: str
    wire: Wire
    answers: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    reader: asyncio.Task[None] | None = None
    alive: bool = True
    closing: bool = False


class Witness:
    """A device as far as the history is concerned: who it is and what it remembers."""

    def __init__(self, account: Account, name: str, recorder: Recorder) -> None:
        self.account = account
        self.name = name
        self.recorder = recorder
        self.conversations: list[str] = []
        self.memory: dict[str, Memory] = {}

    @contextmanager
    def shapes(self, what: str) -> Iterator[None]:
        """Whatever lacks a promised field inside is written down as garbled, not raised."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, IndexError) as wrong:
            self._note(Garbled(what=f"{what}: {type(wrong).__name__} {wrong}"[:200]), None)

    def _remembered(self, conversation: str) -> Memory:
        return self.memory.setdefault(conversation, Memory())

    def _begin(self, operation: Any, link: Link | None) -> None:
        self._sign(operation, link)
        self.recorder.begin(operation)

    def _note(self, operation: Any, link: Link | None, *, inv: int | None = None) -> None:
        self._sign(operation, link)
        self.recorder.note(operation, inv=inv)

    def _sign(self, operation: Any, link: Link | None) -> None:
        operation.user = self.account.id
        operation.device = f"{self.account.name}/{self.name}"
        operation.link = 0 if link is None else link.number

    def _saw(
        self,
        link: Link | None,
        conversation: str,
        source: str,
        messages: list[Json],
        *,
        inv: int | None = None,
        **facts: Any,
    ) -> None:
        rows = tuple(row_of(message, conversation) for message in messages)
        self._note(Saw(conversation=conversation, source=source, rows=rows, **facts), link, inv=inv)
        if conversation in self.conversations:
            self._remembered(conversation).take(rows)

    def _looked_at(self, link: Link | None, view: Json, source: str, began: int) -> None:
        self._looked(link, view["id"], source, view["peer"], inv=began)
        me = {**view["me"], "unread": view["unread_count"], "last_seq": view["last_seq"]}
        self._looked_at_me(link, view["id"], source, me, inv=began)

    def _looked_at_me(self, link: Link | None, conversation: str, source: str, me: Json | None, *, inv: int) -> None:
        if me is not None:
            self._looked(link, conversation, source, {**me, "user_id": self.account.id}, inv=inv)

    def _looked(self, link: Link | None, conversation: str, source: str, marks: Json, *, inv: int) -> None:
        looked = Looked(
            conversation=conversation,
            source=source,
            whose=marks["user_id"],
            read=marks["last_read_seq"],
            delivered=marks["last_delivered_seq"],
            unread=marks.get("unread"),
            last_seq=marks.get("last_seq"),
        )
        self._note(looked, link, inv=inv)
